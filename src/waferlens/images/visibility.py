"""Whether a change of an image can be seen: over the noise, and by enough grey levels. Knows nothing of defects.

Images are (H, W) floats, grey levels as shares of full scale.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from waferlens.images.roi import Mask

Image = npt.NDArray[np.float64]

VISIBLE_DIFFERENCE = 0.012
"""Least visible change, share of full scale: 3 grey levels of 255, as in the masks of the synthetic fab."""

# A change is judged after averaging over about 13 pixels, as the eye does. What is left of the difference of two
# independently noisy images is then 0.40 of the noise of one; four deviations of that are not noise.
_EYE_SIGMA_PX = 1.0
_VISIBLE_NOISES = 1.6


def visible_change(before: Image, after: Image, noise: float) -> Mask:
    """Pixels that differ, and visibly so: after averaging, by VISIBLE_DIFFERENCE and by more than the noise.

    before, after: (H, W) in [0, 1]. noise: standard deviation of either, share of full scale.
    """
    difference = after - before
    averaged = np.abs(ndimage.gaussian_filter(difference, _EYE_SIGMA_PX))
    return np.asarray((averaged > max(VISIBLE_DIFFERENCE, _VISIBLE_NOISES * noise)) & (difference != 0))


def noise_level(image: Image) -> float:
    """Standard deviation of the noise of an image with even sides, from its finest diagonal details.

    The median of their absolute values over 0.6745 (Donoho & Johnstone 1994): lines and edges along rows or
    columns have no such details, and other structure is the exception.
    """
    details = (image[::2, ::2] - image[1::2, ::2] - image[::2, 1::2] + image[1::2, 1::2]) / 2
    return float(np.median(np.abs(details)) / 0.6745)
