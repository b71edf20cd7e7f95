"""The versions of a model and their moves, as the record keeps them. SQL only: which moves are legal is not
known here.

A version is reserved before anything is made of it (state None) and registered when everything is there. A slot
(champion, challenger, previous) holds one version at most: the database refuses a second.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, insert, select, update

from waferlens.storage.schema import model_moves, model_versions
from waferlens.storage.stored import clock_ms


@dataclass(frozen=True, kw_only=True)
class StoredVersion:
    """One version. state: None while it is being registered. slot: which of the three roles it has, if any.

    source_hash: SHA-256 of the manifest of the bundle that was handed in. bundle_hash: of the registered bundle's.
    identity: JSON, what the next version's number is decided on. archive: blob that lists an archived bundle's
    files. canary_share: of wafers, while it is a canary.
    """

    version: str
    state: str | None
    slot: str | None
    source_hash: str
    bundle_hash: str | None
    identity: str
    product: str
    archive: str | None
    canary_share: float | None
    created_ms: int
    changed_ms: int


@dataclass(frozen=True, kw_only=True)
class StoredMove:
    """One step of one version: from where (None: it was not there), to where, when, by whom, why."""

    version: str
    from_state: str | None
    to_state: str
    at_ms: int
    actor: str
    reason: str


def reserve_version(
    connection: Connection, version: str, *, source_hash: str, product: str, identity: str
) -> None:
    """Keep a version's name for a bundle. Raises IntegrityError when the name or the bundle has one."""
    now = clock_ms()
    told = {"version": version, "source_hash": source_hash, "product": product, "identity": identity}
    connection.execute(insert(model_versions), told | {"created_ms": now, "changed_ms": now})


def all_versions(connection: Connection) -> list[StoredVersion]:
    """Every version, reserved ones too, oldest first."""
    query = select(model_versions).order_by(model_versions.c.created_ms, model_versions.c.version)
    return [StoredVersion(**row) for row in connection.execute(query).mappings()]


def find_version(connection: Connection, version: str) -> StoredVersion | None:
    """The version of this name."""
    return _one(connection, model_versions.c.version == version)


def find_source(connection: Connection, source_hash: str) -> StoredVersion | None:
    """The version that this bundle was handed in for."""
    return _one(connection, model_versions.c.source_hash == source_hash)


def in_slot(connection: Connection, slot: str) -> StoredVersion | None:
    """The version that has this role."""
    return _one(connection, model_versions.c.slot == slot)


def vacate_slot(connection: Connection, slot: str) -> None:
    """Nobody has this role any more."""
    connection.execute(update(model_versions).where(model_versions.c.slot == slot).values(slot=None))


def set_slot(connection: Connection, version: str, slot: str | None) -> None:
    """Give a version a role. Raises IntegrityError while another has it."""
    connection.execute(update(model_versions).where(model_versions.c.version == version).values(slot=slot))


def set_bundle_hash(connection: Connection, version: str, bundle_hash: str) -> None:
    """The registered bundle is whole, and its manifest has this hash."""
    connection.execute(
        update(model_versions).where(model_versions.c.version == version).values(bundle_hash=bundle_hash)
    )


def set_archive(connection: Connection, version: str, archive: str | None) -> None:
    """Where an archived version's files are listed."""
    connection.execute(update(model_versions).where(model_versions.c.version == version).values(archive=archive))


def set_canary_share(connection: Connection, version: str, share: float | None) -> None:
    """The share of wafers that a canary decides on."""
    connection.execute(
        update(model_versions).where(model_versions.c.version == version).values(canary_share=share)
    )


def add_move(connection: Connection, move: StoredMove) -> bool:
    """Change a version's state and note who and why; False, and nothing is changed, when it is not in
    ``from_state``.

    Two that move the same version at once do not both succeed: the second finds another state.
    """
    table = model_versions.c
    was = table.state.is_(None) if move.from_state is None else table.state == move.from_state
    changed = connection.execute(
        update(model_versions)
        .where(table.version == move.version, was)
        .values(state=move.to_state, changed_ms=move.at_ms)
    )
    if changed.rowcount != 1:
        return False
    connection.execute(insert(model_moves), vars(move))
    return True


def moves_of(connection: Connection, version: str | None, *, limit: int) -> Sequence[StoredMove]:
    """The moves of a version, or of all, newest first."""
    query = select(model_moves).order_by(model_moves.c.seq.desc()).limit(limit)
    if version is not None:
        query = query.where(model_moves.c.version == version)
    return [StoredMove(**_without_seq(row)) for row in connection.execute(query).mappings()]


def _one(connection: Connection, condition: Any) -> StoredVersion | None:
    row = connection.execute(select(model_versions).where(condition)).mappings().first()
    return None if row is None else StoredVersion(**row)


def _without_seq(row: Any) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "seq"}
