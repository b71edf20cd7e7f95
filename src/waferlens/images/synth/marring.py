"""A defect put on a printed site where it shows, and the exact mask of it. Knows no wafer and no file.

The defective surface has a twin without the defect. Both are exposed alike, and the mask is where the two
noiseless pictures differ: no hand draws it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from waferlens.images.synth import pattern_defects, surface_defects
from waferlens.images.synth.defects import DefectKind, DefectOptions, DefectSpec
from waferlens.images.synth.optics import Exposure, noise_sigma
from waferlens.images.synth.pattern_defects import Scene
from waferlens.records import FloatArray

LEAST_MASK_PX = 12
NUM_PLACINGS = 24


@dataclass(frozen=True, kw_only=True)
class Twins:
    """The noiseless pictures (IMAGE_SIZE, IMAGE_SIZE) of one site with and without its defect, full scale.

    mask: where they differ by more than the options' mask_threshold. visibility: signal to noise ratio of the
    defect to an observer who knows it. visible: whether both are as large as the options ask.
    """

    normal: FloatArray
    defective: FloatArray
    mask: npt.NDArray[np.bool_]
    visibility: float
    visible: bool


def mar(
    scene: Scene,
    exposure: Exposure,
    defect: DefectSpec,
    options: DefectOptions,
    generator_of: Callable[[int], np.random.Generator],
) -> Twins:
    """Put the defect on the site, in other places until it is visible; the most visible placing when none is.

    generator_of gives the generator of the n-th placing.
    """
    clean = scene.printed.reflectance(scene.printed.upper)
    normal = exposure.expose(clean)
    sigma = noise_sigma(exposure.options, normal)
    best: Twins | None = None
    for placing in range(NUM_PLACINGS):
        defective = exposure.expose(_draw(scene, clean, defect, generator_of(placing)))
        twins = _compare(normal, defective, sigma, options)
        if best is None or twins.visible or twins.visibility > best.visibility:
            best = twins
        if best.visible:
            break
    assert best is not None
    return best


def _compare(normal: FloatArray, defective: FloatArray, sigma: FloatArray, options: DefectOptions) -> Twins:
    difference = defective - normal
    mask = np.abs(difference) > options.mask_threshold
    visibility = float(np.sqrt(np.sum((difference / sigma)[mask] ** 2)))
    visible = bool(mask.sum() >= LEAST_MASK_PX) and visibility >= options.min_visibility
    return Twins(normal=normal, defective=defective, mask=mask, visibility=visibility, visible=visible)


def _draw(scene: Scene, clean: FloatArray, defect: DefectSpec, rng: np.random.Generator) -> FloatArray:
    """The surface with the defect at its contrast; clean is the same surface without it."""
    if defect.kind is DefectKind.PATTERN_SHIFT:
        return pattern_defects.pattern_shift(scene, defect.size_um, defect.contrast, rng)
    drawers: dict[DefectKind, Callable[[float, np.random.Generator], FloatArray]] = {
        DefectKind.BRIDGE: partial(pattern_defects.bridge, scene),
        DefectKind.OPEN: partial(pattern_defects.open_, scene),
        DefectKind.VOID: partial(pattern_defects.void, scene),
        DefectKind.SCRATCH: partial(surface_defects.scratch, clean),
        DefectKind.PARTICLE: partial(surface_defects.particle, clean),
        DefectKind.RESIDUE: partial(surface_defects.residue, clean),
        DefectKind.HAZE_RING: partial(surface_defects.haze_ring, clean),
    }
    full = drawers[defect.kind](defect.size_um, rng)
    marred: FloatArray = clean + np.float32(defect.contrast) * (full - clean)
    return marred
