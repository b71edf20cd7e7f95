"""A challenger scores what the record holds: the last weeks before it is tried, or every new image while it is
(shadow).

Both are one loop over the inspections that have no score yet, so both go on after any kill where they stopped, and
neither is on the way of an answer: images come from the store, scores go to a table of their own.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

from pydantic import BaseModel, Field

from waferlens.errors import BlobMissing
from waferlens.lifecycle.isolated import Isolated, Said, Score
from waferlens.storage.blobs import BlobStore
from waferlens.storage.challenger_scores import (
    DROPPED,
    ChallengerScore,
    ToScore,
    add_scores,
    num_to_score,
    still_to_score,
)
from waferlens.storage.database import Database
from waferlens.storage.stored import clock_ms

_CHUNK = 256


class ShadowOptions(BaseModel, frozen=True, extra="forbid"):
    """Bounds of what a shadow may cost."""

    max_waiting: int = Field(
        2_000, ge=1, description="images that may wait; the oldest beyond are dropped, counted"
    )
    image_seconds: float = Field(5.0, gt=0, description="for one image; then the challenger is started anew")
    poll_seconds: float = Field(0.5, gt=0, description="between two looks at the record")


class Workers(Protocol):
    """Something that scores many images."""

    def score(self, images: Sequence[bytes]) -> Iterable[Said]:
        """One answer an image, in their order."""

    def close(self) -> None:
        """Let everything go."""


class LocalWorkers:
    """Processes on this machine."""

    def __init__(
        self, open_scorer: Callable[[], Score], num: int, *, seconds: float, is_idle: bool = True
    ) -> None:
        self._free = [Isolated(open_scorer, seconds=seconds, is_idle=is_idle) for _ in range(num)]
        self._taking = threading.Lock()
        self._threads = ThreadPoolExecutor(num, thread_name_prefix="replay")

    def score(self, images: Sequence[bytes]) -> Iterable[Said]:
        """See ``Workers.score``."""
        return self._threads.map(self._score, images)

    def close(self) -> None:
        """See ``Workers.close``."""
        self._threads.shutdown()
        for worker in self._free:
            worker.close()

    def _score(self, image: bytes) -> Said:
        with self._taking:
            worker = self._free.pop()
        try:
            return worker.score(image)
        finally:
            with self._taking:
                self._free.append(worker)


@dataclass(frozen=True, kw_only=True)
class Replayed:
    """num_scored, num_failed: images. seconds: it took; images a second is their ratio."""

    num_scored: int
    num_failed: int
    seconds: float

    @property
    def images_per_second(self) -> float:
        """Throughput of this run alone."""
        return self.num_scored / self.seconds if self.seconds > 0 else 0.0


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where images and scores are kept."""

    database: Database
    blobs: BlobStore


def replay(
    source: Source,
    version: str,
    workers: Workers,
    *,
    since_ms: int,
    until_ms: int,
    count: Callable[[int, int], None] = lambda _done, _total: None,
) -> Replayed:
    """Score every inspection of a period that the version has not scored; run again, it goes on.

    count: is told how many are done, of how many. Raises DatabaseLost, BlobStoreLost.
    """
    started, num_scored, num_failed = time.perf_counter(), 0, 0
    with source.database.reading() as connection:
        total = num_to_score(connection, version, since_ms=since_ms, until_ms=until_ms)
    for waiting in _chunks(source, version, since_ms, until_ms):
        said = score_chunk(source, version, workers, waiting)
        num_scored += len(said)
        num_failed += sum(each.failure is not None for each in said)
        count(num_scored, max(total, num_scored))
    return Replayed(num_scored=num_scored, num_failed=num_failed, seconds=time.perf_counter() - started)


def shadow_once(source: Source, version: str, workers: Workers, since_ms: int, options: ShadowOptions) -> int:
    """One look: score the next images that came since the challenger was started; how many. Raises DatabaseLost.

    When more wait than may, the oldest are dropped: a shadow that cannot keep up sees fewer images, and says so.
    """
    until_ms = clock_ms() + 1
    with source.database.reading() as connection:
        num_waiting = num_to_score(connection, version, since_ms=since_ms, until_ms=until_ms)
        beyond = max(0, num_waiting - options.max_waiting)
        late = still_to_score(connection, version, since_ms=since_ms, until_ms=until_ms, limit=beyond)
        waiting = still_to_score(
            connection, version, since_ms=since_ms, until_ms=until_ms, limit=beyond + _CHUNK // 8
        )[beyond:]
    if late:
        _keep(source, version, late, [Said(failure=DROPPED)] * len(late))
    if waiting:
        score_chunk(source, version, workers, waiting)
    return len(waiting)


def score_chunk(source: Source, version: str, workers: Workers, waiting: Sequence[ToScore]) -> list[Said]:
    """Score some images and keep what was said, in one transaction."""
    images = {each.inspection_id: _image(source.blobs, each.original) for each in waiting}
    there = [each for each in waiting if images[each.inspection_id] is not None]
    said = dict(
        zip(
            (each.inspection_id for each in there),
            workers.score([images[each.inspection_id] or b"" for each in there]),
            strict=True,
        )
    )
    found = [said.get(each.inspection_id, Said(failure="missing")) for each in waiting]
    _keep(source, version, waiting, found)
    return found


def _chunks(source: Source, version: str, since_ms: int, until_ms: int) -> Iterator[list[ToScore]]:
    while True:
        with source.database.reading() as connection:
            waiting = still_to_score(connection, version, since_ms=since_ms, until_ms=until_ms, limit=_CHUNK)
        if not waiting:
            return
        yield waiting


def _keep(source: Source, version: str, waiting: Sequence[ToScore], said: Sequence[Said]) -> None:
    now_ms = clock_ms()
    rows = [
        ChallengerScore(model_version=version, inspection_id=each.inspection_id, scored_ms=now_ms, **vars(told))
        for each, told in zip(waiting, said, strict=True)
    ]
    with source.database.writing() as connection:
        add_scores(connection, rows)


def _image(blobs: BlobStore, name: str) -> bytes | None:
    try:
        return blobs.get(name)
    except BlobMissing:
        return None
