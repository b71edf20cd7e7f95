"""What every engine gives. Knows no runtime."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from waferlens.records import FloatArray, Inference, Pixels


class Outputs(NamedTuple):
    """The detector's five outputs for a batch, in the order of every export.

    reconstruction, heatmap: (B, 1, 256, 256) float32. score, reconstruction_error: (B,) float32.
    latent: (B, Z) float32.
    """

    reconstruction: FloatArray
    heatmap: FloatArray
    score: FloatArray
    reconstruction_error: FloatArray
    latent: FloatArray


class Engine(Protocol):
    """A loaded bundle. One engine is one stream of work: callers do not share it between threads."""

    @property
    def name(self) -> str:
        """Short name, as in ``ENGINES``."""

    def infer(self, pixels: Pixels) -> Outputs:
        """Canonical pixels (B, 256, 256) to the five outputs.

        Raises EngineError when the runtime fails or the pixels have another shape.
        """


class TimedEngine(Protocol):
    """What a service infers with: ``EnginePool`` in its own process, or ``TritonEngine`` on servers."""

    @property
    def ready(self) -> bool:
        """Whether an image that came now would be answered."""

    @property
    def model_version(self) -> str:
        """Of the bundle that new images get."""

    def infer(self, pixels: AnyPixels, deadline: float) -> Inference:
        """One image by a time of ``time.monotonic``. Raises Overloaded, DeadlineMissed or EngineFailed."""

    def swap(self, bundle: Path) -> None:
        """Go over to another bundle, dropping nothing. Raises BundleError or EngineError: the old one stays."""

    def close(self) -> None:
        """Answer what waits, and let everything go."""


AnyPixels = npt.NDArray[np.uint8] | npt.NDArray[np.uint16] | npt.NDArray[np.float32]
"""(256, 256): canonical pixels, or float32 in [0, 1]."""

ModelInput = npt.NDArray[np.uint8] | npt.NDArray[np.float32]
