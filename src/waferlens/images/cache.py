"""A packed cache: all images of a data set as canonical pixels in one memory-mapped array, built once.

Decoding PNG costs about a millisecond an image and core; reading packed pixels costs the disk's bandwidth.
Half a million images are 33 GB (8-bit) that the operating system pages in as they are asked for.

    <cache_dir>/<key>/pixels-uint8.npy     (N, 256, 256), in the order of the refs
    <cache_dir>/<key>/chunks-uint8.jsonl   one line a finished chunk: stamps and hashes of its images
    <cache_dir>/<key>/pack.json            what was packed: options, count, version; for people

``key`` is a hash of the image names, their folder and the decoding options. A chunk counts as done when its
line stands in the journal with the current size and modification time of every source: that one rule
resumes after a kill, reuses what is unchanged and redoes what is not. Two processes building the same pack
write the same bytes. A cache folder may be deleted at any time.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import numpy.typing as npt

from waferlens.errors import DataError
from waferlens.images.options import ImageOptions
from waferlens.images.packing import (
    CHUNK,
    Chunk,
    ChunkResult,
    Failure,
    PackType,
    append_journal,
    pack_chunk,
    pack_key,
    prepare_files,
    read_journal,
    read_refs,
    refuse_unreadable,
    stack,
    stamp_chunks,
)
from waferlens.records import ImageRef, Pixels

Progress = Callable[[int, int], None]
_POOL_PAYS_ABOVE = 64  # images; starting worker processes costs about half a second


@dataclass(frozen=True, eq=False)
class PackedImages:
    """Canonical pixels of many images, (N, 256, 256) uint8 or uint16, with the name and hash of each.

    ``pixels`` is a read-only memory map, or an array in memory. A hash is the SHA-256 of the image's own
    canonical pixels, before an 8-bit image was stretched into a 16-bit pack.
    """

    pixels: Pixels
    names: tuple[str, ...]
    hashes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.names)

    def take(self, indices: Sequence[int] | npt.NDArray[np.integer]) -> Pixels:
        """A copy of the pixels at ``indices``, (len(indices), 256, 256), in that order."""
        taken: Pixels = self.pixels[np.asarray(indices, dtype=np.intp)]
        return taken


def pack_images(
    refs: Sequence[ImageRef],
    options: ImageOptions,
    cache_dir: Path,
    *,
    workers: int = 1,
    progress: Progress | None = None,
) -> PackedImages:
    """All images of ``refs`` from the cache, built or completed first with ``workers`` processes.

    One 16-bit image makes the whole pack uint16; 8-bit images are then stretched (times 257).
    ``progress(num_done, num_images)`` is called after each chunk.

    Raises DataError when an image cannot be read (after all were tried, with the first ten and the count),
    when names repeat, when there are none, or when the disk is too small.
    """
    _check_names(refs)
    folder = cache_dir / pack_key(refs, options)
    folder.mkdir(parents=True, exist_ok=True)
    about = {"options": options.decoding_key(), "num_images": len(refs), "chunk": CHUNK}
    (folder / "pack.json").write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
    pack_type: PackType = "uint16" if (folder / "pixels-uint16.npy").exists() else "uint8"
    hashes = _complete(folder, pack_type, refs, options, workers, progress)
    if hashes is None:
        # A 16-bit image turned up among 8-bit ones: start again with room for it. Once in the life of a pack.
        (folder / "pixels-uint8.npy").unlink(missing_ok=True)
        pack_type = "uint16"
        hashes = _complete(folder, pack_type, refs, options, workers, progress)
    pixels = np.load(folder / f"pixels-{pack_type}.npy", mmap_mode="r")
    return PackedImages(pixels, tuple(ref.name for ref in refs), tuple(hashes or ()))


def pack_in_memory(
    refs: Sequence[ImageRef], options: ImageOptions, *, progress: Progress | None = None
) -> PackedImages:
    """The same as ``pack_images`` without a cache, for sets that fit in memory (65 kB an 8-bit image)."""
    _check_names(refs)
    pixels: list[Pixels] = []
    hashes: list[str] = []
    failures: list[Failure] = []
    for num_done, ref in enumerate(refs, start=1):
        for all_of, new in zip((pixels, hashes, failures), read_refs([ref], options), strict=True):
            all_of.extend(new)  # type: ignore[attr-defined]
        if progress is not None:
            progress(num_done, len(refs))
    refuse_unreadable(failures, len(refs))
    pack_type: PackType = "uint16" if any(image.dtype == np.uint16 for image in pixels) else "uint8"
    return PackedImages(stack(pixels, pack_type), tuple(ref.name for ref in refs), tuple(hashes))


def _complete(
    folder: Path,
    pack_type: PackType,
    refs: Sequence[ImageRef],
    options: ImageOptions,
    workers: int,
    progress: Progress | None,
) -> list[str] | None:
    """Do the chunks that are not done; the hashes of all images, or None when 16-bit pixels need a wider
    pack.
    """
    file, journal = prepare_files(folder, len(refs), pack_type)
    chunks = stamp_chunks(refs)
    noted = read_journal(journal)
    done = {chunk.number: noted[chunk.number] for chunk in chunks if _is_done(chunk, noted)}
    waiting = [chunk for chunk in chunks if chunk.number not in done]
    failures: list[Failure] = []
    num_done = len(refs) - sum(len(chunk.refs) for chunk in waiting)
    work = partial(pack_chunk, options=options, file=file, pack_type=pack_type)
    with closing(_results(work, waiting, workers)) as results:
        for result in results:
            if result.wide:
                return None
            failures.extend(result.failures)
            if not result.failures:
                append_journal(journal, result)
                done[result.chunk] = result
            num_done += len(chunks[result.chunk].refs)
            if progress is not None:
                progress(num_done, len(refs))
    refuse_unreadable(failures, len(refs))
    return [digest for chunk in chunks for digest in done[chunk.number].hashes]


def _is_done(chunk: Chunk, noted: dict[int, ChunkResult]) -> bool:
    result = noted.get(chunk.number)
    return result is not None and result.stamp == chunk.stamp and len(result.hashes) == len(chunk.refs)


def _results(
    work: Callable[[Chunk], ChunkResult], chunks: Sequence[Chunk], workers: int
) -> Generator[ChunkResult, None, None]:
    """Results as they come, from worker processes where they pay. Closing it stops what has not begun."""
    if workers <= 1 or len(chunks) * CHUNK <= _POOL_PAYS_ABOVE:
        yield from map(work, chunks)
        return
    # spawn: a fork would copy the threads' locks of whatever runtime the caller has loaded.
    pool = ProcessPoolExecutor(min(workers, len(chunks)), mp_context=get_context("spawn"))
    try:
        for future in as_completed([pool.submit(work, chunk) for chunk in chunks]):
            yield future.result()
    except BrokenProcessPool as error:
        raise DataError(
            "a worker process of the cache died (killed, or out of memory)",
            expected="fewer workers, or to run it again: finished chunks are kept",
            found=str(error),
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _check_names(refs: Sequence[ImageRef]) -> None:
    repeated = [name for name, count in Counter(ref.name for ref in refs).items() if count > 1]
    if not refs or repeated:
        raise DataError(
            "images cannot be packed",
            expected="at least one image, each with its own name",
            found=f"{repeated[0]} twice" if repeated else "none",
        )
