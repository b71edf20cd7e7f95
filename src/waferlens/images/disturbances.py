"""What a line does to an image: one disturbance at a time, in named levels from none to gross.

A detector that was measured on clean images says little about the day on which the lamp ages or the stage
stops short. Here the images of a test set become those of that day. Legend: H = W = 256; grey values run
from 0 to full scale, 255 in ``uint8`` and 65535 in ``uint16``. What leaves that range is clipped, as a
camera would; everything is rounded to whole grey values once, at the end, half to even.

Every direction and all noise come from the generator that is passed. Passed in the same state for two
levels, it gives the same direction and the same noise, only more of it: a ladder then compares amounts and
not luck. Knows nothing of detectors, and trains none: ``augment`` is what training varies, and milder.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage

from waferlens.errors import ImageDepthError, OptionsError
from waferlens.records import Pixels

NONE = "none"
"""Name of the first level of every ladder: the image as it is."""

Values = npt.NDArray[np.float64]
"""Grey values on the scale of the image they came from, not yet rounded, (H, W)."""

Apply = Callable[[Pixels, float, np.random.Generator], Values]

_MIRRORED = "reflect"  # d c b a | a b c d | d c b a: the edge pixel is repeated, as augmentation does
_EIGHT_BIT_STEP = 257  # 255 * 257 = 65535


@dataclass(frozen=True, kw_only=True)
class Level:
    """One step of a ladder. amount: in the unit of its disturbance."""

    name: str
    amount: float

    @property
    def is_none(self) -> bool:
        """Whether this is the image as it is."""
        return self.name == NONE


@dataclass(frozen=True, kw_only=True)
class Disturbance:
    """One way in which images go wrong.

    key: in JSON. title: for people. unit: what amounts count. levels: the ladder, ``none`` first. allowed:
    the smallest and the largest amount. whole: whether amounts are whole numbers.
    """

    key: str
    title: str
    unit: str
    levels: tuple[Level, ...]
    allowed: tuple[float, float]
    apply: Apply
    whole: bool = False


def disturb(pixels: Pixels, disturbance: Disturbance, level: Level, rng: np.random.Generator) -> Pixels:
    """A disturbed copy of one image, same shape and type; for the level ``none`` the same pixels.

    pixels: canonical, (H, W) uint8 or uint16. level: of the ladder, or any other amount in range. rng: draws
    direction and noise, where there is any.
    Raises ImageDepthError for other pixels, OptionsError for an amount out of range.
    """
    if pixels.ndim != 2 or pixels.dtype not in (np.uint8, np.uint16):
        raise ImageDepthError(
            "only canonical pixels can be disturbed",
            expected="(H, W) uint8 or uint16",
            found=f"{pixels.shape} {pixels.dtype}",
        )
    if level.is_none:
        return pixels.copy()
    low, high = disturbance.allowed
    if not low <= level.amount <= high or (disturbance.whole and level.amount != int(level.amount)):
        kind = "a whole number" if disturbance.whole else "a number"
        raise OptionsError(
            f"{disturbance.key}: the amount is out of range",
            expected=f"{kind} from {low:g} to {high:g} ({disturbance.unit})",
            found=str(level.amount),
        )
    values = disturbance.apply(pixels, level.amount, rng)
    rounded = np.clip(np.rint(values), 0, _full_scale(pixels))
    return rounded.astype(np.uint8) if pixels.dtype == np.uint8 else rounded.astype(np.uint16)


def _full_scale(pixels: Pixels) -> int:
    return int(np.iinfo(pixels.dtype).max)


def _tilt(pixels: Pixels, share: float, rng: np.random.Generator) -> Values:
    """Light that falls off along a line: times 1 - share / 2 in one corner, 1 + share / 2 in the opposite one."""
    angle = rng.uniform(0.0, 2.0 * np.pi)
    along_y, along_x = np.sin(angle), np.cos(angle)
    y, x = (np.linspace(-0.5, 0.5, side) for side in pixels.shape)
    # Over this sum the plane spans exactly one from corner to corner, whatever the angle.
    plane = (along_y * y[:, None] + along_x * x) / (abs(along_y) + abs(along_x))
    return np.asarray(pixels * (1.0 + share * plane), np.float64)


def _gain(pixels: Pixels, factor: float, _: np.random.Generator) -> Values:
    return np.asarray(pixels * factor, np.float64)


def _offset(pixels: Pixels, share: float, _: np.random.Generator) -> Values:
    return np.asarray(pixels + share * _full_scale(pixels), np.float64)


def _defocus(pixels: Pixels, sigma: float, _: np.random.Generator) -> Values:
    blurred: Values = ndimage.gaussian_filter(pixels.astype(np.float64), sigma, mode=_MIRRORED)
    return blurred


def _noise(pixels: Pixels, sigma: float, rng: np.random.Generator) -> Values:
    return pixels + sigma * _full_scale(pixels) * rng.standard_normal(pixels.shape)


def _shift(pixels: Pixels, distance: float, rng: np.random.Generator) -> Values:
    """Along one axis of the image: a whole number of pixels then moves grey values and mixes none."""
    along = ((0, 1), (0, -1), (1, 0), (-1, 0))[rng.integers(4)]
    by = tuple(distance * step for step in along)
    moved: Values = ndimage.shift(pixels.astype(np.float64), by, order=1, mode=_MIRRORED)
    return moved


def _rotation(pixels: Pixels, degrees: float, rng: np.random.Generator) -> Values:
    angle = degrees if rng.integers(2) else -degrees
    turned: Values = ndimage.rotate(pixels.astype(np.float64), angle, reshape=False, order=1, mode=_MIRRORED)
    return turned


def _jpeg(pixels: Pixels, quality: float, _: np.random.Generator) -> Values:
    """Coded by libjpeg as 8-bit grey and decoded: 16-bit values lose their finer steps before the coding."""
    step = 1 if pixels.dtype == np.uint8 else _EIGHT_BIT_STEP
    coded = io.BytesIO()
    Image.fromarray(np.rint(pixels / step).astype(np.uint8)).save(coded, "JPEG", quality=int(quality))
    with Image.open(coded) as decoded:
        return np.asarray(decoded, np.float64) * step


def _depth(pixels: Pixels, bits: float, _: np.random.Generator) -> Values:
    """The nearest of 2**bits grey values, evenly apart, black and full scale among them."""
    step = _full_scale(pixels) / (2.0**bits - 1.0)
    return np.asarray(np.rint(pixels / step) * step, np.float64)


def _ladder(neutral: float, levels: Mapping[str, float]) -> tuple[Level, ...]:
    return tuple(Level(name=name, amount=amount) for name, amount in {NONE: neutral, **levels}.items())


DISTURBANCES: tuple[Disturbance, ...] = (
    Disturbance(
        key="illumination_tilt",
        title="Illumination tilt",
        unit="change of white from corner to corner, share of full scale",
        levels=_ladder(0.0, {"5 %": 0.05, "10 %": 0.1, "20 %": 0.2, "40 %": 0.4}),
        allowed=(0.0, 1.0),
        apply=_tilt,
    ),
    Disturbance(
        key="gain",
        title="Gain",
        unit="factor on every grey value",
        levels=_ladder(1.0, {"x0.6": 0.6, "x0.8": 0.8, "x1.2": 1.2, "x1.4": 1.4}),
        allowed=(0.0, 10.0),
        apply=_gain,
    ),
    Disturbance(
        key="offset",
        title="Offset",
        unit="added to every grey value, share of full scale",
        levels=_ladder(0.0, {"-10 %": -0.1, "-5 %": -0.05, "+5 %": 0.05, "+10 %": 0.1}),
        allowed=(-1.0, 1.0),
        apply=_offset,
    ),
    Disturbance(
        key="defocus",
        title="Defocus",
        unit="sigma of a Gaussian blur, pixels",
        levels=_ladder(0.0, {"0.5 px": 0.5, "1 px": 1.0, "2 px": 2.0, "3 px": 3.0}),
        allowed=(0.0, 32.0),
        apply=_defocus,
    ),
    Disturbance(
        key="noise",
        title="Noise",
        unit="standard deviation of Gaussian noise, share of full scale",
        levels=_ladder(0.0, {"1 %": 0.01, "2 %": 0.02, "5 %": 0.05, "10 %": 0.1}),
        allowed=(0.0, 1.0),
        apply=_noise,
    ),
    Disturbance(
        key="shift",
        title="Shift",
        unit="pixels, along one axis",
        levels=_ladder(0.0, {"1 px": 1.0, "2 px": 2.0, "4 px": 4.0, "8 px": 8.0}),
        allowed=(0.0, 64.0),
        apply=_shift,
    ),
    Disturbance(
        key="rotation",
        title="Rotation",
        unit="degrees about the centre",
        levels=_ladder(0.0, {"0.5°": 0.5, "1°": 1.0, "2°": 2.0, "3°": 3.0}),
        allowed=(0.0, 45.0),
        apply=_rotation,
    ),
    Disturbance(
        key="jpeg",
        title="JPEG",
        unit="quality of libjpeg; undisturbed: not coded",
        levels=_ladder(100.0, {"q 90": 90.0, "q 75": 75.0, "q 50": 50.0, "q 25": 25.0}),
        allowed=(1.0, 100.0),
        apply=_jpeg,
        whole=True,
    ),
    Disturbance(
        key="bit_depth",
        title="Bit depth",
        unit="bits a pixel; undisturbed: as stored",
        levels=_ladder(16.0, {"8 bit": 8.0, "6 bit": 6.0, "5 bit": 5.0, "4 bit": 4.0}),
        allowed=(1.0, 16.0),
        apply=_depth,
        whole=True,
    ),
)
"""Every disturbance. At 8 bits a pixel an 8-bit image stays as it is, and a 16-bit one loses its finer steps."""
