"""One engine at work: opens it, warms it up, answers batches, and tells a bad image from a bad engine."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import InvalidStateError
from dataclasses import dataclass

from waferlens.engines.interface import Engine
from waferlens.engines.request import Request, stack, unstack
from waferlens.errors import DeadlineMissed, EngineFailed, WaferlensError
from waferlens.records import Inference, Pixels

_WARM_UP_CALLS = 3

Learn = Callable[[int, float], None]
"""Told after a batch that was answered: its size and its seconds."""


@dataclass(frozen=True, kw_only=True)
class Served:
    """One bundle as a pool serves it.

    model_version: goes into every answer. open_engine: builds an engine, for each worker its own. samples:
    normal images (n >= 1, 256, 256) for warming up and for telling a bad engine from a bad image. num_workers:
    engines side by side. max_batch: images in one call.
    """

    model_version: str
    open_engine: Callable[[], Engine]
    samples: Pixels
    num_workers: int = 1
    max_batch: int = 1


class Worker:
    """An engine of its own, warm. Raises what opening or warming it up raises; ``answer`` raises nothing."""

    def __init__(self, served: Served, learn: Learn) -> None:
        self._served = served
        self._learn = learn
        self._engine = self._warm_engine()

    def reopen(self) -> None:
        """A new engine in the place of a broken one. Raises what opening or warming it up raises."""
        self._engine = self._warm_engine()

    def answer(self, batch: list[Request]) -> bool:
        """Answer every request of a batch. False when the engine is broken and must be opened again."""
        started = time.monotonic()
        try:
            inferences = self._infer(batch)
        except Exception:  # an engine may raise whatever its runtime does
            return self._answer_each(batch)
        self._learn(len(batch), time.monotonic() - started)
        for request, inference in zip(batch, inferences, strict=True):
            request.answer.set_result(inference)
        return True

    def _answer_each(self, batch: list[Request]) -> bool:
        """Once more, one by one: an image that an engine cannot take must not fail its neighbours."""
        num_failed = 0
        for request in batch:
            if time.monotonic() >= request.deadline:
                num_failed += 1
                fail(request, missed(request, "the engine failed and no time is left"))
                continue
            try:
                (inference,) = self._infer([request])
            except Exception as error:
                num_failed += 1
                found = " ".join(str(error).split())[:200] or type(error).__name__
                fail(request, EngineFailed("the engine failed on this image", found=found))
            else:
                request.answer.set_result(inference)
        return num_failed == 0 or self._survives()

    def _survives(self) -> bool:
        try:
            unstack(self._engine.infer(self._served.samples[:1]), 1, "")
        except Exception:
            return False
        return True

    def _infer(self, batch: list[Request]) -> list[Inference]:
        outputs = self._engine.infer(stack([request.pixels for request in batch]))
        return unstack(outputs, len(batch), self._served.model_version)

    def _warm_engine(self) -> Engine:
        engine, samples = self._served.open_engine(), self._served.samples
        batch = 1
        while batch <= self._served.max_batch:
            images = stack([samples[index % len(samples)] for index in range(batch)])
            for call in range(_WARM_UP_CALLS):
                started = time.monotonic()
                unstack(engine.infer(images), batch, "")
                if call:  # the first call of a runtime is unlike all others
                    self._learn(batch, time.monotonic() - started)
            batch *= 2
        return engine


def fail(request: Request, error: WaferlensError) -> None:
    """Answer with an error, unless whoever asked gave up and left."""
    try:
        request.answer.set_exception(error)
    except InvalidStateError:
        return


def missed(request: Request, what: str) -> DeadlineMissed:
    """The error of a request that cannot be, or was not, answered in time."""
    late = 1e3 * (time.monotonic() - request.deadline)
    return DeadlineMissed(what, expected="an answer before the deadline", found=f"{late:+.1f} ms from it")
