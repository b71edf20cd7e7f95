"""Makes inspections durable: one thread, many inspections a commit, the journal when the database is lost.

Under load every inspection that waits goes into the same transaction, so one sync of the disk serves all of them.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from waferlens.errors import BlobStoreLost, DatabaseLost, DuplicateRequest, RecordLost, StorageError
from waferlens.storage.blobs import BlobStore, name_of
from waferlens.storage.database import Database
from waferlens.storage.inspections import ids_present, insert_inspection, insert_rendering
from waferlens.storage.journal import Journal
from waferlens.storage.stored import Rendering, StoredInspection

_LOG = logging.getLogger(__name__)
_LARGEST_COMMIT = 256
_PICTURES_WAIT_SECONDS, _MOST_PICTURES = 0.1, 16
"""For an inspection whose commit they can join."""

_LOST_FOR_SECONDS = 1.0
"""After a failure the database is left alone that long: each image would wait for its own time-out otherwise."""


Consequences = Callable[[Connection, StoredInspection], None]
"""What else is written of an inspection, in its own transaction: both are kept, or neither."""


def _none(_connection: Connection, _inspection: StoredInspection) -> None:
    """Nothing else."""


@dataclass(frozen=True)
class _Write:
    content: StoredInspection | Rendering
    done: Future[str] = field(default_factory=Future)

    def apply(self, connection: Connection, consequences: Consequences) -> None:
        if isinstance(self.content, Rendering):
            insert_rendering(connection, self.content)
        else:
            insert_inspection(connection, self.content)
            consequences(connection, self.content)


class Recorder:
    """Takes inspections and originals from any thread; answers when they are durable."""

    def __init__(
        self,
        database: Database,
        blobs: BlobStore,
        journal: Journal,
        consequences: Consequences | None = None,
    ) -> None:
        """Starts the two threads; ``close`` ends them."""
        self._database, self._blobs, self._journal = database, blobs, journal
        self._consequences = consequences or _none
        self._queue: queue.SimpleQueue[_Write | None] = queue.SimpleQueue()
        self._lost_until = 0.0
        self._store_lost_until = 0.0
        self._closing = threading.Event()
        self._threads = [
            threading.Thread(target=self._write_for_ever, name="recorder", daemon=True),
            threading.Thread(target=self._drain_for_ever, name="journal", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, inspection: StoredInspection) -> Future[str]:
        """Write one inspection. The future gives ``database`` or ``journal`` once it is durable there.

        It raises DuplicateRequest when its idempotency key is taken, RecordLost when nothing took it.
        """
        return self._submit(_Write(inspection))

    def submit_rendering(self, rendering: Rendering) -> Future[str]:
        """Write which pictures belong to an inspection. May raise DatabaseLost; they can be drawn again."""
        return self._submit(_Write(rendering))

    def put_blob(self, data: bytes, *, durable: bool = True) -> str:
        """Keep bytes in the store or, while it is lost, here; returns their name. Raises RecordLost."""
        try:
            if time.monotonic() < self._store_lost_until:
                raise BlobStoreLost("the store of images was lost a moment ago")
            return self._blobs.put(data, durable=durable)
        except BlobStoreLost:
            self._store_lost_until = max(self._store_lost_until, time.monotonic() + _LOST_FOR_SECONDS)
        try:
            return self._journal.spool.put(data)
        except BlobStoreLost as error:
            raise RecordLost(
                "neither the store nor the journal takes the image", found=str(error.found)
            ) from error

    def get_blob(self, name: str) -> bytes:
        """Bytes by their name, from the store or from here. Raises BlobMissing, BlobStoreLost."""
        try:
            return self._journal.spool.get(name)
        except StorageError:
            return self._blobs.get(name)

    def close(self) -> None:
        """Write what waits, then end the threads."""
        self._closing.set()
        self._queue.put(None)
        for thread in self._threads:
            thread.join()

    def _submit(self, write: _Write) -> Future[str]:
        if self._closing.is_set():
            write.done.set_exception(RecordLost("the service is stopping"))
        else:
            self._queue.put(write)
        return write.done

    def _write_for_ever(self) -> None:
        going_on, pictures = True, list[_Write]()
        while going_on:
            batch, going_on = self._take(_PICTURES_WAIT_SECONDS if pictures else None)
            urgent = [write for write in batch if isinstance(write.content, StoredInspection)]
            pictures += [write for write in batch if isinstance(write.content, Rendering)]
            if urgent or not batch or not going_on or len(pictures) >= _MOST_PICTURES:
                self._commit(urgent + pictures)
                pictures = []

    def _take(self, timeout: float | None) -> tuple[list[_Write], bool]:
        """What waits now, or comes before the time-out, and whether more is to be expected."""
        batch = list[_Write]()
        with contextlib.suppress(queue.Empty):
            while len(batch) < _LARGEST_COMMIT:
                write = self._queue.get(timeout=timeout) if not batch else self._queue.get_nowait()
                if write is None:
                    return batch, False
                batch.append(write)
        return batch, True

    def _commit(self, batch: list[_Write]) -> None:
        if not batch:
            return
        try:
            if time.monotonic() < self._lost_until:
                raise DatabaseLost("the database was lost a moment ago")
            with self._database.writing() as connection:
                for write in batch:
                    write.apply(connection, self._consequences)
        except IntegrityError:
            self._commit_one_by_one(batch)
        except DatabaseLost as error:
            self._lost_until = max(self._lost_until, time.monotonic() + _LOST_FOR_SECONDS)
            for write in batch:
                self._keep_in_journal(write, error)
        except Exception as error:  # the thread must live: every later image depends on it
            for write in batch:
                write.done.set_exception(RecordLost("the record was not written", found=repr(error)[:200]))
        else:
            for write in batch:
                write.done.set_result("database")

    def _commit_one_by_one(self, batch: list[_Write]) -> None:
        """Only rows that are there already may fail, not those that came with them."""
        if len(batch) == 1:
            batch[0].done.set_exception(DuplicateRequest("it is recorded already"))
            return
        for write in batch:
            self._commit([write])

    def _keep_in_journal(self, write: _Write, lost: DatabaseLost) -> None:
        if isinstance(write.content, Rendering):
            write.done.set_exception(lost)
            return
        try:
            self._journal.keep(write.content)
        except Exception as error:
            write.done.set_exception(error if isinstance(error, RecordLost) else RecordLost(repr(error)[:200]))
        else:
            write.done.set_result("journal")

    def _drain_for_ever(self) -> None:
        while not self._closing.wait(_LOST_FOR_SECONDS):
            for chore in (self.drain_entries, self.drain_blobs, self._database.tidy):
                _whatever_happens(chore)

    def drain_entries(self) -> int:
        """Bring journal entries to the database; how many. Raises DatabaseLost.

        An entry that a sound database refuses stays where it is and holds no other up.
        """
        num_drained = 0
        for entry in self._journal.waiting():
            try:
                self._drain(entry)
            except (DatabaseLost, IntegrityError) as error:
                self._database.ping()
                _LOG.error("the database refuses the journal's entry %s: %s", entry.id, error)
                continue
            self._journal.forget(entry.id)
            num_drained += 1
        return num_drained

    def _drain(self, entry: StoredInspection) -> None:
        with self._database.reading() as connection:
            if ids_present(connection, [entry.id]):
                return
        try:
            with self._database.writing() as connection:
                _Write(entry).apply(connection, self._consequences)
        except IntegrityError:
            # Its key was used again meanwhile: the retry is recorded. This one is kept too, without key.
            with self._database.writing() as connection:
                _Write(_without_key(entry)).apply(connection, self._consequences)

    def drain_blobs(self) -> int:
        """Bring spooled blobs to the store; how many. Raises BlobStoreLost."""
        num_drained = 0
        for name in list(self._journal.spool.names()):
            data = self._journal.spool.get(name)
            if name_of(data) == name:
                self._blobs.put(data)
                self._journal.spool.delete(name)
                num_drained += 1
        return num_drained


def _without_key(inspection: StoredInspection) -> StoredInspection:
    return StoredInspection(**vars(inspection) | {"idempotency_key": None, "request_hash": None})


def _whatever_happens(chore: Callable[[], object]) -> None:
    try:
        chore()
    except Exception as error:  # lost still, or again: the next round tries once more, nothing is dropped
        _LOG.warning("the journal waits: %s", error)
