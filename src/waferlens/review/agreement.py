"""How well people agree: with each other, with known answers, with the model, with themselves. Pure counting.

Opinions are those before the score was shown where there are such, so that the model does not agree with itself
through people. Every rate has its exact interval (Clopper and Pearson); what has no trials has no rate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from waferlens.decision.intervals import exact_rate, sample_size_for_bound, upper_bound
from waferlens.records import DecisionKind, Estimate, Label
from waferlens.review.kappa import Kappa, cohens_kappa, fleiss_kappa
from waferlens.review.looks import Opinion, PersonsLook
from waferlens.storage.review_figures import SettledCount
from waferlens.storage.review_stored import Choice, Purpose

_Each = TypeVar("_Each")

CATEGORIES = (Choice.PASS, Choice.REJECT, Choice.UNSURE)
ESCAPE_TARGET = 0.001
"""The case study's bound on the rate of escapes."""


@dataclass(frozen=True, kw_only=True)
class Rate:
    """num_events of num_trials. estimate: None without trials."""

    num_events: int
    num_trials: int

    @property
    def estimate(self) -> Estimate | None:
        """The rate with its exact 95 % interval."""
        return exact_rate(self.num_events, self.num_trials) if self.num_trials else None

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        told = self.estimate
        return {
            "num_events": self.num_events,
            "num_trials": self.num_trials,
            "rate": None if told is None else told.as_dict(),
        }


@dataclass(frozen=True, kw_only=True)
class BetweenPeople:
    """Two people who looked at one image. cohen: first look against second. classes: of what both rejected."""

    fleiss: Kappa
    cohen: Kappa
    classes: Kappa


@dataclass(frozen=True, kw_only=True)
class AgainstReference:
    """People against known answers. missed: defective images that were passed. false_alarms: normal ones that were
    rejected. unsure: of all. right_class: of the rejected ones whose class is known and was named.
    """

    missed: Rate
    false_alarms: Rate
    unsure: Rate
    right_class: Rate


@dataclass(frozen=True, kw_only=True)
class BeforeAndAfter:
    """What people changed once they saw the score. changed: of looks that were confirmed or changed afterwards.

    towards_model: of the changed ones, those that then said what the model says. passed: rejected before, passed
    after, of those rejected before. rejected: passed before, rejected after, of those passed before.
    """

    changed: Rate
    towards_model: Rate
    passed: Rate
    rejected: Rate


@dataclass(frozen=True, kw_only=True)
class Escapes:
    """The blind audit of what passed. rate: confirmed defects of the settled. bound: one-sided, 95 %, or None.

    num_open: drawn, looked at, and not settled yet. num_needed: without a defect, to show the case study's bound.
    """

    rate: Rate
    bound: float | None
    num_open: int
    num_needed: int


def between_people(looks: Iterable[PersonsLook]) -> BetweenPeople:
    """Agreement on images that two people were given apart from each other."""
    pairs = _pairs(looks)
    table = np.zeros((len(CATEGORIES), len(CATEGORIES)), dtype=np.int64)
    subjects = np.zeros((len(pairs), len(CATEGORIES)), dtype=np.int64)
    for number, opinions in enumerate(pairs):
        first, second = (CATEGORIES.index(opinion.choice) for opinion in opinions)
        table[first, second] += 1
        subjects[number, first] += 1
        subjects[number, second] += 1
    return BetweenPeople(fleiss=fleiss_kappa(subjects), cohen=cohens_kappa(table), classes=_classes(pairs))


def between_two(looks: Iterable[PersonsLook], one: str, other: str) -> Kappa:
    """Cohen's kappa of two people by name, on the images that both were given."""
    table = np.zeros((len(CATEGORIES), len(CATEGORIES)), dtype=np.int64)
    for both in _by_inspection(looks).values():
        by_person = {look.person: look.independent for look in both}
        if one in by_person and other in by_person:
            first, second = (CATEGORIES.index(by_person[name].choice) for name in (one, other))
            table[first, second] += 1
    return cohens_kappa(table)


def with_colleagues(looks: Iterable[PersonsLook], person: str) -> Rate:
    """How often somebody else said the same as this person of the same image."""
    same = num = 0
    for both in _by_inspection(looks).values():
        mine = [look.independent.choice for look in both if look.person == person]
        others = [look.independent.choice for look in both if look.person != person]
        for choice in others if mine else []:
            num += 1
            same += choice is mine[0]
    return Rate(num_events=same, num_trials=num)


def against_reference(looks: Iterable[PersonsLook]) -> AgainstReference:
    """People against the answers that are known. An unsure look is neither missed nor a false alarm."""
    known = [(look.independent, look.truth, look.true_class) for look in looks if look.purpose is Purpose.KNOWN]
    said = [(opinion, name) for opinion, truth, name in known if truth is Label.DEFECTIVE]
    normal = [opinion for opinion, truth, _ in known if truth is Label.NORMAL]
    named = [
        (opinion.defect_class, name)
        for opinion, name in said
        if opinion.choice is Choice.REJECT and name is not None and opinion.defect_class is not None
    ]
    return AgainstReference(
        missed=_share(said, lambda each: each[0].choice is Choice.PASS),
        false_alarms=_share(normal, lambda each: each.choice is Choice.REJECT),
        unsure=_share(known, lambda each: each[0].choice is Choice.UNSURE),
        right_class=_share(named, lambda each: each[0] == each[1]),
    )


def before_and_after(looks: Iterable[PersonsLook]) -> BeforeAndAfter:
    """What seeing the score does to people, from blind looks that were confirmed or changed afterwards."""
    both = [
        (look.before, look.after, look.machine) for look in looks if look.before is not None and look.seen_since
    ]
    told = [(before.choice, after.choice, machine) for before, after, machine in both if before is not None]
    changed = [each for each in told if each[0] is not each[1]]
    return BeforeAndAfter(
        changed=_share(told, lambda each: each[0] is not each[1]),
        towards_model=_share(changed, lambda each: _says(each[1], each[2])),
        passed=_share([e for e in told if e[0] is Choice.REJECT], lambda each: each[1] is Choice.PASS),
        rejected=_share([e for e in told if e[0] is Choice.PASS], lambda each: each[1] is Choice.REJECT),
    )


def overrides(counts: Iterable[SettledCount]) -> dict[DecisionKind, Rate]:
    """By what the model decided: how often people settled that the image is normal, of all that they settled.

    Of what passed it is the audited sample; there it is the share that is confirmed.
    """
    counted = [each for each in counts if each.audited or each.machine is not DecisionKind.PASS]
    return {
        kind: Rate(
            num_events=_number(counted, kind, DecisionKind.PASS),
            num_trials=_number(counted, kind, DecisionKind.PASS) + _number(counted, kind, DecisionKind.REJECT),
        )
        for kind in DecisionKind
    }


def escapes(counts: Iterable[SettledCount]) -> Escapes:
    """The rate of escapes that the blind audit shows: defects among images that the model passed."""
    audited = [count for count in counts if count.audited and count.machine is DecisionKind.PASS]
    by = {kind: _number(audited, DecisionKind.PASS, kind) for kind in DecisionKind}
    found, n = by[DecisionKind.REJECT], by[DecisionKind.REJECT] + by[DecisionKind.PASS]
    return Escapes(
        rate=Rate(num_events=found, num_trials=n),
        bound=upper_bound(found, n) if n else None,
        num_open=by[DecisionKind.REVIEW],
        num_needed=sample_size_for_bound(ESCAPE_TARGET),
    )


def _by_inspection(looks: Iterable[PersonsLook]) -> dict[str, list[PersonsLook]]:
    """Looks that people took apart from each other: an arbiter knows what was said before."""
    found: dict[str, list[PersonsLook]] = {}
    for look in looks:
        if look.purpose is Purpose.DOUBT:
            found.setdefault(look.inspection_id, []).append(look)
    return found


def _pairs(looks: Iterable[PersonsLook]) -> list[tuple[Opinion, Opinion]]:
    found = []
    for both in _by_inspection(looks).values():
        if len(both) == 2:
            first, second = both  # looks come in the order in which they were taken
            found.append((first.independent, second.independent))
    return found


def _classes(pairs: Sequence[tuple[Opinion, Opinion]]) -> Kappa:
    named = [
        (one.defect_class, other.defect_class)
        for one, other in pairs
        if one.defect_class is not None and other.defect_class is not None
    ]
    names = sorted({name for pair in named for name in pair})
    table = np.zeros((len(named), max(len(names), 1)), dtype=np.int64)
    for number, pair in enumerate(named):
        for name in pair:
            table[number, names.index(name)] += 1
    return fleiss_kappa(table)


def _share(trials: Sequence[_Each], event: Callable[[_Each], bool]) -> Rate:
    return Rate(num_events=sum(event(each) for each in trials), num_trials=len(trials))


def _says(choice: Choice, machine: DecisionKind) -> bool:
    """Whether a person now says what the model says; REVIEW, the model's doubt, leans to neither."""
    return {Choice.PASS: DecisionKind.PASS, Choice.REJECT: DecisionKind.REJECT}.get(choice) is machine


def _number(counts: Iterable[SettledCount], machine: DecisionKind, disposition: DecisionKind) -> int:
    return sum(
        count.num_inspections for count in counts if count.machine is machine and count.disposition is disposition
    )
