"""The frozen nouns that chapters hand to each other. Standard library and numpy only.

Words, once for the whole project
---------------------------------
``*_score``  higher is more anomalous.        ``*_error``  lower is better.
``*_rate``   a fraction that names its denominator.
normal       an image of an acceptable wafer surface ("good" in the MVTec layout).
escape       a defective image that passes.   overkill   a normal image that does not.

Pixels travel in one *canonical* form: a 2-D array, ``uint8`` (0..255) or ``uint16`` (0..65535,
always stretched to the full 16-bit scale whatever the depth of the camera), row 0 on top.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]
"""Canonical pixels, (H, W)."""

FloatArray = npt.NDArray[np.float32]

IMAGE_SIZE = 256
"""Height and width of every image that a detector sees, in pixels."""

LATENT_DIM = 128
"""Length of the latent vector of both detectors."""


class Label(StrEnum):
    """What an image is known to be."""

    NORMAL = "normal"
    DEFECTIVE = "defective"
    UNKNOWN = "unknown"


class DecisionKind(StrEnum):
    """What happens to an inspected image."""

    PASS = "PASS"
    REVIEW = "REVIEW"
    REJECT = "REJECT"


@dataclass(frozen=True, kw_only=True)
class ImageRef:
    """One image of a data set, not yet read.

    path: the image file. name: short unique name inside its data set (relative path, POSIX).
    group: images of one group never stand on both sides of a split (the wafer, else the file).
    defect_type: folder name or manifest column; None for normal images.
    mask: file with the defect's pixels (non-zero = defect); None where none was drawn.
    """

    path: Path
    name: str
    group: str
    label: Label = Label.UNKNOWN
    defect_type: str | None = None
    mask: Path | None = None
    lot: str | None = None
    wafer: str | None = None
    inspection_point: int | None = None


@dataclass(frozen=True, kw_only=True)
class Inference:
    """What a detector says about one image. Arrays are (256, 256) float32; latent is (128,).

    model_version: of the bundle that answered, where several may serve in turn; empty where there is but one.
    """

    reconstruction: FloatArray
    heatmap: FloatArray
    score: float
    reconstruction_error: float
    latent: FloatArray
    model_version: str = ""


@dataclass(frozen=True, kw_only=True)
class Decision:
    """PASS, REVIEW or REJECT, with the confidence in [0, 1] and, when it is not the score, the reason."""

    kind: DecisionKind
    confidence: float
    reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """One inspected image: what was asked, what was inferred, what was decided, by which model."""

    name: str
    inference: Inference
    decision: Decision
    p_value: float
    model_version: str
    inference_time_ms: float


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A measured figure with its 95 % interval. NaN where it is not defined."""

    value: float
    low: float
    high: float

    def as_dict(self) -> dict[str, float | None]:
        """The three numbers for JSON; NaN becomes None."""
        numbers = {"value": self.value, "low": self.low, "high": self.high}
        return {key: None if np.isnan(number) else float(number) for key, number in numbers.items()}
