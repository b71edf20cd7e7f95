"""Triton over gRPC, through the client library."""

from __future__ import annotations

import time
from typing import Any

import grpc
from tritonclient.grpc import InferenceServerClient, InferInput
from tritonclient.utils import InferenceServerException

from waferlens.engines.interface import ModelInput, Outputs
from waferlens.engines.triton_endpoint import (
    EndpointBusy,
    EndpointDown,
    EndpointLate,
    RemoteModel,
    configuration_with,
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
    # A proxy that the environment names for the rest of the world is not asked for machines of the fab.
    ("grpc.enable_http_proxy", 0),
    # Two endpoints of one process must not share a connection's fate.
    ("grpc.use_local_subchannel_pool", 1),
]


class GrpcEndpoint:
    """See ``Endpoint``."""

    def __init__(self, host: str, port: int) -> None:
        self.url = f"grpc://{host}:{port}"
        self._client: Any = InferenceServerClient(f"{host}:{port}", channel_args=_CHANNEL)

    def infer(self, model: RemoteModel, images: ModelInput, seconds: float) -> Outputs:
        """See ``Endpoint.infer``."""
        asked = [filled_input(InferInput, images)]
        microseconds = max(1, int(1e6 * seconds))
        try:
            result = self._client.infer(
                model.name, asked, model_version=model.number, client_timeout=seconds, timeout=microseconds
            )
        except InferenceServerException as error:
            raise self._error(error) from error
        return outputs_of(result, str(result.get_response().model_version), model, len(images))

    def is_ready(self, model: RemoteModel, seconds: float) -> bool:
        """See ``Endpoint.is_ready``."""
        try:
            return bool(self._client.is_model_ready(model.name, model.number, client_timeout=seconds))
        except InferenceServerException:
            return False

    def load(self, model: RemoteModel, seconds: float) -> None:
        """See ``Endpoint.load``."""
        end = time.monotonic() + seconds
        try:
            told = self._client.get_model_config(model.name, as_json=True, client_timeout=seconds)
            configuration = configuration_with(told["config"], model)
        except InferenceServerException:
            configuration = None  # it serves no version of it: the configuration of its repository holds
        try:
            self._client.load_model(
                model.name, config=configuration, client_timeout=max(0.001, end - time.monotonic())
            )
        except InferenceServerException as error:
            raise self._error(error) from error

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
