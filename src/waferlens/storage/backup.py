"""The whole record in a folder, and back: the same format for every database and every store.

BACKUP/
├── record.jsonl.gz   every row of every table: {"table": ..., "row": {...}}
├── blobs/            the images, by their hashes
└── manifest.json     SHA-256 of the rows, how many of each table, how many images

Rows come from one state of the database. Images are stored before the rows that name them, so those rows find
theirs. At many millions of inspections the database's own tools are quicker.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Table, func, insert, select, text

from waferlens.bundle.manifest import sha256_of
from waferlens.errors import BlobMissing, DataError
from waferlens.storage.blobs import BlobStore, LocalBlobs
from waferlens.storage.database import Database
from waferlens.storage.tables import metadata

_ROWS, _MANIFEST = "record.jsonl.gz", "manifest.json"
_AT_ONCE = 500
_NUMBERED = ("dispositions", "bands", "settlements", "alarms")
_PICTURES = ("heatmap", "reconstruction")


def back_up(database: Database, blobs: BlobStore, folder: Path) -> dict[str, int]:
    """Write the record to a new folder; how many rows of each table, and images.

    Raises DataError, StorageError, OSError.
    """
    if folder.exists() and any(folder.iterdir()):
        raise DataError(f"{folder} cannot take a backup", expected="a new or an empty folder")
    folder.mkdir(parents=True, exist_ok=True)
    counts, copies = Counter[str](), LocalBlobs(folder / "blobs")
    with database.reading() as connection, gzip.open(folder / _ROWS, "wt", encoding="utf-8") as file:
        if not database.is_sqlite:
            connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
        for table in metadata.sorted_tables:
            for row in _rows_of(connection, table):
                file.write(json.dumps({"table": table.name, "row": _to_json(row)}) + "\n")
                counts[table.name] += 1
                counts["images"] += _copy_images(table.name, row, blobs, copies)
    manifest = {"sha256": sha256_of(folder / _ROWS), "counts": dict(counts)}
    (folder / _MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    return dict(counts)


def restore(database: Database, blobs: BlobStore, folder: Path) -> dict[str, int]:
    """Bring a backup into an empty record, images first. Raises DataError, StorageError, OSError."""
    manifest = _checked_manifest(folder)
    copies = LocalBlobs(folder / "blobs")
    for name in copies.names():
        blobs.put(copies.get(name))
    counts = Counter[str]()
    with database.writing() as connection:
        for table in metadata.sorted_tables:
            if connection.execute(select(func.count()).select_from(table)).scalar_one():
                raise DataError("the record is not empty", expected="a new one", found=f"rows in {table.name}")
        for name, rows in _chunks(folder / _ROWS):
            connection.execute(insert(metadata.tables[name]), rows)
            counts[name] += len(rows)
        if not database.is_sqlite:
            for name in _NUMBERED:
                connection.execute(
                    text(f"SELECT setval(pg_get_serial_sequence('{name}', 'seq'), max(seq)) FROM {name}")
                )
    told = {name: count for name, count in manifest["counts"].items() if name != "images"}
    if dict(counts) != told:
        raise DataError("the backup is not whole", expected=str(told), found=str(dict(counts)))
    return dict(counts)


def _copy_images(table: str, row: dict[str, Any], blobs: BlobStore, copies: LocalBlobs) -> int:
    """Copy what a row names. A missing picture is drawn again one day; a missing original is an error."""
    if table == "inspections":
        copies.put(blobs.get(row["original"]))
        return 1
    num_copied = 0
    if table == "renderings":
        for kind in _PICTURES:
            try:
                copies.put(blobs.get(row[kind]))
            except BlobMissing:
                continue
            num_copied += 1
    return num_copied


def _rows_of(connection: Connection, table: Table) -> Iterator[dict[str, Any]]:
    """Every row, page by page along the primary key."""
    keys = list(table.primary_key.columns)
    last: list[Any] | None = None
    while True:
        query = select(table).order_by(*keys).limit(_AT_ONCE)
        if last is not None:
            query = query.where(_after(keys, last))
        page = [dict(row) for row in connection.execute(query).mappings()]
        yield from page
        if len(page) < _AT_ONCE:
            return
        last = [page[-1][key.name] for key in keys]


def _after(keys: list[Any], last: list[Any]) -> Any:
    """(a, b) > (x, y), written out."""
    first, value = keys[0], last[0]
    if len(keys) == 1:
        return first > value
    return (first > value) | ((first == value) & _after(keys[1:], last[1:]))


def _chunks(file: Path) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Rows of one table at a time, some hundreds."""
    name, rows = "", list[dict[str, Any]]()
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        for line in lines:
            entry = json.loads(line)
            if rows and (entry["table"] != name or len(rows) >= _AT_ONCE):
                yield name, rows
                rows = []
            name = entry["table"]
            rows.append(_from_json(entry["row"]))
    if rows:
        yield name, rows


def _to_json(row: dict[str, Any]) -> dict[str, Any]:
    return {
        key: {"base64": base64.b64encode(value).decode()} if isinstance(value, bytes) else value
        for key, value in row.items()
    }


def _from_json(row: dict[str, Any]) -> dict[str, Any]:
    return {
        key: base64.b64decode(value["base64"]) if isinstance(value, dict) else value for key, value in row.items()
    }


def _checked_manifest(folder: Path) -> dict[str, Any]:
    try:
        manifest: dict[str, Any] = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
        found = sha256_of(folder / _ROWS)
    except (OSError, ValueError) as error:
        raise DataError(f"{folder} is not a backup", found=str(error)) from error
    if manifest.get("sha256") != found:
        raise DataError(f"{folder} is not what was backed up", expected=str(manifest.get("sha256")), found=found)
    return manifest
