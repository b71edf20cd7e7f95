"""A challenger in a process of its own, at the lowest priority: it may hang, crash or crawl, and the line does
not notice.

The two speak in plain bytes over a pipe: an image there, JSON back. An image without an answer in time costs the
process its life; the next image gets a new one.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from waferlens.errors import ImageError

Score = Callable[[bytes], dict[str, Any]]
"""The bytes of an image file to ``score``, ``decision`` and ``inference_ms``."""

_OPENING_SECONDS = 120.0
_PAUSE_SECONDS = 0.5


@dataclass(frozen=True, kw_only=True)
class Said:
    """What a challenger said of one image; failure: ``image``, ``crashed``, ``hung`` or ``engine``."""

    decision: str | None = None
    score: float | None = None
    inference_ms: float | None = None
    failure: str | None = None


class Isolated:
    """A scorer behind a process. Used by one thread; close it when done."""

    def __init__(self, open_scorer: Callable[[], Score], *, seconds: float, is_idle: bool) -> None:
        """open_scorer: runs in the process, so it must be a name that can be imported, or a ``partial`` of one.

        seconds: that one image may take. is_idle: run only when no other process wants the processor.
        """
        self._open, self._seconds, self._is_idle = open_scorer, seconds, is_idle
        self._process: Any = None
        self._pipe: Connection | None = None

    def score(self, image: bytes) -> Said:
        """What the challenger says; never raises for what the challenger does."""
        try:
            pipe = self._pipe or self._start()
            pipe.send_bytes(image)
            if not pipe.poll(self._seconds):
                self._end()
                return Said(failure="hung")
            return Said(**json.loads(pipe.recv_bytes()))
        except (OSError, EOFError):
            self._end()
            time.sleep(_PAUSE_SECONDS)  # one that crashes at once must not be started all the time
            return Said(failure="crashed")

    def close(self) -> None:
        """End the process."""
        self._end()

    def _start(self) -> Connection:
        context = get_context("spawn")
        mine, its = context.Pipe()
        self._process = context.Process(
            target=_answer, args=(its, self._open, self._is_idle), name="challenger", daemon=True
        )
        self._process.start()
        its.close()
        self._pipe = mine
        if not mine.poll(_OPENING_SECONDS):
            raise EOFError
        mine.recv_bytes()
        return mine

    def _end(self) -> None:
        if self._pipe is not None:
            self._pipe.close()
        if self._process is not None:
            self._process.kill()
            self._process.join()
        self._pipe = self._process = None


def inspector_of(bundle: Path, public_key: Path | None) -> Score:
    """The scorer of a bundle, verified, on one thread. Raises BundleError, EngineError."""
    from waferlens.inspection.inspector import Inspector

    inspector = Inspector.load(bundle, public_key=public_key)

    def score(image: bytes) -> dict[str, Any]:
        found = inspector.inspect_file(image)
        return {
            "decision": str(found.decision.kind),
            "score": found.inference.score,
            "inference_ms": found.inference_time_ms,
        }

    return score


def opener_of(bundle: Path, public_key: Path | None) -> Callable[[], Score]:
    """``inspector_of``, to be called in another process."""
    return partial(inspector_of, bundle, public_key)


def step_aside() -> None:
    """Run only when nobody else wants the processor, from now on."""
    with contextlib.suppress(OSError):
        if hasattr(os, "SCHED_IDLE"):
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
        os.nice(19)


def _answer(pipe: Connection, open_scorer: Callable[[], Score], is_idle: bool) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if is_idle:
        step_aside()
    score = open_scorer()
    with contextlib.suppress(EOFError, OSError):  # whoever asked is gone, maybe killed: there is nobody to tell
        pipe.send_bytes(b"ready")
        while True:
            image = pipe.recv_bytes()
            try:
                told = score(image)
            except ImageError:
                told = {"failure": "image"}
            except Exception:
                told = {"failure": "engine"}
            pipe.send_bytes(json.dumps(told).encode())


def _end_with_parent() -> None:
    """End this process when its parent has: a model that hangs would go on for ever beside the line."""
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
