"""Looking at a data set before any model: what is normal here, and how do defects differ from it.

Shape legend: N training normals, T test images, 256 x 256 pixels in [0, 1] as the network sees them.
`explore` computes figures; `answers` puts them into sentences; neither knows a detector.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from waferlens.errors import DataError
from waferlens.evaluation.departures import Departures, Extent, measure_departures, measure_extent
from waferlens.evaluation.reference import NormalReference, sample_indices
from waferlens.evaluation.scored import BoolArray
from waferlens.evaluation.texture import Texture, measure_texture
from waferlens.evaluation.thresholding import Thresholding, measure_thresholding
from waferlens.records import IMAGE_SIZE, FloatArray


@dataclass(frozen=True, kw_only=True)
class ExplorationData:
    """The images to explore.

    train_images: (N, 256, 256) float32, normal. The rest describes the test set and is given together or
    not at all: test_images (T, 256, 256), test_defective (T,) bool, test_masks (T, 256, 256) bool,
    test_has_mask (T,) bool, test_defect_types T entries.

    Raises DataError when there is no training image or shapes disagree.
    """

    train_images: FloatArray
    test_images: FloatArray | None = None
    test_defective: BoolArray | None = None
    test_masks: BoolArray | None = None
    test_has_mask: BoolArray | None = None
    test_defect_types: tuple[str | None, ...] | None = None

    def __post_init__(self) -> None:
        size = (IMAGE_SIZE, IMAGE_SIZE)
        if self.train_images.ndim != 3 or self.train_images.shape[1:] != size or not len(self.train_images):
            raise DataError(
                "exploration starts from normal images",
                expected=f"(N >= 1, {IMAGE_SIZE}, {IMAGE_SIZE})",
                found=str(self.train_images.shape),
            )
        if self.test_images is None:
            return
        n = len(self.test_images)
        expected = {"test_images": (n, *size), "test_masks": (n, *size)}
        expected |= dict.fromkeys(("test_defective", "test_has_mask", "test_defect_types"), (n,))  # type: ignore[arg-type]
        for field, shape in expected.items():
            found = np.shape(getattr(self, field))
            if found != shape:
                raise DataError(f"{field} does not fit the test images", expected=str(shape), found=str(found))

    def masked_defects(self) -> npt.NDArray[np.intp]:
        """Indices of the defective test images whose mask is drawn."""
        if self.test_defective is None or self.test_has_mask is None:
            return np.empty(0, dtype=np.intp)
        return np.flatnonzero(self.test_defective & self.test_has_mask)


@dataclass(frozen=True, kw_only=True)
class Exploration:
    """What was found. A part that the data do not allow is None.

    grid: up to 16 seeded random training indices. defect_grid: up to 16 test indices of defective images,
    with drawn masks first, spread over the types.
    """

    num_train: int
    num_test_normal: int
    num_defective: int
    reference: NormalReference
    texture: Texture
    departures: Departures | None
    extent: Extent | None
    thresholding: Thresholding | None
    grid: tuple[int, ...]
    defect_grid: tuple[int, ...]


def explore(data: ExplorationData, *, seed: int = 0) -> Exploration:
    """Compute the figures of the exploration. The same data and seed give the same figures."""
    reference = NormalReference.from_images(data.train_images, seed=seed)
    masked = data.masked_defects()
    departures = extent = thresholding = None
    if masked.size and data.test_images is not None and data.test_masks is not None:
        masks = data.test_masks[masked]
        departures = measure_departures(data.test_images[masked], masks, data.train_images, reference, seed=seed)
        extent = measure_extent(masks)
    num_defective = 0 if data.test_defective is None else int(data.test_defective.sum())
    num_test = 0 if data.test_images is None else len(data.test_images)
    if data.test_images is not None and data.test_defective is not None and 0 < num_defective < num_test:
        thresholding = measure_thresholding(data.test_images, data.test_defective, data.train_images)
    return Exploration(
        num_train=len(data.train_images),
        num_test_normal=num_test - num_defective,
        num_defective=num_defective,
        reference=reference,
        texture=measure_texture(data.train_images, seed=seed),
        departures=departures,
        extent=extent,
        thresholding=thresholding,
        grid=tuple(int(i) for i in sample_indices(len(data.train_images), 16, seed)),
        defect_grid=_spread_over_types(data, 16),
    )


def _spread_over_types(data: ExplorationData, limit: int) -> tuple[int, ...]:
    """The first of each type, then the second of each, ...: masked images only where there are any."""
    if data.test_defective is None or data.test_defect_types is None:
        return ()
    candidates = data.masked_defects()
    if not candidates.size:
        candidates = np.flatnonzero(data.test_defective)
    seen: dict[str | None, int] = {}
    turns = []
    for index in candidates:
        defect_type = data.test_defect_types[index]
        seen[defect_type] = seen.get(defect_type, 0) + 1
        turns.append((seen[defect_type], int(index)))
    return tuple(sorted(index for _, index in sorted(turns)[:limit]))
