"""The figures of the review, and who may see them.

Those of the line everybody; those of a person only that person and a quality engineer. The rule is here alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from waferlens.errors import NotAllowed
from waferlens.records import DecisionKind
from waferlens.review import agreement
from waferlens.review.kappa import Kappa
from waferlens.review.looks import PersonsLook, looks_of
from waferlens.review.ports import Clock
from waferlens.storage.accounts import Identity, Role
from waferlens.storage.database import Database
from waferlens.storage.review_figures import people_between, said_between, settled_between
from waferlens.storage.review_stored import Choice
from waferlens.storage.stored import DAY_MS


@dataclass(frozen=True, kw_only=True)
class Period:
    """since_ms is included, until_ms is not."""

    since_ms: int
    until_ms: int


@dataclass(frozen=True, kw_only=True)
class LineFigures:
    """All people together. overrides: by what the model decided, how often people settled that it is normal."""

    period: Period
    num_looks: int
    num_people: int
    people: agreement.BetweenPeople
    reference: agreement.AgainstReference
    seeing: agreement.BeforeAndAfter
    overrides: dict[DecisionKind, agreement.Rate]
    escapes: agreement.Escapes

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "period": vars(self.period),
            "num_looks": self.num_looks,
            "num_people": self.num_people,
            "people": {name: kappa.as_dict() for name, kappa in vars(self.people).items()},
            "reference": _rates(self.reference),
            "seeing": _rates(self.seeing),
            "overrides": {str(kind): rate.as_dict() for kind, rate in self.overrides.items()},
            "escapes": vars(self.escapes) | {"rate": self.escapes.rate.as_dict()},
        }


@dataclass(frozen=True, kw_only=True)
class PersonFigures:
    """One person. median_seconds: from the claim to the verdict; None without any."""

    person: str
    period: Period
    num_looks: int
    median_seconds: float | None
    unsure: agreement.Rate
    colleagues: agreement.Rate
    reference: agreement.AgainstReference
    seeing: agreement.BeforeAndAfter

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return vars(self) | {
            "period": vars(self.period),
            "unsure": self.unsure.as_dict(),
            "colleagues": self.colleagues.as_dict(),
            "reference": _rates(self.reference),
            "seeing": _rates(self.seeing),
        }


class Figures:
    """Counts what is stored."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database, self._clock = database, clock

    def last_days(self, days: float) -> Period:
        """The period that ends now."""
        until_ms = self._clock.now_ms() + 1
        return Period(since_ms=max(0, until_ms - round(days * DAY_MS)), until_ms=until_ms)

    def line(self, period: Period) -> LineFigures:
        """Of all people together; nobody is named. Raises DatabaseLost."""
        with self._database.reading() as connection:
            said = said_between(connection, period.since_ms, period.until_ms)
            settled = settled_between(connection, period.since_ms, period.until_ms)
        looks = looks_of(said)
        return LineFigures(
            period=period,
            num_looks=len(looks),
            num_people=len({look.person for look in looks}),
            people=agreement.between_people(looks),
            reference=agreement.against_reference(looks),
            seeing=agreement.before_and_after(looks),
            overrides=agreement.overrides(settled),
            escapes=agreement.escapes(settled),
        )

    def person(self, who: Identity, name: str, period: Period) -> PersonFigures:
        """Of one person. Raises NotAllowed unless they ask themselves or an engineer asks."""
        if who.name != name:
            _require_quality_engineer(who)
        return _of_person(name, self._looks(period), period)

    def everybody(self, who: Identity, period: Period) -> list[PersonFigures]:
        """Of each person who gave a verdict, by name. Raises NotAllowed unless an engineer asks."""
        _require_quality_engineer(who)
        looks = self._looks(period)
        with self._database.reading() as connection:
            names = people_between(connection, period.since_ms, period.until_ms)
        return [_of_person(name, looks, period) for name in names]

    def between_two(self, who: Identity, one: str, other: str, period: Period) -> Kappa:
        """Cohen's kappa of two people by name. Raises NotAllowed unless an engineer asks."""
        _require_quality_engineer(who)
        return agreement.between_two(self._looks(period), one, other)

    def _looks(self, period: Period) -> list[PersonsLook]:
        with self._database.reading() as connection:
            return looks_of(said_between(connection, period.since_ms, period.until_ms))


def _of_person(name: str, looks: list[PersonsLook], period: Period) -> PersonFigures:
    own = [look for look in looks if look.person == name]
    timed = [look.looked_ms for look in own if look.looked_ms is not None]
    num_unsure = sum(look.after.choice is Choice.UNSURE for look in own)
    return PersonFigures(
        person=name,
        period=period,
        num_looks=len(own),
        median_seconds=float(np.median(timed)) / 1000 if timed else None,
        unsure=agreement.Rate(num_events=num_unsure, num_trials=len(own)),
        colleagues=agreement.with_colleagues(looks, name),
        reference=agreement.against_reference(own),
        seeing=agreement.before_and_after(own),
    )


def _rates(figures: agreement.AgainstReference | agreement.BeforeAndAfter) -> dict[str, Any]:
    return {name: rate.as_dict() for name, rate in vars(figures).items()}


def _require_quality_engineer(who: Identity) -> None:
    if who.role is not Role.ENGINEER:
        raise NotAllowed(
            "figures of a person are for that person and the quality engineer",
            expected="engineer",
            found=str(who.role),
        )
