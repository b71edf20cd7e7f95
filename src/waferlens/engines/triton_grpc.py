"""Triton over gRPC, through the client library."""

from __future__ import annotations

from typing import Any

import grpc
from tritonclient.grpc import InferenceServerClient, InferInput
from tritonclient.utils import InferenceServerException

from waferlens.engines.interface import ModelInput, Outputs
from waferlens.engines.triton_endpoint import (
    Described,
    EndpointBusy,
    EndpointDown,
    EndpointLate,
    filled_input,
    is_refusal,
    outputs_of,
)

# Without these a channel whose server was away waits up to two minutes before it looks again.
_CHANNEL = [
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    # Two endpoints of one process must not share a connection's fate.
    ("grpc.use_local_subchannel_pool", 1),
]


class GrpcEndpoint:
    """See ``Endpoint``."""

    def __init__(self, host: str, port: int, model: str) -> None:
        self.url = f"grpc://{host}:{port}"
        self._model = model
        self._client: Any = InferenceServerClient(f"{host}:{port}", channel_args=_CHANNEL)

    def infer(self, images: ModelInput, seconds: float) -> tuple[Outputs, str]:
        """See ``Endpoint.infer``."""
        asked = [filled_input(InferInput, images)]
        try:
            result = self._client.infer(
                self._model, asked, client_timeout=seconds, timeout=max(1, int(1e6 * seconds))
            )
        except InferenceServerException as error:
            raise self._error(error) from error
        return outputs_of(result, len(images)), str(result.get_response().model_version)

    def is_ready(self, seconds: float) -> bool:
        """See ``Endpoint.is_ready``."""
        try:
            return bool(self._client.is_model_ready(self._model, client_timeout=seconds))
        except InferenceServerException:
            return False

    def describe(self, seconds: float) -> Described:
        """See ``Endpoint.describe``."""
        try:
            found = self._client.get_model_metadata(self._model, client_timeout=seconds)
        except InferenceServerException as error:
            raise self._error(error) from error
        if not found.inputs:
            raise EndpointDown(f"{self.url} does not answer as Triton does", expected="an input in its metadata")
        return Described(datatype=found.inputs[0].datatype, versions=tuple(found.versions))

    def close(self) -> None:
        """See ``Endpoint.close``."""
        self._client.close()

    def _error(self, error: InferenceServerException) -> EndpointDown | EndpointLate | EndpointBusy:
        status, text = str(error.status()), str(error.message())
        if str(grpc.StatusCode.DEADLINE_EXCEEDED) in status:
            return EndpointLate(f"{self.url} did not answer", found=text)
        if is_refusal(text):
            return EndpointBusy(f"{self.url} refused", found=text)
        return EndpointDown(f"{self.url} failed", found=f"{status} {text}"[:300])
