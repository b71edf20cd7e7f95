"""Inference on Triton servers: the call of ``EnginePool``, answered by whichever server is well.

Endpoints take turns (``Turns``). One that fails is left out at once and asked again when its model's ready path
says so, which a thread of each endpoint looks at twice a second. An attempt gets its share of the time that is
left, so that a server that stands still costs half the budget of two, not all of it, and only of the images that
are on their way to it. Inference changes nothing on a server, so asking another one is always safe.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from waferlens.bundle.contents import TORCHSCRIPT, input_array, load_config
from waferlens.bundle.signature import verify_trusted
from waferlens.engines.interface import AnyPixels
from waferlens.engines.request import canonical, unstack
from waferlens.engines.triton_endpoint import Endpoint, EndpointBusy, EndpointLate, RemoteModel, verdict_of
from waferlens.engines.triton_names import version_number
from waferlens.engines.triton_turns import Turns
from waferlens.errors import DeadlineMissed, EngineError, EngineFailed, OptionsError, Overloaded
from waferlens.records import Inference, Pixels

_CHECK_EVERY_SECONDS = 0.5
_CHECK_TIMEOUT_SECONDS = 1.0
_MARGIN_SECONDS = 0.002
_JOIN_SECONDS = 5.0
_LOOK_SECONDS = 0.02


class TritonEngine:
    """Answers images within their deadlines. Shared between threads; close it when done."""

    def __init__(
        self,
        endpoints: Sequence[Endpoint],
        model: RemoteModel,
        *,
        public_key: Path | None = None,
        max_in_flight: int = 64,
    ) -> None:
        """endpoints: at least one. max_in_flight: images sent and not answered. public_key: of bundles swapped in.

        Looks once at every endpoint, for at most a second each and all at the same time; none needs to be up.
        """
        if not endpoints:
            raise OptionsError("no address of a Triton server", expected="at least one")
        self._endpoints = list(endpoints)
        self._public_key = public_key
        self._slots = threading.BoundedSemaphore(max_in_flight)
        self._max_in_flight = max_in_flight
        self._turns = Turns(len(self._endpoints), model)
        self._closed = threading.Event()
        looked = [threading.Event() for _ in self._endpoints]
        self._threads = [
            threading.Thread(target=self._watch, args=told, name=f"triton-{told[0]}", daemon=True)
            for told in enumerate(looked)
        ]
        for thread in self._threads:
            thread.start()
        for each in looked:
            each.wait(2 * _CHECK_TIMEOUT_SECONDS)

    @classmethod
    def open(
        cls, urls: Sequence[str], bundle: Path, *, public_key: Path | None = None, max_in_flight: int = 64
    ) -> Self:
        """Servers for a bundle on disk, which is verified: its thresholds will decide on what they answer.

        urls: ``http://HOST:PORT`` or ``grpc://HOST:PORT`` each. Raises BundleError, or OptionsError for another
        address.
        """
        endpoints = [open_endpoint(url) for url in urls]
        model = remote_model(bundle, public_key)
        return cls(endpoints, model, public_key=public_key, max_in_flight=max_in_flight)

    @property
    def ready(self) -> bool:
        """Whether some endpoint says that it has the version of this bundle ready."""
        return not self._closed.is_set() and bool(self._turns.up)

    @property
    def model_version(self) -> str:
        """Of the bundle that new images get."""
        return self._turns.model.full_name

    @property
    def up(self) -> tuple[str, ...]:
        """Addresses of the endpoints that are asked."""
        return tuple(self._endpoints[index].url for index in self._turns.up)

    def infer(self, pixels: AnyPixels, deadline: float) -> Inference:
        """See ``EnginePool.infer``: the same call, the same errors.

        Overloaded: every server that is well refused. EngineFailed: none could be asked, or each that was failed.
        """
        image = canonical(pixels)[None]
        if deadline - time.monotonic() <= _MARGIN_SECONDS:
            raise DeadlineMissed("no server could answer in time", expected="a deadline that lies ahead")
        if self._closed.is_set():
            raise EngineFailed("the engine is closed")
        if not self._slots.acquire(blocking=False):
            raise Overloaded("too many images are under way", expected=f"at most {self._max_in_flight}")
        try:
            return self._ask_in_turn(image, deadline - _MARGIN_SECONDS)
        finally:
            self._slots.release()

    def swap(self, bundle: Path) -> None:
        """Ask for another bundle's version from now on. Whoever runs the servers has it loaded there beforehand.

        Raises BundleError or EngineError when it cannot be verified or no server has it ready: the old one then
        goes on.
        """
        model = remote_model(bundle, self._public_key)
        up = {i for i, each in enumerate(self._endpoints) if each.is_ready(model, _CHECK_TIMEOUT_SECONDS)}
        if not up:
            raise EngineError(
                f"no Triton server has {model.full_name} ready", expected=f"version {model.number} loaded by one"
            )
        self._turns.go_over(model, up)

    def make_ready(self, seconds: float) -> None:
        """Have every server that lacks the version load it, and return as soon as one has it ready.

        The others go on loading. Raises EngineError when none has it in time.
        """
        model, end = self._turns.model, time.monotonic() + seconds
        errors: list[EngineError] = []
        is_ready = threading.Event()

        def load(index: int) -> None:
            endpoint = self._endpoints[index]
            try:
                if not endpoint.is_ready(model, _CHECK_TIMEOUT_SECONDS):
                    endpoint.load(model, end - time.monotonic())
                self._turns.mark(index, model, up=True)
                is_ready.set()
            except EngineError as error:
                errors.append(error)

        loading = [
            threading.Thread(target=load, args=(index,), name=f"triton-load-{index}", daemon=True)
            for index in range(len(self._endpoints))
        ]
        for thread in loading:
            thread.start()
        while time.monotonic() < end and any(thread.is_alive() for thread in loading):
            if is_ready.wait(_LOOK_SECONDS):
                break
        if not is_ready.is_set():
            found = "; ".join(map(str, errors))[:500] or f"not within {seconds:.0f} s"
            raise EngineError(f"no Triton server could load {model.full_name}", found=found)

    def close(self) -> None:
        """Stop looking at the servers and let connections go. Closing twice does nothing."""
        self._closed.set()
        for thread in self._threads:
            thread.join(_JOIN_SECONDS)
        for endpoint in self._endpoints:
            endpoint.close()

    def _ask_in_turn(self, image: Pixels, end: float) -> Inference:
        """One after the other, and those that broke once more: behind one address there may be several servers.

        A proxy cannot send again what it began to answer, so a connection breaks with the server that died
        although the next one is well.
        """
        errors: list[EngineError] = []
        model, order, num_shares = self._turns.next()
        images, waiting = input_array(image, model.input_type), list(order)
        while waiting and (left := end - time.monotonic()) > 0:
            index = waiting.pop(0)
            try:
                # Those that were late or are down come last, with the time that the others leave.
                outputs = self._endpoints[index].infer(model, images, left / max(1, num_shares - len(errors)))
                return unstack(outputs, 1, model.full_name)[0]
            except EndpointBusy as error:
                errors.append(error)
            except EndpointLate as error:
                errors.append(error)
                self._turns.mark_late(index)
            except EngineError as error:
                if len(errors) < len(order):
                    waiting.append(index)
                errors.append(error)
                self._turns.mark(index, model, up=False)
        raise verdict_of(errors)

    def _watch(self, index: int, looked: threading.Event) -> None:
        while not self._closed.is_set():
            model = self._turns.model
            self._turns.mark(index, model, up=self._endpoints[index].is_ready(model, _CHECK_TIMEOUT_SECONDS))
            looked.set()
            self._closed.wait(_CHECK_EVERY_SECONDS)


def remote_model(bundle: Path, public_key: Path | None) -> RemoteModel:
    """What to ask servers for in the name of a bundle, once it was verified. Raises BundleError."""
    digest = str(verify_trusted(bundle, public_key)["files"].get(TORCHSCRIPT, ""))
    config = load_config(bundle)
    version_number(config.version)
    return RemoteModel(name=config.name, version=config.version, input_type=config.input_type, graph_sha256=digest)


def open_endpoint(url: str) -> Endpoint:
    """``http://HOST:PORT`` or ``grpc://HOST:PORT``; opens no connection. Raises OptionsError for another."""
    parts = urlsplit(url)
    try:
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if parts.scheme not in ("http", "grpc") or host is None or port is None or parts.path.strip("/"):
        raise OptionsError(
            "the address of a Triton server", expected="http://HOST:PORT or grpc://HOST:PORT", found=url
        )
    if parts.scheme == "http":
        from waferlens.engines.triton_http import HttpEndpoint

        return HttpEndpoint(host, port)
    from waferlens.engines.triton_grpc import GrpcEndpoint

    return GrpcEndpoint(host, port)
