"""From packed pixels to the batches a network is trained on. Knows nothing of losses.

packed uint8 or uint16 (N, 256, 256) ──take──► device ──Normalise──► (B, 1, 256, 256) float32
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from waferlens.images.cache import PackedImages
from waferlens.models.normalise import Normalise
from waferlens.records import IMAGE_SIZE, Pixels
from waferlens.training.schedule import Indices

# Up to this many bytes of normalised float32 images are kept in memory; larger sets are normalised on the way.
_KEEP_BYTES = 4 << 30


def as_tensor(pixels: Pixels) -> Tensor:
    """Canonical pixels (B, 256, 256) to what the detector takes: (B, 1, 256, 256) uint8, or float32 in [0, 1]."""
    if pixels.dtype == np.uint8:
        return torch.from_numpy(pixels).unsqueeze(1)
    return torch.from_numpy(pixels.astype(np.float32) / 65535.0).unsqueeze(1)


class Feed:
    """Normalised images of some rows of a pack, by index, on a device. Index i is row ``rows[i]``."""

    def __init__(self, images: PackedImages, rows: Indices, normalise: Normalise, device: torch.device) -> None:
        self._images = images
        self._rows = rows
        self._normalise = normalise.to(device)
        self._device = device
        self._kept: Tensor | None = None
        if len(rows) * 4 * IMAGE_SIZE**2 <= _KEEP_BYTES:
            self._kept = torch.cat([self._read(part) for part in _chunks(len(rows))])

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the images, by index."""
        return tuple(self._images.names[row] for row in self._rows)

    def take(self, indices: Indices) -> Tensor:
        """(B, 1, 256, 256) float32 in [0, 1], not augmented."""
        if self._kept is None:
            return self._read(indices)
        return self._kept[torch.from_numpy(indices).to(self._device)]

    def batches(self, order: Iterable[Indices]) -> Iterator[Tensor]:
        """Batches in this order; the next one is fetched while the caller works on the last."""
        with ThreadPoolExecutor(max_workers=1) as fetcher:
            pending = None
            for indices in order:
                following = fetcher.submit(self.take, indices)
                if pending is not None:
                    yield pending.result()
                pending = following
            if pending is not None:
                yield pending.result()

    @torch.no_grad()
    def _read(self, indices: Indices) -> Tensor:
        pixels = as_tensor(self._images.take(self._rows[indices])).to(self._device, non_blocking=True)
        image: Tensor = self._normalise(pixels)
        return image


def _chunks(num_images: int, size: int = 64) -> Iterator[Indices]:
    for start in range(0, num_images, size):
        yield np.arange(start, min(start + size, num_images))
