"""The defect classes of a record: added and retired by engineers, every change audited, none ever deleted."""

from __future__ import annotations

import re
from collections.abc import Mapping

from waferlens.errors import Conflict, NotAllowed, NotFound, OptionsError
from waferlens.review.ports import Clock
from waferlens.storage import review_known
from waferlens.storage.accounts import Identity, Role
from waferlens.storage.audit import AuditLog
from waferlens.storage.database import Database
from waferlens.storage.review_stored import DefectClass

ENGINEERING = frozenset({Role.ENGINEER, Role.ADMIN})
"""Roles that change what everybody's verdicts mean."""

_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
_LONGEST_DESCRIPTION = 500


class Taxonomy:
    """The classes; changes are written at once."""

    def __init__(self, database: Database, audit: AuditLog, clock: Clock) -> None:
        self._database, self._audit, self._clock = database, audit, clock

    def begin_with(self, first: Mapping[str, str]) -> None:
        """Give a record that has no class these ones. Raises DatabaseLost, OptionsError."""
        for name, description in first.items():
            _check(name, description)
        with self._database.writing() as connection:
            if review_known.classes(connection):
                return
            added = [
                name
                for name, description in first.items()
                if review_known.add_class(connection, self._new(name, description, "settings"))
            ]
            if not added:  # another process of this record began at the same moment
                return
            entry = self._audit.append(connection, "settings", "defect classes begun", {"names": added})
        self._audit.note_head(entry)

    def all_classes(self) -> list[DefectClass]:
        """Every class, retired ones too, by place."""
        with self._database.reading() as connection:
            return review_known.classes(connection)

    def in_use(self) -> list[DefectClass]:
        """The classes that may be given, by place: the first nine are the digit keys."""
        return [each for each in self.all_classes() if each.retired_ms is None]

    def add(self, who: Identity, name: str, description: str) -> DefectClass:
        """A new class, or a retired one again. Raises NotAllowed, OptionsError, Conflict when it is in use."""
        _require_engineer(who)
        return self._add(name, description, who.name)

    def retire(self, who: Identity, name: str) -> None:
        """A class that is given no more; old verdicts keep it. Raises NotAllowed, NotFound."""
        _require_engineer(who)
        with self._database.writing() as connection:
            if not review_known.retire_class(connection, name, self._clock.now_ms()):
                raise NotFound("no such class in use", found=name)
            entry = self._audit.append(connection, who.name, "defect class retired", {"name": name})
        self._audit.note_head(entry)

    def _add(self, name: str, description: str, actor: str) -> DefectClass:
        _check(name, description)
        new = self._new(name, description, actor)
        with self._database.writing() as connection:
            is_new = review_known.add_class(connection, new)
            if not is_new and not review_known.retire_class(connection, name, None):
                raise Conflict("this class is in use", found=name)
            detail = {"name": name, "description": description, "again": not is_new}
            entry = self._audit.append(connection, actor, "defect class added", detail)
            found = review_known.find_class(connection, name)
        self._audit.note_head(entry)
        return found or new

    def _new(self, name: str, description: str, actor: str) -> DefectClass:
        now_ms = self._clock.now_ms()
        return DefectClass(name=name, description=description, place=0, added_by=actor, added_ms=now_ms)


def _require_engineer(who: Identity) -> None:
    if who.role not in ENGINEERING:
        raise NotAllowed("this role may not change the classes", expected="engineer", found=str(who.role))


def _check(name: str, description: str) -> None:
    if not _NAME.fullmatch(name):
        expected = "a small letter, then up to 63 small letters, digits and underscores"
        raise OptionsError("the name of a defect class", expected=expected, found=repr(name[:80]))
    if len(description) > _LONGEST_DESCRIPTION or not description.isprintable():
        raise OptionsError(
            "the description of a defect class", expected=f"one line, {_LONGEST_DESCRIPTION} letters"
        )
