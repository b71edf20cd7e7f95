"""Where inspections wait while the database or the store of images is lost: small files on the local disk.

An entry is whole and durable before ``keep`` returns. ``waiting`` gives entries in the order of their arrival.
Knows nothing of who drains it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from waferlens.errors import RecordLost
from waferlens.storage.blobs import LocalBlobs, write_durably
from waferlens.storage.stored import StoredInspection

_SUFFIX = ".json"


class Journal:
    """A folder of entries, and one of blobs that the store could not take."""

    def __init__(self, folder: Path) -> None:
        """Creates the folder. Raises OSError."""
        self._entries = folder / "entries"
        self.spool = LocalBlobs(folder / "blobs")
        for each in (self._entries, self.spool.folder):
            each.mkdir(parents=True, exist_ok=True)
        self._keys = {(entry.station, entry.idempotency_key): entry.id for entry in self.waiting()}

    def keep(self, inspection: StoredInspection) -> None:
        """Keep one inspection durably. Raises RecordLost when even this disk does not take it."""
        data = json.dumps(inspection.to_json()).encode()
        try:
            write_durably(self._entries / f"{inspection.id}{_SUFFIX}", data)
        except OSError as error:
            raise RecordLost("neither the database nor the journal takes the record", found=str(error)) from error
        self._keys[inspection.station, inspection.idempotency_key] = inspection.id

    def waiting(self) -> Iterator[StoredInspection]:
        """Every entry, oldest first."""
        for path in sorted(self._entries.glob(f"*{_SUFFIX}")):
            try:
                content = path.read_bytes()
            except FileNotFoundError:  # drained by another process of this machine
                continue
            yield StoredInspection.from_json(json.loads(content))

    def find(self, inspection_id: str) -> StoredInspection | None:
        """The entry of this id, if it is waiting here."""
        path = self._entries / f"{inspection_id}{_SUFFIX}"
        try:
            return StoredInspection.from_json(json.loads(path.read_bytes()))
        except FileNotFoundError:
            return None

    def find_by_key(self, station: str, key: str) -> StoredInspection | None:
        """The entry that waits here under this station's idempotency key."""
        inspection_id = self._keys.get((station, key))
        return None if inspection_id is None else self.find(inspection_id)

    def forget(self, inspection_id: str) -> None:
        """Drop an entry that the database has taken."""
        (self._entries / f"{inspection_id}{_SUFFIX}").unlink(missing_ok=True)
        for place, waiting in list(self._keys.items()):
            if waiting == inspection_id:
                self._keys.pop(place, None)

    def num_waiting(self) -> int:
        """Entries that wait for the database and blobs that wait for the store."""
        return sum(1 for _ in self._entries.glob(f"*{_SUFFIX}")) + sum(1 for _ in self.spool.names())
