"""A content-addressed store of images: a blob's name is the SHA-256 of its bytes. Here, a local folder.

What a caller names never becomes a path: only 64 hex digits do.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from waferlens.errors import BlobMissing, BlobStoreLost

_NAME = re.compile(r"[0-9a-f]{64}")
_FOLDER_DIGITS = 3


class BlobStore(Protocol):
    """Bytes by the SHA-256 of their content."""

    def put(self, data: bytes, *, durable: bool = True) -> str:
        """Keep ``data``; returns its name once it is durable. Raises BlobStoreLost.

        durable: False for what can be made again; it may be gone after a crash, and is then missing, never wrong.
        """

    def get(self, name: str) -> bytes:
        """The bytes of a name. Raises BlobMissing, BlobStoreLost."""

    def delete(self, name: str, *, spare_seconds: float = 0.0) -> None:
        """Forget a blob, unless it was stored in the last ``spare_seconds``. Raises BlobStoreLost."""

    def names(self) -> Iterator[str]:
        """Every blob, in no order. Raises BlobStoreLost."""

    def ping(self) -> None:
        """Raises BlobStoreLost when the store does not answer."""


def name_of(data: bytes) -> str:
    """The name that a blob has in every store."""
    return hashlib.sha256(data).hexdigest()


def checked_name(name: str) -> str:
    """The name, if it can be one. Raises BlobMissing: what has another form is in no store."""
    if not _NAME.fullmatch(name):
        raise BlobMissing("no such blob", expected="64 hex digits", found=repr(name[:80]))
    return name


class LocalBlobs:
    """Files in a folder, spread over 4,096 folders by the first three digits.

    A file appears under its name only when its bytes are on the disk; ``put`` returns only when its name is too.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def prepare(self) -> None:
        """Make every folder at once: an image should not wait for one. Raises OSError."""
        for number in range(16**_FOLDER_DIGITS):
            (self.folder / f"{number:0{_FOLDER_DIGITS}x}").mkdir(parents=True, exist_ok=True)
        sync_folder(self.folder)

    def put(self, data: bytes, *, durable: bool = True) -> str:
        """See ``BlobStore.put``."""
        name = name_of(data)
        path = self._path(name)
        try:
            if not path.parent.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                sync_folder(self.folder)
            if not durable:
                write_atomically(path, data)
            elif not _is_there(path, data):
                write_durably(path, data)
        except OSError as error:
            raise BlobStoreLost("an image cannot be stored", found=str(error)) from error
        return name

    def get(self, name: str) -> bytes:
        """See ``BlobStore.get``."""
        try:
            data = self._path(checked_name(name)).read_bytes()
        except FileNotFoundError as error:
            raise BlobMissing("no such blob", found=name) from error
        except OSError as error:
            raise BlobStoreLost("an image cannot be read", found=str(error)) from error
        if name_of(data) != name:
            raise BlobMissing("the blob is not what was stored", expected=name, found=name_of(data))
        return data

    def delete(self, name: str, *, spare_seconds: float = 0.0) -> None:
        """See ``BlobStore.delete``."""
        path = self._path(checked_name(name))
        try:
            if spare_seconds == 0 or time.time() - path.stat().st_mtime > spare_seconds:
                path.unlink()
        except FileNotFoundError:
            return
        except OSError as error:
            raise BlobStoreLost("an image cannot be deleted", found=str(error)) from error

    def names(self) -> Iterator[str]:
        """See ``BlobStore.names``."""
        try:
            for folder in self.folder.iterdir():
                if folder.is_dir():
                    yield from (file.name for file in folder.iterdir() if _NAME.fullmatch(file.name))
        except FileNotFoundError:
            return
        except OSError as error:
            raise BlobStoreLost("the folder of images cannot be read", found=str(error)) from error

    def ping(self) -> None:
        """See ``BlobStore.ping``: the folder is there and can be written to."""
        if not os.access(self.folder, os.W_OK | os.X_OK):
            raise BlobStoreLost("the folder of images is gone", expected=str(self.folder))

    def _path(self, name: str) -> Path:
        return self.folder / name[:_FOLDER_DIGITS] / name


def write_durably(path: Path, data: bytes) -> None:
    """Write a file so that it is there whole, also after the plug was pulled, or not at all. Raises OSError."""
    write_atomically(path, data, sync=True)
    sync_folder(path.parent)


def write_atomically(path: Path, data: bytes, *, sync: bool = False) -> None:
    """Write a file so that no reader sees a part of it. sync: its bytes are on the disk before its name is."""
    temporary = path.with_name(f".{path.name}.{os.urandom(6).hex()}")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            if sync:
                file.flush()
                os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _is_there(path: Path, data: bytes) -> bool:
    """Whether the very bytes are under that name already; then also on the disk. Raises OSError."""
    try:
        with path.open("rb") as file:
            if file.read() != data:
                return False
            os.utime(path)  # for whoever deletes what is old
            os.fsync(file.fileno())
    except FileNotFoundError:
        return False
    sync_folder(path.parent)
    return True
