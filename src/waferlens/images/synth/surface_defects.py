"""Defects that lie on the surface or scar it: scratch, particle, residue, haze ring. Knows nothing of the design.

Each function takes the printed surface, (IMAGE_SIZE, IMAGE_SIZE) reflectance, and returns it with the defect at
full strength. Levels stay inside the range of the materials: a defect is foreign in shape, not by being brighter.
All draws are made before sizes are used, so a larger defect of the same address is the same defect, larger.
"""

from __future__ import annotations

import numpy as np

from waferlens.images.synth.fields import SmoothField
from waferlens.images.synth.pattern_defects import PIXEL_X, PIXEL_Y
from waferlens.images.synth.patterns import PIXEL_UM
from waferlens.images.synth.shapes import segment_distance, smoothstep_edge
from waferlens.records import IMAGE_SIZE, FloatArray

_NUM_SEGMENTS = 14


def scratch(surface: FloatArray, size_um: float, rng: np.random.Generator) -> FloatArray:
    """A slightly bent groove size_um long: dark floor, one lit lip, its depth chattering, thin at both ends."""
    centre = rng.uniform(0.15, 0.85, size=2) * IMAGE_SIZE
    angle, bend = rng.uniform(0.0, 2.0 * np.pi), rng.uniform(-0.35, 0.35)
    half_width = float(rng.uniform(1.2, 2.3))
    floor, lip = float(rng.uniform(0.12, 0.18)), float(rng.uniform(0.55, 0.66))
    chatter = rng.uniform(0.5, 1.0, size=_NUM_SEGMENTS)
    length = size_um / PIXEL_UM
    along = np.linspace(-0.5, 0.5, _NUM_SEGMENTS + 1)
    local = length * np.stack([along, bend * (0.25 - along**2)])
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    path_x, path_y = turn @ local + centre[:, None]
    lit_x, lit_y = 1.6 * half_width * np.cos(angle + np.pi / 2), 1.6 * half_width * np.sin(angle + np.pi / 2)
    taper = 1.0 - np.abs(2.0 * (along[:-1] + 0.5 / _NUM_SEGMENTS)) ** 3
    groove = np.zeros_like(surface)
    ridge = np.zeros_like(surface)
    for index in range(_NUM_SEGMENTS):
        ends = (path_x[index], path_y[index], path_x[index + 1], path_y[index + 1])
        depth = np.float32(taper[index] * chatter[index])
        near = half_width - segment_distance(PIXEL_X, PIXEL_Y, *ends)
        np.maximum(groove, depth * smoothstep_edge(near, 1.5), out=groove)
        beside = half_width - segment_distance(PIXEL_X - lit_x, PIXEL_Y - lit_y, *ends)
        np.maximum(ridge, 0.8 * depth * smoothstep_edge(beside, 1.5), out=ridge)
    lit = surface + ridge * (lip - surface)
    result: FloatArray = lit + groove * (floor - lit)
    return result


def particle(surface: FloatArray, size_um: float, rng: np.random.Generator) -> FloatArray:
    """A grain of size_um across with an uneven outline, shaded from one side, in a faint shadow of its own."""
    centre_x, centre_y = rng.uniform(0.08, 0.92, size=2) * IMAGE_SIZE
    amplitudes = rng.normal(0.0, 1.0, size=4) * np.array([0.13, 0.09, 0.06, 0.04])
    phases = rng.uniform(0.0, 2.0 * np.pi, size=4)
    light_angle, level = rng.uniform(0.0, 2.0 * np.pi), float(rng.uniform(0.18, 0.5))
    radius = 0.5 * size_um / PIXEL_UM
    dx, dy = PIXEL_X - np.float32(centre_x), PIXEL_Y - np.float32(centre_y)
    angle = np.arctan2(dy, dx)
    outline = np.ones_like(angle)
    for order, (amplitude, phase) in enumerate(zip(amplitudes, phases, strict=True), start=2):
        outline += np.float32(amplitude) * np.cos(order * angle + np.float32(phase))
    depth = radius * np.maximum(outline, 0.5) - np.hypot(dx, dy)
    shadow = 0.35 * np.exp(-0.5 * (np.minimum(depth, 0.0) / (1.0 + 0.35 * radius)) ** 2)
    slope = (dx * np.cos(light_angle) + dy * np.sin(light_angle)) / radius
    body = np.clip(level + 0.16 * slope, 0.14, 0.66)
    shaded = surface * (1.0 - shadow)
    result: FloatArray = shaded + smoothstep_edge(depth, 2.0) * (body - shaded)
    return result.astype(np.float32)


def residue(surface: FloatArray, size_um: float, rng: np.random.Generator) -> FloatArray:
    """A dried film of size_um across with a ragged border: darker at the rim, tinted by its own thickness."""
    centre_x, centre_y = rng.uniform(0.15, 0.85, size=2) * IMAGE_SIZE
    ragged = SmoothField.build(IMAGE_SIZE, 26.0).sample(rng)
    aspect, turn = float(np.exp(rng.uniform(-0.35, 0.35))), float(rng.uniform(0.0, np.pi))
    phase = float(rng.uniform(0.0, 2.0 * np.pi))
    radius = 0.5 * size_um / PIXEL_UM
    dx, dy = PIXEL_X - np.float32(centre_x), PIXEL_Y - np.float32(centre_y)
    u = (dx * np.cos(turn) + dy * np.sin(turn)) / aspect
    v = (-dx * np.sin(turn) + dy * np.cos(turn)) * aspect
    thickness = 1.0 - np.hypot(u, v) / radius + 0.28 * ragged
    cover = smoothstep_edge(thickness * radius, 4.0)
    rim = np.exp(-0.5 * (thickness * radius / 2.5) ** 2)
    # Thin-film interference: reflectance swings with twice the optical thickness.
    tint = 0.74 + 0.12 * np.cos(5.0 * np.clip(thickness, 0.0, 1.2) + phase)
    filmed = surface * (1.0 + cover * (tint - 1.0))
    result: FloatArray = (filmed * (1.0 - 0.35 * rim * cover)).astype(np.float32)
    return result


def haze_ring(surface: FloatArray, size_um: float, rng: np.random.Generator) -> FloatArray:
    """An arc of a drying ring of radius size_um: fine scatter that veils the pattern and lifts its dark parts."""
    centre_x, centre_y = rng.uniform(0.1, 0.9, size=2) * IMAGE_SIZE
    start, uneven = float(rng.uniform(0.0, 2.0 * np.pi)), float(rng.uniform(0.3, 0.7))
    veil = float(rng.uniform(0.42, 0.52))
    radius = size_um / PIXEL_UM
    dx, dy = PIXEL_X - np.float32(centre_x), PIXEL_Y - np.float32(centre_y)
    width = 2.5 + 0.08 * radius
    ring = np.exp(-0.5 * ((np.hypot(dx, dy) - radius) / width) ** 2)
    around = 1.0 - uneven + uneven * np.cos(np.arctan2(dy, dx) - start)
    share = np.clip(0.75 * ring * np.maximum(around, 0.0), 0.0, 1.0)
    result: FloatArray = (surface + share * (veil - surface)).astype(np.float32)
    return result
