"""Inference on Triton servers: the call of ``EnginePool``, answered by whichever server is well.

Endpoints take turns. One that fails is left out at once and asked again when its model's ready path says so,
which a thread of each endpoint looks at twice a second. An attempt gets its share of the time that is left, so
that a server that stands still costs half the budget of two, not all of it. Inference changes nothing on a
server, so asking another one is always safe.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Self
from urllib.parse import urlsplit

from waferlens.bundle.contents import input_array
from waferlens.engines.interface import AnyPixels
from waferlens.engines.request import canonical, unstack
from waferlens.engines.triton_endpoint import Endpoint, EndpointBusy, EndpointDown, EndpointLate
from waferlens.engines.triton_names import version_name
from waferlens.errors import DeadlineMissed, EngineError, EngineFailed, OptionsError, Overloaded
from waferlens.records import Inference, Pixels

_CHECK_EVERY_SECONDS = 0.5
_CHECK_TIMEOUT_SECONDS = 1.0
_MARGIN_SECONDS = 0.002
_JOIN_SECONDS = 5.0


class TritonEngine:
    """Answers images within their deadlines. Shared between threads; close it when done."""

    def __init__(self, endpoints: Sequence[Endpoint], model: str, *, max_in_flight: int = 64) -> None:
        """endpoints: at least one, of servers that serve ``model``. max_in_flight: images sent and not answered.

        Looks once at every endpoint, for at most a second each and all at the same time; none needs to be up.
        """
        if not endpoints:
            raise OptionsError("no address of a Triton server", expected="at least one")
        self.model = model
        self._endpoints = list(endpoints)
        self._slots = threading.BoundedSemaphore(max_in_flight)
        self._max_in_flight = max_in_flight
        self._lock = threading.Lock()
        self._turn = 0
        self._up: set[int] = set()
        self._datatype: str | None = None
        self._version = ""
        self._closed = threading.Event()
        looked = [threading.Event() for _ in self._endpoints]
        self._threads = [
            threading.Thread(target=self._watch, args=(index, looked[index]), name=f"triton-{index}", daemon=True)
            for index in range(len(self._endpoints))
        ]
        for thread in self._threads:
            thread.start()
        for each in looked:
            each.wait(2 * _CHECK_TIMEOUT_SECONDS)

    @classmethod
    def open(cls, urls: Sequence[str], model: str, *, max_in_flight: int = 64) -> Self:
        """urls: ``http://HOST:PORT`` or ``grpc://HOST:PORT`` each. Raises OptionsError for another address."""
        return cls([open_endpoint(url, model) for url in urls], model, max_in_flight=max_in_flight)

    @property
    def ready(self) -> bool:
        """Whether some endpoint's model says that it is ready."""
        with self._lock:
            return not self._closed.is_set() and bool(self._up)

    @property
    def model_version(self) -> str:
        """Of the last answer, or of the first look; empty before there was any. An answer names its own."""
        return self._version

    @property
    def up(self) -> tuple[str, ...]:
        """Addresses of the endpoints that are asked."""
        with self._lock:
            return tuple(self._endpoints[index].url for index in sorted(self._up))

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

    def close(self) -> None:
        """Stop looking at the servers and let connections go. Closing twice does nothing."""
        self._closed.set()
        for thread in self._threads:
            thread.join(_JOIN_SECONDS)
        for endpoint in self._endpoints:
            endpoint.close()

    def _ask_in_turn(self, image: Pixels, end: float) -> Inference:
        errors: list[EngineError] = []
        order, num_up = self._order()
        for position, index in enumerate(order):
            left = end - time.monotonic()
            if left <= 0:
                break
            try:
                # Those that are down come last and are refused quickly: they get no share beforehand.
                return self._ask(index, image, left / max(1, num_up - position))
            except (EndpointBusy, EndpointLate) as error:
                errors.append(error)
            except EngineError as error:
                errors.append(error)
                self._mark(index, up=False)
        raise _verdict(errors)

    def _ask(self, index: int, image: Pixels, seconds: float) -> Inference:
        end = time.monotonic() + seconds
        endpoint = self._endpoints[index]
        if self._datatype is None:
            self._learn(index, seconds)
        images = input_array(image, "uint8" if self._datatype == "UINT8" else "float32")
        outputs, number = endpoint.infer(images, end - time.monotonic())
        version = f"{self.model}-{version_name(number)}"
        (inference,) = unstack(outputs, 1, version)
        self._version = version
        return inference

    def _order(self) -> tuple[list[int], int]:
        """Those that are up, the next one in turn first, then the others as a last resort; how many are up."""
        with self._lock:
            self._turn += 1
            count = len(self._endpoints)
            turned = [(self._turn + offset) % count for offset in range(count)]
            well = [index for index in turned if index in self._up]
            return well + [index for index in turned if index not in self._up], len(well) or count

    def _mark(self, index: int, *, up: bool) -> None:
        with self._lock:
            if up:
                self._up.add(index)
            else:
                self._up.discard(index)

    def _watch(self, index: int, looked: threading.Event) -> None:
        while not self._closed.is_set():
            is_up = self._endpoints[index].is_ready(_CHECK_TIMEOUT_SECONDS)
            with self._lock:
                came_back = is_up and index not in self._up
            if came_back:
                is_up = self._knows(index)
            self._mark(index, up=is_up)
            looked.set()
            self._closed.wait(_CHECK_EVERY_SECONDS)

    def _knows(self, index: int) -> bool:
        """Whether a server that came back says what its model takes: it may have come back with another bundle."""
        try:
            self._learn(index, _CHECK_TIMEOUT_SECONDS)
        except EngineError:
            return False
        return True

    def _learn(self, index: int, seconds: float) -> None:
        described = self._endpoints[index].describe(seconds)
        self._datatype = described.datatype
        if not self._version and described.versions:
            self._version = f"{self.model}-{version_name(max(described.versions, key=int))}"


def open_endpoint(url: str, model: str) -> Endpoint:
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

        return HttpEndpoint(host, port, model)
    from waferlens.engines.triton_grpc import GrpcEndpoint

    return GrpcEndpoint(host, port, model)


def _verdict(errors: list[EngineError]) -> EngineError:
    """What the caller hears when no endpoint gave an answer."""
    found = "; ".join(str(error) for error in errors)[:500] or "no time to ask anyone"
    if any(isinstance(error, EndpointDown) for error in errors):
        return EngineFailed("no Triton server gave an answer", found=found)
    if any(isinstance(error, EndpointBusy) for error in errors):
        return Overloaded("every Triton server is busy", found=found)
    return DeadlineMissed("no Triton server answered in time", found=found)
