"""A long list of small jobs spread over processes, in order and in bounded memory. Knows nothing of images."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from itertools import islice
from multiprocessing import get_context
from typing import TypeVar

from waferlens.errors import OptionsError

CHUNK_SIZE = 64

Job = TypeVar("Job")
Result = TypeVar("Result")


def map_chunks(
    work: Callable[[list[Job]], Result], jobs: Iterable[Job], *, workers: int, chunk_size: int = CHUNK_SIZE
) -> Iterator[Result]:
    """Yield work(chunk) for consecutive chunks of the jobs, in order.

    workers = 1 runs in this process. More are spawned, not forked: forking a process that runs numerical threads
    can hang it. At most two chunks a worker are under way, so the jobs may be endless. Raises OptionsError when
    workers < 1, and whatever work raises.
    """
    if workers < 1:
        raise OptionsError("number of workers", expected=">= 1", found=str(workers))
    chunks = _chunks(jobs, chunk_size)
    if workers == 1:
        yield from map(work, chunks)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        pending: deque[Future[Result]] = deque()
        for chunk in chunks:
            pending.append(pool.submit(work, chunk))
            if len(pending) >= 2 * workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


def _chunks(jobs: Iterable[Job], size: int) -> Iterator[list[Job]]:
    remaining = iter(jobs)
    while chunk := list(islice(remaining, size)):
        yield chunk
