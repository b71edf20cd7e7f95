"""The images of a data set, packed; says what is missing before anything is read."""

from __future__ import annotations

from collections.abc import Callable

from waferlens.errors import DataError
from waferlens.images.cache import PackedImages, pack_images
from waferlens.images.layouts import Dataset
from waferlens.images.options import ImageOptions
from waferlens.settings.environment import cache_folder, num_workers

Count = Callable[[int, int], None]


def pack_training(dataset: Dataset, options: ImageOptions, count: Count | None = None) -> PackedImages:
    """The normal images to learn from. Raises DataError when there is none or one cannot be read."""
    if not dataset.train:
        raise DataError(
            f"{dataset.root}: no images to learn from",
            expected="normal images in train/good, in a plain folder, or in a manifest's train part",
            found=f"{len(dataset.test)} test images alone",
        )
    return pack_images(dataset.train, options, cache_folder(), workers=num_workers(), progress=count)


def pack_test(dataset: Dataset, options: ImageOptions, count: Count | None = None) -> PackedImages:
    """The images to evaluate on. Raises DataError when there is none or one cannot be read."""
    if not dataset.test:
        raise DataError(
            f"{dataset.root}: no images to evaluate on",
            expected="test/good and test/<defect type>, or a manifest with a test part",
            found=f"{len(dataset.train)} images to learn from alone",
        )
    return pack_images(dataset.test, options, cache_folder(), workers=num_workers(), progress=count)
