"""One bundle being served: a bounded queue and the workers that empty it. Knows neither files nor runtimes.

A worker that becomes free takes what waits, up to a batch: nobody waits for company, so a single image on an idle
machine pays nothing, and batches form by themselves exactly when images wait anyway.

An image is refused when it arrives, not when it is late: `Overloaded` when the images ahead of it would not
leave time, `DeadlineMissed` when not even an idle engine could answer by then. An idle worker tries everything
else, whatever the estimate says: a slow spell could otherwise keep every image out, and with them the news that
it is over.
"""

from __future__ import annotations

import threading
import time
from collections import deque

from waferlens.engines.request import Request
from waferlens.engines.service_time import ServiceTimes, expected_end
from waferlens.engines.worker import Served, Worker, fail, missed
from waferlens.errors import EngineError, EngineFailed, Overloaded

_FIRST_PAUSE_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 1.0
_STUCK_SECONDS = 10.0


class LaneClosed(EngineError):
    """This lane takes no more images; its successor does."""


class Lane:
    """Answers requests of one bundle until it is retired. Once built, it is warm and ready.

    Raises what opening an engine or its warm-up raises.
    """

    def __init__(self, served: Served, max_queue: int) -> None:
        self.served = served
        self._max_queue = max_queue
        self._times = ServiceTimes()
        self._queue: deque[Request] = deque()
        self._changed = threading.Condition()
        self._closed = False
        workers = [Worker(served, self._learn) for _ in range(served.num_workers)]
        self._free_at = dict.fromkeys(range(len(workers)), 0.0)
        """When each working worker should be free; a broken worker is absent."""
        self._busy_since: dict[int, float] = {}
        self._threads = [
            threading.Thread(target=self._work, args=told, name=f"engine-{told[0]}", daemon=True)
            for told in enumerate(workers)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def ready(self) -> bool:
        """Whether some worker works: not broken, and not in one call for ten seconds."""
        with self._changed:
            long_ago = time.monotonic() - _STUCK_SECONDS
            working = (index for index in self._free_at if self._busy_since.get(index, long_ago) >= long_ago)
            return not self._closed and any(True for _ in working)

    @property
    def num_waiting(self) -> int:
        """Images in the queue."""
        return len(self._queue)

    def submit(self, request: Request) -> None:
        """Let an image wait for its turn.

        Raises Overloaded, DeadlineMissed, EngineFailed (no worker works) or LaneClosed, each at once.
        """
        with self._changed:
            now, num_ahead = time.monotonic(), len(self._queue)
            if self._closed:
                raise LaneClosed("this bundle is served no more")
            if not self._free_at:
                raise EngineFailed("no engine works", expected="one to recover within a second or two")
            if request.deadline - now <= self._times.fastest():
                raise missed(request, "even an idle engine would be late")
            if num_ahead >= self._max_queue:
                raise Overloaded("the queue is full", expected=f"fewer than {self._max_queue} waiting images")
            if num_ahead or len(self._busy_since) >= len(self._free_at):
                free_at = list(self._free_at.values())
                end = expected_end(self._times, now, free_at, num_ahead + 1, self.served.max_batch)
                if end > request.deadline:
                    raise Overloaded(
                        "the images ahead would not leave time",
                        expected=f"an answer within {1e3 * (request.deadline - now):.1f} ms",
                        found=f"{num_ahead} waiting, done in {1e3 * (end - now):.1f} ms",
                    )
            self._queue.append(request)
            self._changed.notify()

    def retire(self) -> None:
        """Take no more images, answer those that wait, and let the workers go. Returns once they are gone."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(_STUCK_SECONDS)
        self._fail_waiting("the engine did not come to an end")

    def _learn(self, batch: int, seconds: float) -> None:
        with self._changed:
            self._times.learn(batch, seconds)

    def _work(self, index: int, worker: Worker) -> None:
        while batch := self._take(index):
            if not worker.answer(batch) and not self._recovered(index, worker):
                return

    def _take(self, index: int) -> list[Request]:
        """The next batch; empty when the lane is retired and nothing waits."""
        with self._changed:
            self._busy_since.pop(index, None)
            self._free_at[index] = 0.0
            while True:
                self._changed.wait_for(lambda: self._queue or self._closed)
                if not self._queue:
                    return []
                num_idle = len(self._free_at) - len(self._busy_since)
                share = -(-len(self._queue) // max(1, num_idle))
                batch = self._started(min(share, self.served.max_batch))
                if batch:
                    self._busy_since[index] = now = time.monotonic()
                    self._free_at[index] = now + self._times.expected(len(batch))
                    return batch

    def _started(self, most: int) -> list[Request]:
        """Up to ``most`` requests from the head of the queue, no more than its most urgent deadline allows."""
        batch: list[Request] = []
        urgent = float("inf")
        while self._queue and len(batch) < most:
            now, request = time.monotonic(), self._queue[0]
            if request.deadline <= now:
                fail(self._queue.popleft(), missed(request, "it waited too long"))
                continue
            urgent = min(urgent, request.deadline)
            if batch and now + self._times.expected(len(batch) + 1) > urgent:
                break
            self._queue.popleft()
            if request.answer.set_running_or_notify_cancel():
                batch.append(request)
        return batch

    def _recovered(self, index: int, worker: Worker) -> bool:
        """Open a broken engine again, pausing longer and longer; False when the lane was retired meanwhile."""
        with self._changed:
            del self._free_at[index]
            self._busy_since.pop(index, None)
            is_last = not self._free_at
        if is_last:
            self._fail_waiting("every engine failed")
        pause = _FIRST_PAUSE_SECONDS
        while True:
            try:
                worker.reopen()
            except Exception:  # whatever a runtime raises: it is tried again
                with self._changed:
                    if self._changed.wait_for(lambda: self._closed, pause):
                        return False
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
            else:
                return True

    def _fail_waiting(self, what: str) -> None:
        with self._changed:
            waiting = list(self._queue)
            self._queue.clear()
        for request in waiting:
            fail(request, EngineFailed(what))
