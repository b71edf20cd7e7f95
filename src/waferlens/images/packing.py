"""One chunk of a packed cache: what its sources were, reading them, writing their pixels, and the journal.

A worker process runs ``pack_chunk``; it returns what happened and leaves the journal to its parent, so that
a line is written only after the pixels are on the disk. Knows nothing of the order in which chunks are
done.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from waferlens.errors import DataError, ImageError
from waferlens.images.fingerprints import pixel_hash
from waferlens.images.formats import read_image
from waferlens.images.options import ImageOptions
from waferlens.records import IMAGE_SIZE, ImageRef, Pixels

CHUNK = 64
"""Images a chunk: 4 MB of 8-bit pixels, a few hundredths of a second to lose at a kill."""

FORMAT_VERSION = 1
"""Raised when canonical pixels of the same file and options change; old packs are then not found."""

_WIDEN = 257  # 255 * 257 = 65535
_NUM_LISTED = 10

PackType = Literal["uint8", "uint16"]
Failure = tuple[str, str]


@dataclass(frozen=True)
class Chunk:
    """Consecutive images of a pack; ``stamp`` changes when the path, size or time of any source does."""

    number: int
    refs: tuple[ImageRef, ...]
    stamp: str


@dataclass(frozen=True)
class ChunkResult:
    """What became of a chunk: hashes when it was written; else failures, or ``wide`` for 16-bit among
    8-bit.
    """

    chunk: int
    stamp: str
    hashes: tuple[str, ...] = ()
    failures: tuple[Failure, ...] = ()
    wide: bool = False


def pack_key(refs: Sequence[ImageRef], options: ImageOptions) -> str:
    """The folder name of a pack: a hash of format, options, and the names and places of its images."""
    digest = hashlib.blake2b(digest_size=12)
    digest.update(json.dumps([FORMAT_VERSION, CHUNK, options.decoding_key()], sort_keys=True).encode())
    for ref in refs:
        digest.update(f"{ref.name}\0{ref.path.absolute()}\0".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def stamp_chunks(refs: Sequence[ImageRef]) -> list[Chunk]:
    """Cut ``refs`` into chunks and note the size and modification time of every source."""
    starts = range(0, len(refs), CHUNK)
    return [_stamped(number, tuple(refs[start : start + CHUNK])) for number, start in enumerate(starts)]


def _stamped(number: int, refs: tuple[ImageRef, ...]) -> Chunk:
    digest = hashlib.blake2b(digest_size=12)
    for ref in refs:
        try:
            status = ref.path.stat()
            digest.update(f"{status.st_size} {status.st_mtime_ns}\n".encode())
        except OSError:
            digest.update(b"missing\n")  # reading it will say so
    return Chunk(number, refs, digest.hexdigest())


def read_refs(refs: Iterable[ImageRef], options: ImageOptions) -> tuple[list[Pixels], list[str], list[Failure]]:
    """Pixels and hashes of the readable images, and name and message of the others."""
    pixels: list[Pixels] = []
    hashes: list[str] = []
    failures: list[Failure] = []
    for ref in refs:
        try:
            image = read_image(ref.path, options, name=ref.name)
        except ImageError as error:
            failures.append((ref.name, str(error)))
            continue
        pixels.append(image)
        hashes.append(pixel_hash(image))
    return pixels, hashes, failures


def stack(pixels: Sequence[Pixels], pack_type: PackType) -> Pixels:
    """(N, 256, 256) of the pack's type; 8-bit images in a 16-bit pack are stretched to its full scale."""
    stacked: Pixels = np.empty((len(pixels), IMAGE_SIZE, IMAGE_SIZE), pack_type)
    for row, image in zip(stacked, pixels, strict=True):
        row[...] = image
        if pack_type == "uint16" and image.dtype == np.uint8:
            row *= _WIDEN
    return stacked


def pack_chunk(chunk: Chunk, options: ImageOptions, file: Path, pack_type: PackType) -> ChunkResult:
    """Read the images of one chunk and write them to their place in ``file``, through to the disk.

    Written with plain writes, not through the memory map: a full disk is then an error and not a bus fault.
    """
    pixels, hashes, failures = read_refs(chunk.refs, options)
    if failures:
        return ChunkResult(chunk.number, chunk.stamp, failures=tuple(failures))
    if pack_type == "uint8" and any(image.dtype == np.uint16 for image in pixels):
        return ChunkResult(chunk.number, chunk.stamp, wide=True)
    block = stack(pixels, pack_type)
    data_at = np.load(file, mmap_mode="r").offset
    try:
        with file.open("r+b") as opened:
            opened.seek(data_at + chunk.number * CHUNK * block[0].nbytes)
            opened.write(block.data)
            opened.flush()
            os.fsync(opened.fileno())
    except OSError as error:
        raise DataError(f"{file}: cache cannot be written", found=str(error)) from error
    return ChunkResult(chunk.number, chunk.stamp, hashes=tuple(hashes))


def prepare_files(folder: Path, num_images: int, pack_type: PackType) -> tuple[Path, Path]:
    """The pixel file, at its full size, and its journal. Raises DataError when the disk is too small.

    Of several processes that come at once, one makes the file; it is never replaced under another's hands. A
    file that was cut off is made again.
    """
    pixels, journal = folder / f"pixels-{pack_type}.npy", folder / f"chunks-{pack_type}.jsonl"
    num_bytes = num_images * IMAGE_SIZE * IMAGE_SIZE * np.dtype(pack_type).itemsize
    with _alone(folder):
        if not pixels.exists() or pixels.stat().st_size < num_bytes:
            pixels.unlink(missing_ok=True)
            journal.unlink(missing_ok=True)  # a journal without its pixels would vouch for zeros
            _start(pixels, num_bytes, (num_images, IMAGE_SIZE, IMAGE_SIZE), pack_type)
    return pixels, journal


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """No other process is in here for the same folder. The system lets go when a process dies."""
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _start(pixels: Path, num_bytes: int, shape: tuple[int, ...], pack_type: PackType) -> None:
    folder = pixels.parent
    free = shutil.disk_usage(folder).free
    if num_bytes > free:
        raise DataError(
            f"{folder}: disk is too small for the cache",
            expected=f"{num_bytes / 1e9:.1f} GB free",
            found=f"{free / 1e9:.1f} GB",
        )
    started = pixels.with_suffix(".started")
    np.lib.format.open_memmap(started, mode="w+", dtype=np.dtype(pack_type), shape=shape).flush()
    started.replace(pixels)


def read_journal(journal: Path) -> dict[int, ChunkResult]:
    """Finished chunks by number, the latest line of each. A line torn by a kill is as if it were not there."""
    done: dict[int, ChunkResult] = {}
    if not journal.exists():
        return done
    for line in journal.read_text(encoding="utf-8").splitlines():
        try:
            entry = json.loads(line)
            result = ChunkResult(entry["chunk"], entry["stamp"], hashes=tuple(entry["hashes"]))
        except (ValueError, KeyError, TypeError):
            continue
        done[result.chunk] = result
    return done


def append_journal(journal: Path, result: ChunkResult) -> None:
    """Note that a chunk is on the disk. Each line begins anew, so that one torn before it harms nothing."""
    entry = {"chunk": result.chunk, "stamp": result.stamp, "hashes": result.hashes}
    with journal.open("a", encoding="utf-8") as opened:
        opened.write("\n" + json.dumps(entry) + "\n")


def refuse_unreadable(failures: Sequence[Failure], num_images: int) -> None:
    """Raise DataError with the first ten failures and the count, if there are any."""
    if failures:
        listed = "; ".join(message for _, message in sorted(failures)[:_NUM_LISTED])
        raise DataError(
            f"{len(failures)} of {num_images} images cannot be used",
            expected="every image of the data set to be readable",
            found=listed + (" ..." if len(failures) > _NUM_LISTED else ""),
        )
