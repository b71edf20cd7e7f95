"""The gate: every engine must decide as the reference does. Runs at export; its verdict travels in the bundle.

Scores are compared in units of the spread of normal scores (the standard deviation of the held-out normals'
scores), so that the bound means the same for every bundle. A score of more than ten of them, where no decision is
open, is compared in tenths of itself: it is made of squared differences of 32-bit numbers, and no engine can keep
more than six digits of it. The images are the bundle's held-out samples, as they are and damaged in fixed ways, so
that all three decisions occur.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from waferlens.bundle.contents import read_json
from waferlens.decision.decide import decide
from waferlens.decision.thresholds import Thresholds
from waferlens.engines.interface import Engine, Outputs
from waferlens.records import Pixels

PARITY_FILE = "parity.json"
PREFERENCE = ("openvino-int8", "openvino", "onnxruntime", "torchscript")
"""Fastest first, as measured by ``waferlens bench``; the first that passed the gate is the default."""
BOUND_32_BIT = 1e-4
"""Largest score difference of a 32-bit engine, in standard deviations of normal scores."""

FAR = 10.0
"""Deviations beyond which differences are in proportion to the score.

The bound of 32 bits is then 1e-5 of it. Engines that are right differ by up to 1.2e-6 of it: each rounds its
way to the expected image, and the error is a small difference of large numbers, squared.
"""

BOUND_8_BIT = 0.25
"""The same for an 8-bit engine, wherever a decision is open: a quarter of what two normal images differ by anyway.

Rounding to 8 bits errs in proportion, and a score far beyond REJECT is settled: there only the decision counts.
"""


@dataclass(frozen=True, kw_only=True)
class Parity:
    """One engine against the reference on ``num_images`` images.

    max_difference: largest |score - reference|, in standard deviations of normal scores or, where that is more, in
    tenths of the reference score. For an 8-bit engine over the images whose reference score does not exceed
    REJECT by more than its bound; ``max_anywhere`` is over all of them.
    num_other_decisions: images that it decides otherwise. num_beyond_reach: those among them whose reference
    score lies farther than ``bound`` from every threshold (a nearer one may fall on either side).
    """

    engine: str
    num_images: int
    max_difference: float
    max_anywhere: float
    bound: float
    num_other_decisions: int
    num_beyond_reach: int
    max_reconstruction_difference: float
    passed: bool

    def as_dict(self) -> dict[str, Any]:
        """For parity.json."""
        return asdict(self)


def default_engine(bundle: Path) -> str:
    """The engine that the gate chose. Raises BundleError when the bundle was never exported."""
    return str(read_json(bundle / PARITY_FILE)["default_engine"])


def bound_for(engine: str) -> float:
    """The bound that an engine of this name is held to."""
    return BOUND_8_BIT if engine.endswith("int8") else BOUND_32_BIT


def compare(
    engine: Engine, reference: Outputs, pixels: Pixels, thresholds: Thresholds, normal_deviation: float
) -> Parity:
    """Run ``engine`` on ``pixels`` (n, 256, 256), one image at a time, and compare with the reference's outputs.

    A 32-bit engine passes when no score is beyond its bound and no decision differs; an 8-bit engine when no
    score is beyond its bound and no decision differs that the bound does not explain.
    """
    outputs = infer_each(engine, pixels)
    mine, theirs = (getattr(o, thresholds.score_name).astype(np.float64) for o in (outputs, reference))
    bound = bound_for(engine.name)
    exact = bound == BOUND_32_BIT
    reach = bound * normal_deviation
    differences = np.abs(mine - theirs) / np.maximum(normal_deviation, np.abs(theirs) / FAR)
    is_open = np.full(len(theirs), True) if exact else theirs <= thresholds.reject + reach
    other = np.asarray(
        [decide(a, thresholds).kind is not decide(b, thresholds).kind for a, b in zip(mine, theirs, strict=True)]
    )
    near = np.minimum(abs(theirs - thresholds.review), abs(theirs - thresholds.reject)) <= reach
    beyond = int((other & ~near).sum())
    difference = float(differences[is_open].max(initial=0.0))
    return Parity(
        engine=engine.name,
        num_images=len(pixels),
        max_difference=difference,
        max_anywhere=float(differences.max()),
        bound=bound,
        num_other_decisions=int(other.sum()),
        num_beyond_reach=beyond,
        max_reconstruction_difference=float(np.max(np.abs(outputs.reconstruction - reference.reconstruction))),
        passed=bool(difference <= bound and (not other.any() if exact else beyond == 0)),
    )


def infer_each(engine: Engine, pixels: Pixels) -> Outputs:
    """All outputs of all images, asked one by one as a camera would."""
    each = [engine.infer(pixels[index : index + 1]) for index in range(len(pixels))]
    return Outputs(*(np.concatenate(parts) for parts in zip(*each, strict=True)))


def gate_images(held_out: Pixels) -> Pixels:
    """Held-out samples followed by damaged twins: a bright spot, a dark scratch or a moved patch in each.

    The damage grows from image to image, from barely visible to gross. (2 n, 256, 256), same type.
    """
    damaged = held_out.copy()
    top = np.iinfo(held_out.dtype).max
    rng = np.random.default_rng(0)
    for index, image in enumerate(damaged):
        strength = 0.1 + 0.9 * index / max(1, len(damaged) - 1)
        row, column = rng.integers(32, 160, size=2)
        patch = image[row : row + 32, column : column + 32]
        kind = index % 3
        if kind == 0:
            spot = patch[8:24, 8:24]
            spot[...] = spot + ((top - spot) * strength).astype(spot.dtype)
        elif kind == 1:
            line = patch[:, 15:18]
            line[...] = (line * (1 - strength)).astype(line.dtype)
        else:
            patch[...] = np.roll(patch, max(1, round(16 * strength)), axis=0)
    return np.concatenate([held_out, damaged])
