"""An engine that says which image it saw: for tests of what stands around engines."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np

from waferlens.engines.interface import Outputs
from waferlens.engines.worker import Served

SAMPLES = np.zeros((2, 256, 256), np.uint8)


def image(number: int) -> np.ndarray:
    """An image that carries a number below 2^24 in its first pixels."""
    pixels = np.full((256, 256), 7, np.uint8)
    pixels[0, :3] = number & 255, number >> 8 & 255, number >> 16
    return pixels


class Faults:
    """What a test may do to every engine of a pool while it runs."""

    def __init__(self, seconds: float = 0.0, per_image: float = 0.0):
        self.seconds = seconds
        self.per_image = per_image
        self.broken = threading.Event()
        self.poison: int | None = None
        self.num_begun = 0
        self.calls: list[int] = []
        self.num_opened = 0


class EchoEngine:
    """Answers with the number that an image carries, plus ``offset`` for the bundle; slow and faulty on demand."""

    name = "echo"

    def __init__(self, faults: Faults, offset: int = 0):
        if faults.broken.is_set():
            raise RuntimeError("does not open")
        faults.num_opened += 1
        self._faults, self._offset = faults, offset
        self._held = threading.Lock()

    def infer(self, pixels: np.ndarray) -> Outputs:
        assert self._held.acquire(blocking=False), "two threads in one engine"
        try:
            faults = self._faults
            faults.num_begun += len(pixels)
            time.sleep(faults.seconds + faults.per_image * len(pixels))
            numbers = [int(p[0, 0]) | int(p[0, 1]) << 8 | int(p[0, 2]) << 16 for p in pixels]
            faults.calls.append(len(pixels))
            if faults.broken.is_set() or (faults.poison is not None and faults.poison in numbers):
                raise RuntimeError("device lost")
            answers = np.asarray(numbers, np.float32)
            maps = np.broadcast_to(answers[:, None, None, None], (len(pixels), 1, 256, 256))
            latent = np.broadcast_to(answers[:, None], (len(pixels), 128))
            return Outputs(maps, maps, answers + self._offset, answers, latent)
        finally:
            self._held.release()


def serving(faults: Faults, num_workers: int = 1, max_batch: int = 1):
    """What a pool loads: the bundle ``v<offset>`` answers with its offset added."""

    def load(bundle: Path) -> Served:
        offset = int(bundle.name[1:])
        return Served(
            model_version=bundle.name,
            open_engine=lambda: EchoEngine(faults, offset),
            samples=SAMPLES,
            num_workers=num_workers,
            max_batch=max_batch,
        )

    return load
