"""What every engine gives. Knows no runtime."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from waferlens.records import FloatArray, Pixels


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


ModelInput = npt.NDArray[np.uint8] | npt.NDArray[np.float32]
