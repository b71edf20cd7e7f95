"""A method and a labelled test set become ``ScoredImages``: the one way in which every method is scored."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from waferlens.engines.interface import Outputs
from waferlens.errors import DataError
from waferlens.evaluation.exploration import ExplorationData
from waferlens.evaluation.scored import ScoredImages
from waferlens.images.cache import PackedImages
from waferlens.images.options import ImageOptions
from waferlens.images.roi import read_mask
from waferlens.models.detector import Detector
from waferlens.models.normalise import Normalise
from waferlens.records import IMAGE_SIZE, LATENT_DIM, FloatArray, ImageRef, Label, Pixels
from waferlens.training.feed import as_tensor

MAX_EXPLORED = 1_000
"""Training images that exploration looks at, at most."""

_BATCH = 16
# Above this many images the maps of a test set live in temporary files instead of memory.
_IN_MEMORY_UP_TO = 2_000

Infer = Callable[[Pixels], Outputs]
Count = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class TestSet:
    """Labelled images, read once for every method. Arrays as in ``ScoredImages``; images are normalised."""

    refs: tuple[ImageRef, ...]
    packed: PackedImages
    images: FloatArray
    masks: npt.NDArray[np.bool_]
    has_mask: npt.NDArray[np.bool_]

    @property
    def defective(self) -> npt.NDArray[np.bool_]:
        """(N,) bool."""
        return np.asarray([ref.label is Label.DEFECTIVE for ref in self.refs])

    @property
    def defect_types(self) -> tuple[str | None, ...]:
        """None for a normal image; 'defect' for a defective one of no stated type."""
        return tuple((ref.defect_type or "defect") if ref.label is Label.DEFECTIVE else None for ref in self.refs)

    def exploration(self, train_images: FloatArray) -> ExplorationData:
        """These images beside normal ones to learn from, as exploration takes them."""
        return ExplorationData(
            train_images=train_images,
            test_images=self.images,
            test_defective=self.defective,
            test_masks=self.masks,
            test_has_mask=self.has_mask,
            test_defect_types=self.defect_types,
        )


def require_labels(refs: Sequence[ImageRef]) -> None:
    """Raise DataError when there is no image or one has no label."""
    unlabelled = [ref.name for ref in refs if ref.label is Label.UNKNOWN]
    if unlabelled or not refs:
        raise DataError(
            "evaluation needs labelled test images",
            expected="test/good and test/<defect type>, or a manifest with labels",
            found=f"{len(unlabelled)} without a label, such as {unlabelled[0]}" if unlabelled else "none",
        )


def read_test_set(
    refs: Sequence[ImageRef], packed: PackedImages, normalise: Normalise, options: ImageOptions
) -> TestSet:
    """Images as the network will see them, and their masks.

    Raises DataError when there is no labelled image or one has no label.
    """
    require_labels(refs)
    masks = np.zeros((len(refs), IMAGE_SIZE, IMAGE_SIZE), dtype=np.bool_)
    has_mask = np.ones(len(refs), dtype=np.bool_)
    for index, ref in enumerate(refs):
        if ref.label is Label.DEFECTIVE:
            has_mask[index] = ref.mask is not None
            if ref.mask is not None:
                masks[index] = read_mask(ref.mask, options, name=ref.mask.name)
    return TestSet(
        refs=tuple(refs),
        packed=packed,
        images=normalised(packed, np.arange(len(packed)), normalise),
        masks=masks,
        has_mask=has_mask,
    )


def normalised(packed: PackedImages, rows: npt.NDArray[np.int64], normalise: Normalise) -> FloatArray:
    """(len(rows), 256, 256) float32 in [0, 1]."""
    images = _maps(len(rows))
    with torch.inference_mode():
        for start in range(0, len(rows), _BATCH):
            pixels = as_tensor(packed.take(rows[start : start + _BATCH]))
            images[start : start + _BATCH] = normalise(pixels)[:, 0].numpy()
    return images


def detector_infer(detector: Detector) -> Infer:
    """Ask a detector in memory, as an engine would be asked."""

    def infer(pixels: Pixels) -> Outputs:
        with torch.inference_mode():
            return Outputs(*(output.numpy() for output in detector(as_tensor(pixels))))

    return infer


def score_test_set(method: str, infer: Infer, test: TestSet, num_parameters: int, count: Count) -> ScoredImages:
    """Run a method over the test set, batch by batch."""
    num_images = len(test.refs)
    heatmaps, reconstructions, errors = _maps(num_images), _maps(num_images), _maps(num_images)
    scores, mean_errors, latents = [], [], []
    for start in range(0, num_images, _BATCH):
        part = slice(start, min(start + _BATCH, num_images))
        outputs = infer(test.packed.take(np.arange(part.start, part.stop)))
        heatmaps[part], reconstructions[part] = outputs.heatmap[:, 0], outputs.reconstruction[:, 0]
        errors[part] = np.square(test.images[part] - reconstructions[part])
        scores.append(outputs.score.astype(np.float64))
        mean_errors.append(outputs.reconstruction_error.astype(np.float64))
        latents.append(outputs.latent)
        count(part.stop, num_images)
    latent = np.concatenate(latents)
    return ScoredImages(
        method=method,
        names=tuple(ref.name for ref in test.refs),
        defective=test.defective,
        defect_types=test.defect_types,
        masks=test.masks,
        has_mask=test.has_mask,
        images=test.images,
        num_parameters=num_parameters,
        scores=np.concatenate(scores),
        reconstruction_errors=np.concatenate(mean_errors),
        heatmaps=heatmaps,
        error_maps=errors,
        reconstructions=reconstructions,
        latents=latent if latent.shape[1] == LATENT_DIM else None,
    )


def _maps(num_images: int) -> FloatArray:
    shape = (num_images, IMAGE_SIZE, IMAGE_SIZE)
    if num_images <= _IN_MEMORY_UP_TO:
        return np.empty(shape, dtype=np.float32)
    folder = Path(tempfile.mkdtemp(prefix="waferlens-"))
    maps = np.memmap(folder / "maps", dtype=np.float32, mode="w+", shape=shape)
    # The file has no name any more: it is gone when the last array that uses it is.
    (folder / "maps").unlink()
    folder.rmdir()
    return maps
