"""One Triton server, spoken to over HTTP or gRPC. Knows its protocol and nothing of other servers.

An endpoint never waits longer than it is told. What goes wrong is one of three things, because what follows
differs:

    EndpointDown    it cannot be reached, or fails: ask another one, and leave this one alone until it is ready
    again EndpointLate    no answer in the time given: ask another one; whether it is down, its ready path will
    tell EndpointBusy    it refused because its queue is full or would take too long: it is well, ask another
    one
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from waferlens.engines.interface import ModelInput, Outputs
from waferlens.engines.triton_names import INPUT, OUTPUTS
from waferlens.errors import EngineError


class EndpointDown(EngineError):
    """The server cannot be reached, or its model fails."""


class EndpointLate(EngineError):
    """No answer in the time given."""


class EndpointBusy(EngineError):
    """The server is well and refused this request: its queue is full, or too long for the deadline."""


@dataclass(frozen=True, kw_only=True)
class Described:
    """What a server says of its model. datatype: UINT8 or FP32. versions: numbers, as text."""

    datatype: str
    versions: tuple[str, ...]


class Endpoint(Protocol):
    """One server. Shared between threads."""

    @property
    def url(self) -> str:
        """Scheme, host and port."""

    def infer(self, images: ModelInput, seconds: float) -> tuple[Outputs, str]:
        """The outputs for (B, 1, 256, 256) and the version that gave them. Raises one of the three errors."""

    def is_ready(self, seconds: float) -> bool:
        """Whether the model's own ready path says so: the server's turns red when another model is broken."""

    def describe(self, seconds: float) -> Described:
        """Type of the input, and versions. Raises EndpointDown or EndpointLate."""

    def close(self) -> None:
        """Let connections go."""


def datatype_of(images: ModelInput) -> str:
    """Triton's name for the type of an array."""
    return "UINT8" if images.dtype == np.uint8 else "FP32"


def filled_input(kind: Any, images: ModelInput, **told: Any) -> Any:
    """A client library's ``InferInput`` with the images in it."""
    tensor = kind(INPUT, list(images.shape), datatype_of(images))
    tensor.set_data_from_numpy(np.ascontiguousarray(images), **told)
    return tensor


def outputs_of(result: Any, num_images: int) -> Outputs:
    """The five outputs of a client library's ``InferResult``. Raises EndpointDown when one is missing."""
    arrays = [result.as_numpy(name) for name in OUTPUTS]
    for name, array in zip(OUTPUTS, arrays, strict=True):
        if array is None or len(array) != num_images:
            found = "nothing" if array is None else str(array.shape)
            raise EndpointDown(f"the server's answer lacks {name}", expected=f"{num_images} images", found=found)
    reconstruction, heatmap, score, error, latent = arrays
    return Outputs(reconstruction, heatmap, score.reshape(num_images), error.reshape(num_images), latent)


def is_refusal(message: str) -> bool:
    """Whether a server's error says that the request was refused or dropped by its queue policy."""
    lowered = message.lower()
    return "queue size" in lowered or "request timeout expired" in lowered
