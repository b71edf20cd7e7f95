"""Defects that change the printed pattern itself: bridge, open, pattern shift, void. Knows nothing of light.

Each function returns the reflectance (IMAGE_SIZE, IMAGE_SIZE) of the surface with the defect at full strength.
All draws are made before sizes are used, so a larger defect of the same address is the same defect, larger.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from waferlens.images.synth.anchors import Anchors
from waferlens.images.synth.patterns import PIXEL_UM, Pattern
from waferlens.images.synth.process import Placement, Print
from waferlens.images.synth.shapes import segment_distance, smoothstep_edge, soft_cut, soft_union
from waferlens.records import IMAGE_SIZE, FloatArray

_BORDER_PX = 14.0
_CAVITY = 0.14
"""Reflectance of a pit that light does not come back from."""

PIXEL_X = np.arange(IMAGE_SIZE, dtype=np.float32)[None, :]
PIXEL_Y = np.arange(IMAGE_SIZE, dtype=np.float32)[:, None]


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A site as printed, with all that a defect needs to find its place."""

    pattern: Pattern
    gaps: Anchors
    necks: Anchors
    placement: Placement
    printed: Print


@dataclass(frozen=True)
class _Place:
    """A narrow place in the image frame: centre, unit direction across it, half its width, px."""

    x: float
    y: float
    across_x: float
    across_y: float
    half: float

    def capsule(self, reach: float, radius: float, along: float = 0.0) -> FloatArray:
        """Distance field of a stroke across the place, reach px to each side, its middle moved along by that."""
        x, y = self.x - along * self.across_y, self.y + along * self.across_x
        dx, dy = reach * self.across_x, reach * self.across_y
        return radius - segment_distance(PIXEL_X, PIXEL_Y, x - dx, y - dy, x + dx, y + dy)


def bridge(scene: Scene, size_um: float, rng: np.random.Generator) -> FloatArray:
    """Material left between two neighbours, size_um wide, with fillets where it meets them."""
    place = _choose_place(scene, scene.gaps, rng)
    bulge = float(rng.uniform(-0.25, 0.25))
    radius = 0.5 * size_um / PIXEL_UM
    stroke = place.capsule(place.half + 1.0, radius, along=bulge * radius)
    return scene.printed.reflectance(soft_union(scene.printed.upper, stroke, fillet_px=4.0))


def open_(scene: Scene, size_um: float, rng: np.random.Generator) -> FloatArray:
    """A feature interrupted over size_um: a cut line, a contact that did not open."""
    place = _choose_place(scene, scene.necks, rng)
    skew = float(rng.uniform(-0.3, 0.3))
    radius = 0.5 * size_um / PIXEL_UM
    cutter = place.capsule(place.half + 2.5, radius, along=skew * radius)
    return scene.printed.reflectance(soft_cut(scene.printed.upper, cutter, fillet_px=3.0))


def void(scene: Scene, size_um: float, rng: np.random.Generator) -> FloatArray:
    """One to three rounded pits eaten into features, dark because light does not come back from them."""
    place = _choose_place(scene, scene.necks, rng)
    num_pits = int(rng.integers(1, 4))
    offsets = rng.uniform(-1.0, 1.0, size=(3, 2))
    scales = np.array([1.0, *rng.uniform(0.45, 0.8, size=2)])
    radius = 0.5 * size_um / PIXEL_UM
    surface = scene.printed.reflectance(scene.printed.upper)
    for (along, across), scale in zip(offsets[:num_pits], scales[:num_pits], strict=True):
        pit_x = place.x - along * 2.2 * radius * place.across_y + 0.6 * across * place.half * place.across_x
        pit_y = place.y + along * 2.2 * radius * place.across_x + 0.6 * across * place.half * place.across_y
        pit = scale * radius - np.hypot(PIXEL_X - pit_x, PIXEL_Y - pit_y)
        # A pit lies in the material only: outside the feature there is nothing to be eaten.
        depth = smoothstep_edge(np.minimum(pit, scene.printed.upper + 1.0), 1.5)
        surface = surface + depth * (_CAVITY - surface)
    return surface


def pattern_shift(scene: Scene, size_um: float, contrast: float, rng: np.random.Generator) -> FloatArray:
    """A rectangular field of the upper layer printed beside its place, as by a stitching or reticle error.

    The displacement is contrast times half a pitch, along an axis on which the pattern repeats.
    """
    centre_x, centre_y = rng.uniform(0.12, 0.88, size=2) * IMAGE_SIZE
    aspect = float(np.exp(rng.uniform(-0.4, 0.4)))
    axes = [axis for axis in (0, 1) if scene.pattern.pitch_px[axis] > 0.0]
    axis, sign = int(rng.choice(axes)), float(rng.choice([-1.0, 1.0]))
    step = sign * contrast * 0.5 * scene.pattern.pitch_px[axis]
    moved = scene.placement.sample(scene.pattern.upper, step if axis == 0 else 0.0, step if axis == 1 else 0.0)
    side = size_um / PIXEL_UM
    inside_x = 0.5 * side * aspect - np.abs(PIXEL_X - np.float32(centre_x))
    inside_y = 0.5 * side / aspect - np.abs(PIXEL_Y - np.float32(centre_y))
    share = smoothstep_edge(np.minimum(inside_x, inside_y), 3.0)
    upper = scene.printed.upper
    return scene.printed.reflectance(upper + share * (moved + scene.printed.growth - upper))


def _choose_place(scene: Scene, anchors: Anchors, rng: np.random.Generator) -> _Place:
    """One of the anchors that lie inside the image, each as likely."""
    x, y = scene.placement.to_image(anchors.x, anchors.y)
    top = IMAGE_SIZE - 1 - _BORDER_PX
    inside = np.flatnonzero((x > _BORDER_PX) & (x < top) & (y > _BORDER_PX) & (y < top))
    chosen = int(inside[int(rng.random() * len(inside))])
    across_x, across_y = scene.placement.rotate(float(anchors.across_x[chosen]), float(anchors.across_y[chosen]))
    return _Place(float(x[chosen]), float(y[chosen]), across_x, across_y, float(anchors.half[chosen]))
