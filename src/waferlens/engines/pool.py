"""Engines in this process behind one call: `infer` with a deadline, from any number of threads.

    infer ─► canonical pixels ─► Lane (queue, admission) ─► Worker ... Worker (an engine each) ─► Inference

A pool serves one bundle at a time. `swap` builds and warms a second lane beside the first and then switches:
what was accepted before is answered by the old bundle, what comes after by the new one, and nothing is dropped.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import TimeoutError as NotYet
from functools import partial
from pathlib import Path
from typing import Self

from pydantic import BaseModel, Field

from waferlens.bundle.contents import load_config, load_samples
from waferlens.bundle.signature import verify_trusted
from waferlens.engines.choice import choose_engine
from waferlens.engines.interface import AnyPixels
from waferlens.engines.lane import Lane, LaneClosed
from waferlens.engines.request import Request, canonical
from waferlens.engines.runtimes import open_engine
from waferlens.engines.worker import Served, missed
from waferlens.errors import EngineFailed
from waferlens.records import Inference


class PoolOptions(BaseModel, frozen=True, extra="forbid"):
    """How a pool serves. What is None is measured on this machine, or taken from it.

    engine: a name of ``ENGINES``. num_workers: engines side by side; None for one every ``threads`` cores.
    threads: of each engine. max_batch: images in one call. max_queue: images that may wait.
    """

    engine: str | None = None
    num_workers: int | None = Field(default=None, ge=1)
    threads: int = Field(default=1, ge=1)
    max_batch: int | None = Field(default=None, ge=1)
    max_queue: int = Field(default=64, ge=1)


class EnginePool:
    """Answers images within their deadlines. Shared between threads; close it when done."""

    def __init__(self, load: Callable[[Path], Served], bundle: Path, *, max_queue: int = 64) -> None:
        """load: verifies a bundle and says how to serve it; called for ``bundle`` now, for another at a swap.

        Returns once the engines are warm. Raises BundleError or EngineError.
        """
        self._load = load
        self._max_queue = max_queue
        self._swapping = threading.Lock()
        self._lane = Lane(load(bundle), max_queue)
        self._closed = False

    @classmethod
    def open(
        cls,
        bundle: Path,
        options: PoolOptions | None = None,
        *,
        public_key: Path | None = None,
        cache: Path | None = None,
    ) -> Self:
        """A pool over a bundle on disk, with the engine that was measured to be the fastest here.

        public_key: the bundle, and each one swapped in, must carry its signature. cache: folder that remembers the
        measurement. Raises BundleError or EngineError.
        """
        told = options or PoolOptions()
        load = partial(load_served, options=told, public_key=public_key, cache=cache)
        return cls(load, bundle, max_queue=told.max_queue)

    @property
    def ready(self) -> bool:
        """Warm, and some engine works."""
        return not self._closed and self._lane.ready

    @property
    def model_version(self) -> str:
        """Of the bundle that new images get; an answer names its own."""
        return self._lane.served.model_version

    @property
    def num_waiting(self) -> int:
        """Images in the queue."""
        return self._lane.num_waiting

    def infer(self, pixels: AnyPixels, deadline: float) -> Inference:
        """The inference of one image (256, 256), uint8, uint16, or float32 in [0, 1].

        deadline: a time of ``time.monotonic``; this returns or raises by then (give or take a thread switch).
        Raises Overloaded when the queue would not leave time, DeadlineMissed when the answer did not come or
        cannot come by then, EngineFailed when no engine could give it, EngineError for an array of another
        kind.
        """
        request = Request(canonical(pixels), deadline)
        while not self._closed:
            lane = self._lane
            try:
                lane.submit(request)
            except LaneClosed:  # a swap went by between the two lines above
                continue
            try:
                return request.answer.result(max(0.0, deadline - time.monotonic()))
            except NotYet:
                request.answer.cancel()
                raise missed(request, "the engine did not answer") from None
        raise EngineFailed("the pool is closed")

    def swap(self, bundle: Path) -> None:
        """Serve another bundle from now on; returns when the old one has answered everything it accepted.

        Raises BundleError or EngineError when the new one cannot be verified, opened or warmed up: the old one
        then goes on as if nothing had been asked.
        """
        with self._swapping:
            if self._closed:
                raise EngineFailed("the pool is closed")
            old, self._lane = self._lane, Lane(self._load(bundle), self._max_queue)
            old.retire()

    def close(self) -> None:
        """Answer what waits, then let the engines go. Closing twice does nothing."""
        with self._swapping:
            self._closed = True
            self._lane.retire()


def load_served(bundle: Path, *, options: PoolOptions, public_key: Path | None, cache: Path | None) -> Served:
    """Verify a bundle on disk and say how this machine serves it. Raises BundleError or EngineError."""
    verify_trusted(bundle, public_key)
    config, samples = load_config(bundle), load_samples(bundle)
    engine, max_batch = options.engine, options.max_batch
    if engine is None:
        choice = choose_engine(bundle, threads=options.threads, cache=cache)
        engine, max_batch = choice.engine, max_batch or choice.max_batch
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return Served(
        model_version=f"{config.name}-{config.version}",
        open_engine=partial(open_engine, engine, bundle, threads=options.threads),
        samples=samples.held_out,
        num_workers=options.num_workers or max(1, cores // options.threads),
        max_batch=max_batch or 1,
    )
