"""Which settled images are most like one: an exact search over the latents of the newest of them, in memory.

Distances are Euclidean between posterior means; the prior is a standard normal, so a latent that the model does
not use adds nothing. Latents of different models are never compared. 20,000 images take 10 MB.

Shape legend: N images, Z = 128 latents.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from waferlens.records import LATENT_DIM, DecisionKind, FloatArray
from waferlens.storage.database import Database
from waferlens.storage.reviewed import SettledImage, last_settlement, settled_after

_PAGE = 2000
_LOOK_BACK = 200
"""Settlements read again each time: on PostgreSQL a smaller number may become visible after a larger one."""


@dataclass(frozen=True, kw_only=True)
class Similar:
    """A settled image and how far it is away, in standard deviations of the prior."""

    image: SettledImage
    distance: float


class SettledImages:
    """The newest settled images, found by similarity. Many threads may ask at once."""

    def __init__(self, database: Database, capacity: int) -> None:
        self._database, self._capacity = database, capacity
        self._latents: FloatArray = np.zeros((0, LATENT_DIM), dtype=np.float32)
        self._images: list[SettledImage] = []
        self._rows: dict[str, int] = {}
        self._seq, self._oldest = 0, 0
        self._lock = threading.Lock()

    def similar(
        self, latent: FloatArray, model_version: str, disposition: DecisionKind, *, product: str, count: int = 6
    ) -> list[Similar]:
        """The nearest images of a model and product that were settled so, nearest first. latent: (Z,).

        Reads what was settled since the last time. Raises DatabaseLost.
        """
        with self._lock:
            self._follow()
            wanted = [
                row
                for row, image in enumerate(self._images)
                if image.disposition is disposition
                and image.product == product
                and image.model_version == model_version
            ]
            differences = self._latents[wanted] - latent  # (N, Z)
            distances = np.sqrt(np.einsum("nz,nz->n", differences, differences))
            nearest = np.argsort(distances, kind="stable")[:count]
            return [Similar(image=self._images[wanted[at]], distance=float(distances[at])) for at in nearest]

    def _follow(self) -> None:
        with self._database.reading() as connection:
            if self._seq == 0:
                self._seq = max(0, last_settlement(connection) - self._capacity)
            after = max(0, self._seq - _LOOK_BACK)
            while page := settled_after(connection, after, limit=_PAGE):
                self._take(page)
                after = page[-1].seq
        self._seq = max(self._seq, after)

    def _take(self, images: Iterable[SettledImage]) -> None:
        """Put images into rows: their own, if they came before; else a new one; else that of the oldest."""
        for image in images:
            if image.latent is None:
                continue
            row = self._rows.get(image.inspection_id)
            if row is None:
                row = self._free_row()
            self._images[row : row + 1] = [image]
            self._rows[image.inspection_id] = row
            self._latents[row] = np.frombuffer(image.latent, dtype="<f4")

    def _free_row(self) -> int:
        if len(self._images) < self._capacity:
            if len(self._images) == len(self._latents):
                more = min(self._capacity, max(1024, 2 * len(self._latents))) - len(self._latents)
                self._latents = np.concatenate([self._latents, np.zeros((more, LATENT_DIM), dtype=np.float32)])
            return len(self._images)
        row = self._oldest
        self._oldest = (self._oldest + 1) % self._capacity
        del self._rows[self._images[row].inspection_id]
        return row
