"""Whose turn it is among Triton servers: those that are well, then those that were late, then those that are down.

A server that stood still once most likely stands still for the next image too. Until its ready path has answered
it comes behind the others, and they have all the time.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable

from waferlens.engines.triton_endpoint import RemoteModel


class Turns:
    """What is known of each of so many servers, for one model at a time. Shared between threads."""

    def __init__(self, count: int, model: RemoteModel) -> None:
        """None is up yet."""
        self._count = count
        self._lock = threading.Lock()
        self._model = model
        self._turn = 0
        self._up: set[int] = set()
        self._late: set[int] = set()

    @property
    def model(self) -> RemoteModel:
        """That new images are asked for."""
        return self._model

    @property
    def up(self) -> list[int]:
        """Servers that have the model ready, late ones too."""
        with self._lock:
            return sorted(self._up)

    def next(self) -> tuple[RemoteModel, list[int], int]:
        """The model, every server in the order in which to ask, and how many of the first share the time.

        Those share that are well; where none is, those that were late; where none is up, all.
        """
        with self._lock:
            self._turn += 1
            turned = [(self._turn + offset) % self._count for offset in range(self._count)]
            well = [index for index in turned if index in self._up - self._late]
            late = [index for index in turned if index in self._up & self._late]
            down = [index for index in turned if index not in self._up]
            return self._model, well + late + down, len(well) or len(late) or self._count

    def mark(self, index: int, model: RemoteModel, *, up: bool) -> None:
        """What a server's ready path said of the model, or that it failed. Nothing if the model is another now."""
        with self._lock:
            if model is not self._model:
                return
            if up:
                self._up.add(index)
                self._late.discard(index)
            else:
                self._up.discard(index)

    def mark_late(self, index: int) -> None:
        """A server gave no answer in the time that it had; whether it is down, its ready path will tell."""
        with self._lock:
            self._late.add(index)

    def go_over(self, model: RemoteModel, up: Iterable[int]) -> None:
        """From now on ask for this model those that have it ready."""
        with self._lock:
            self._model, self._up = model, set(up)
