"""One Triton server, spoken to over HTTP or gRPC. Knows its protocol and nothing of other servers.

An endpoint never waits longer than it is told. What goes wrong is one of three things, because what follows
differs:

    EndpointDown    cannot be reached, or fails: leave it alone until its ready path says otherwise
    EndpointLate    no answer in the time given: ask another one; whether it is down, its ready path will tell
    EndpointBusy    refused because its queue is full or too long: it is well, ask another one
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np

from waferlens.engines.interface import ModelInput, Outputs
from waferlens.engines.triton_names import INPUT, OUTPUTS, version_number
from waferlens.errors import DeadlineMissed, EngineError, EngineFailed, Overloaded


class EndpointDown(EngineError):
    """The server cannot be reached, or its model fails."""


class EndpointLate(EngineError):
    """No answer in the time given."""


class EndpointBusy(EngineError):
    """The server is well and refused this request: its queue is full, or too long for the deadline."""


@dataclass(frozen=True, kw_only=True)
class RemoteModel:
    """Which version of which model servers are asked for: that of the bundle whose thresholds will decide.

    name, version and input_type are those of the bundle's config.json. graph_sha256: of its TorchScript file,
    which a server compares when it loads the version.
    """

    name: str
    version: str
    input_type: Literal["uint8", "float32"]
    graph_sha256: str = ""

    @property
    def number(self) -> str:
        """The version as Triton counts."""
        return str(version_number(self.version))

    @property
    def full_name(self) -> str:
        """As an answer names it: ``NAME-VERSION``."""
        return f"{self.name}-{self.version}"


class Endpoint(Protocol):
    """One server. Shared between threads."""

    @property
    def url(self) -> str:
        """Scheme, host and port."""

    def infer(self, model: RemoteModel, images: ModelInput, seconds: float) -> Outputs:
        """The outputs for (B, 1, 256, 256). Raises one of the three, also for an answer of another version."""

    def is_ready(self, model: RemoteModel, seconds: float) -> bool:
        """Whether the version's own ready path says so: the server's turns red when another version is broken."""

    def load(self, model: RemoteModel, seconds: float) -> None:
        """Have the server serve this version beside those that it serves; returns once it does.

        The version's files must stand in the server's repository. Raises one of the three.
        """

    def close(self) -> None:
        """Let connections go."""


def configuration_with(served: dict[str, Any], model: RemoteModel) -> str:
    """A server's configuration of a model, as it tells it, with one version more; JSON for its load call."""
    policy = served.get("version_policy", {}).get("specific", {})
    numbers = [str(number) for number in policy.get("versions", ()) if str(number) != model.number]
    parameters = served.get("parameters", {}) | {f"sha256_{model.number}": {"string_value": model.graph_sha256}}
    versions = {"specific": {"versions": [*numbers, model.number]}}
    return json.dumps(served | {"version_policy": versions, "parameters": parameters})


def datatype_of(images: ModelInput) -> str:
    """Triton's name for the type of an array."""
    return "UINT8" if images.dtype == np.uint8 else "FP32"


def filled_input(kind: Any, images: ModelInput, **told: Any) -> Any:
    """A client library's ``InferInput`` with the images in it."""
    tensor = kind(INPUT, list(images.shape), datatype_of(images))
    tensor.set_data_from_numpy(np.ascontiguousarray(images), **told)
    return tensor


def outputs_of(result: Any, answered: str, model: RemoteModel, num_images: int) -> Outputs:
    """The five outputs of a client library's ``InferResult``.

    answered: version that the server says it used. Raises EndpointDown for another one, or when an output is
    missing.
    """
    if answered != model.number:
        raise EndpointDown("the server answered with another version", expected=model.number, found=answered)
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


def verdict_of(errors: list[EngineError]) -> EngineError:
    """What the caller hears when no endpoint gave an answer."""
    found = "; ".join(str(error) for error in errors)[:500] or "no time to ask anyone"
    if any(isinstance(error, EndpointDown) for error in errors):
        return EngineFailed("no Triton server gave an answer", found=found)
    if any(isinstance(error, EndpointBusy) for error in errors):
        return Overloaded("every Triton server is busy", found=found)
    return DeadlineMissed("no Triton server answered in time", found=found)
