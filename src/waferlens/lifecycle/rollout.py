"""Who is champion, challenger and previous, and how that changes: each command is one transaction of the record.

The record is the truth. The registry's aliases and the engines follow it (``following``), so a process that is
killed at any point leaves either the old state or the new one, and whoever comes next brings the followers to
it. Every move has who and why, and an entry in the audit log, in the same transaction.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from waferlens.errors import IllegalMove, NotFound, OptionsError
from waferlens.lifecycle.roles import Roles, roles_in
from waferlens.lifecycle.states import Slot, State, check_move
from waferlens.storage.audit import AuditEntry, AuditLog
from waferlens.storage.database import Database
from waferlens.storage.model_versions import (
    StoredMove,
    StoredVersion,
    add_move,
    all_versions,
    find_version,
    in_slot,
    moves_of,
    set_archive,
    set_canary_share,
    set_slot,
    vacate_slot,
)
from waferlens.storage.stored import clock_ms


@dataclass(frozen=True, kw_only=True)
class Because:
    """Who moves a model, and why."""

    actor: str
    reason: str

    def __post_init__(self) -> None:
        if not self.actor.strip() or not self.reason.strip():
            raise OptionsError("a move of a model", expected="who and why", found="nothing")


class _Moves:
    """The moves of one transaction."""

    def __init__(self, connection: Connection, why: Because, audit: AuditLog) -> None:
        self.connection, self._why, self._audit = connection, why, audit
        self._now_ms = clock_ms()
        self.last: AuditEntry | None = None

    def move(self, version: str, new: State) -> StoredVersion:
        """One legal move, audited. Raises IllegalMove, NotFound."""
        stored = _existing(self.connection, version)
        old = None if stored.state is None else State(stored.state)
        check_move(version, old, new)
        told = StoredMove(
            version=version,
            from_state=None if old is None else str(old),
            to_state=str(new),
            at_ms=self._now_ms,
            actor=self._why.actor,
            reason=self._why.reason,
        )
        if not add_move(self.connection, told):
            raise IllegalMove(f"{version} was moved by another at the same time", expected=f"{old}")
        detail = {"model": version, "from": told.from_state, "to": told.to_state, "reason": told.reason}
        self.last = self._audit.append(self.connection, told.actor, "model moved", detail)
        return stored


class Rollout:
    """The commands. Shared between threads; several processes may have one on the same record."""

    def __init__(self, database: Database, audit: AuditLog) -> None:
        self._database, self._audit = database, audit

    def roles(self) -> Roles:
        """Who has which role. Raises DatabaseLost."""
        with self._database.reading() as connection:
            return roles_in(connection)

    def versions(self) -> list[StoredVersion]:
        """Every registered version, oldest first. Raises DatabaseLost."""
        with self._database.reading() as connection:
            return [each for each in all_versions(connection) if each.state is not None]

    def history(self, version: str | None = None, *, limit: int = 100) -> Sequence[StoredMove]:
        """The moves of a version or of all, newest first. Raises DatabaseLost."""
        with self._database.reading() as connection:
            return moves_of(connection, version, limit=limit)

    def find(self, version: str) -> StoredVersion:
        """A registered version. Raises NotFound, DatabaseLost."""
        with self._database.reading() as connection:
            return _existing(connection, version)

    def register(self, version: str, why: Because) -> None:
        """A reserved version whose bundle is whole is registered from now on."""
        with self._moving(why) as moves:
            moves.move(version, State.REGISTERED)

    def start(self, version: str, why: Because) -> None:
        """Try a registered version beside the champion. Raises IllegalMove while another one is tried."""
        with self._moving(why) as moves:
            if in_slot(moves.connection, Slot.CHAMPION) is None:
                raise IllegalMove("there is no champion to compare with", expected="a first one, promoted")
            moves.move(version, State.SHADOW)
            set_slot(moves.connection, version, Slot.CHALLENGER)

    def canary(self, share: float, why: Because, version: str | None = None) -> str:
        """Let the challenger decide on a share of wafers; its version.

        version: the challenger that was meant; IllegalMove where it is another by now.
        """
        if not 0 < share <= 0.5:
            raise OptionsError("the share of a canary", expected="above 0, at most 0.5", found=str(share))
        with self._moving(why) as moves:
            challenger = _meant(moves.connection, version)
            moves.move(challenger, State.CANARY)
            set_canary_share(moves.connection, challenger, share)
            return challenger

    def promote(self, why: Because, version: str | None = None) -> str:
        """The canary becomes champion, the champion previous; or ``version`` the first champion of all."""
        with self._moving(why) as moves:
            champion = in_slot(moves.connection, Slot.CHAMPION)
            if champion is None:
                if version is None:
                    raise IllegalMove("there is no challenger and no champion", expected="a version to begin with")
                moves.move(version, State.CHAMPION)
                set_slot(moves.connection, version, Slot.CHAMPION)
                return version
            challenger = _meant(moves.connection, version)
            moves.move(challenger, State.CHAMPION)
            self._take_over(moves, champion.version, challenger, State.PREVIOUS)
            return challenger

    def abort(self, why: Because, version: str | None = None) -> str:
        """The challenger is refused; the champion goes on alone. Its version. See ``canary`` for ``version``."""
        with self._moving(why) as moves:
            challenger = _meant(moves.connection, version)
            moves.move(challenger, State.REFUSED)
            vacate_slot(moves.connection, Slot.CHALLENGER)
            set_canary_share(moves.connection, challenger, None)
            return challenger

    def roll_back(self, why: Because, to: str | None = None, *, refuse: bool = False) -> str:
        """A version that was champion before is champion again: ``to``, or the one with the role ``previous``.

        refuse: the champion is refused instead of becoming the previous one, as guardrails do.
        """
        with self._moving(why) as moves:
            champion, previous = (in_slot(moves.connection, slot) for slot in (Slot.CHAMPION, Slot.PREVIOUS))
            target = to or (previous.version if previous else None)
            if champion is None or target is None:
                raise IllegalMove("there is nothing to roll back to", expected="a previous champion")
            moves.move(target, State.CHAMPION)
            self._take_over(moves, champion.version, target, State.REFUSED if refuse else State.PREVIOUS)
            return target

    def archive(self, version: str, archive: str, why: Because) -> None:
        """A version's files are in the archive now. Raises IllegalMove for what has a role: it is in use."""
        with self._moving(why) as moves:
            stored = moves.move(version, State.ARCHIVED)
            if stored.slot is not None:
                raise IllegalMove(f"{version} is in use", expected="no role", found=stored.slot)
            set_archive(moves.connection, version, archive)

    def restore(self, version: str, why: Because) -> None:
        """A version's files are back; it is what it was before it was archived."""
        with self._moving(why) as moves:
            was = moves_of(moves.connection, version, limit=1)
            came_from = was[0].from_state if was else None
            moves.move(version, State(came_from or State.REGISTERED))
            set_archive(moves.connection, version, None)

    def _take_over(self, moves: _Moves, old: str, new: str, old_becomes: State) -> None:
        """Roles change hands in an order in which no role ever has two versions."""
        moves.move(old, old_becomes)
        set_canary_share(moves.connection, new, None)
        if old_becomes is State.PREVIOUS:
            vacate_slot(moves.connection, Slot.PREVIOUS)
            set_slot(moves.connection, old, Slot.PREVIOUS)
            set_slot(moves.connection, new, Slot.CHAMPION)
        else:
            set_slot(moves.connection, old, None)
            set_slot(moves.connection, new, Slot.CHAMPION)
            _name_next_previous(moves.connection)

    @contextmanager
    def _moving(self, why: Because) -> Iterator[_Moves]:
        """A transaction of moves. Raises IllegalMove where another process took the same role meanwhile."""
        try:
            with self._database.writing() as connection:
                moves = _Moves(connection, why, self._audit)
                yield moves
        except IntegrityError as error:
            raise IllegalMove("a role has one version at most", expected="nobody else in it") from error
        if moves.last is not None:
            self._audit.note_head(moves.last)


def _name_next_previous(connection: Connection) -> None:
    """After a refusal the previous one is champion: the role goes to whoever was champion last before it."""
    former = [each for each in all_versions(connection) if each.state == State.PREVIOUS]
    if former:
        set_slot(connection, max(former, key=lambda each: each.changed_ms).version, Slot.PREVIOUS)


def _existing(connection: Connection, version: str) -> StoredVersion:
    stored = find_version(connection, version)
    if stored is None:
        raise NotFound("no such version is registered", found=version)
    return stored


def _meant(connection: Connection, version: str | None) -> str:
    """The challenger, if it is the one that was meant; None: whichever it is."""
    challenger = in_slot(connection, Slot.CHALLENGER)
    if challenger is None:
        raise IllegalMove("no challenger is being tried", expected="a rollout that was started")
    if version not in (None, challenger.version):
        raise IllegalMove(
            f"{version} is not being tried", expected=f"the challenger {challenger.version}", found=str(version)
        )
    return challenger.version
