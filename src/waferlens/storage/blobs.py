"""A content-addressed store of images: a blob's name is the SHA-256 of its bytes. Here, a local folder.

What a caller names never becomes a path: only 64 hex digits do.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from waferlens.errors import BlobMissing, BlobStoreLost

_NAME = re.compile(r"[0-9a-f]{64}")
_FOLDER_DIGITS = 3


class BlobStore(Protocol):
    """Bytes by the SHA-256 of their content."""

    def put(self, data: bytes) -> str:
        """Keep ``data``; returns its name once it is durable. Raises BlobStoreLost."""

    def get(self, name: str) -> bytes:
        """The bytes of a name. Raises BlobMissing, BlobStoreLost."""

    def delete(self, name: str) -> None:
        """Forget a blob; nothing happens when there is none. Raises BlobStoreLost."""

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

    def put(self, data: bytes) -> str:
        """See ``BlobStore.put``."""
        name = name_of(data)
        path = self._path(name)
        try:
            if path.exists():  # its name may not have reached the disk yet
                sync_folder(path.parent)
                return name
            if not path.parent.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                sync_folder(self.folder)
            write_durably(path, data)
        except OSError as error:
            raise BlobStoreLost("an image cannot be stored", found=str(error)) from error
        return name

    def get(self, name: str) -> bytes:
        """See ``BlobStore.get``."""
        try:
            return self._path(checked_name(name)).read_bytes()
        except FileNotFoundError as error:
            raise BlobMissing("no such blob", found=name) from error
        except OSError as error:
            raise BlobStoreLost("an image cannot be read", found=str(error)) from error

    def delete(self, name: str) -> None:
        """See ``BlobStore.delete``."""
        try:
            self._path(checked_name(name)).unlink(missing_ok=True)
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
    temporary = path.with_name(f".{path.name}.{os.urandom(6).hex()}")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
