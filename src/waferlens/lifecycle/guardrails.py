"""Limits that nobody argues with: beyond one, the model is rolled back at the next check, by itself.

Each guardrail is a rate with a limit, judged by sequential evidence, so that checking every few seconds does not
wear the error out. There are three answers and no fourth: breached (the rate is shown to be above its limit),
fine (shown to be below), and not enough data, which is never taken for fine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Self

import numpy as np
from pydantic import BaseModel, Field

from waferlens.lifecycle.canary import Hour, compare_hours
from waferlens.lifecycle.proportions import Count
from waferlens.lifecycle.sequential import Block, one_rate_p_value, two_rates_p_value
from waferlens.records import Estimate


class Health(StrEnum):
    """What a guardrail knows."""

    FINE = "fine"
    NOT_ENOUGH_DATA = "not enough data"
    BREACHED = "breached"


class GuardrailOptions(BaseModel, frozen=True, extra="forbid"):
    """Limits of a model that decides. Rates are fractions of inspections unless they say otherwise."""

    max_escape_rate: float = Field(0.01, gt=0, lt=1, description="of defective images, by audits and verdicts")
    max_failed_rate: float = Field(0.005, gt=0, lt=1, description="REVIEW because something went wrong")
    max_slow_rate: float = Field(0.01, gt=0, lt=1, description="slower than slow_ms: 0.01 is the 99th percentile")
    slow_ms: float = Field(40.0, gt=0, description="of inference")
    escape_p_value: float = Field(
        0.05, gt=0, lt=0.5, description="a needless rollback costs little, an escape much"
    )
    p_value: float = Field(0.01, gt=0, lt=0.5)
    check_seconds: float = Field(10.0, gt=0, description="between two checks")
    days: float = Field(14.0, gt=0, description="back that a model is judged on")
    max_reject_ratio: float = Field(1.0, ge=1, description="times the REJECT rate of the model it is held to")


@dataclass(frozen=True, kw_only=True)
class Escapes:
    """A sample of the defective images that a model saw: how many, and how many of them it had passed."""

    num_defective: int
    num_passed: int

    @classmethod
    def from_audits(cls, *, num_pass: int, num_audited: int, num_escaped: int, num_found: int) -> Self:
        """From blind audits of PASS, and from verdicts on what did not pass.

        num_audited of num_pass images that passed were audited, and num_escaped of them were defective; people
        found num_found defective images among those that did not pass. Only a share of the escapes is seen, so of
        what was found the same share counts: each defective image is in the sample with one chance, whether it
        escaped or not. Giving every escape the weight of its audit instead would make one image look like dozens.
        """
        share = num_audited / num_pass if num_pass else 0.0
        return cls(num_defective=num_escaped + round(share * num_found), num_passed=num_escaped)


@dataclass(frozen=True, kw_only=True)
class Guardrail:
    """One limit and what is known. rate: with its 95 % interval. p_value: of "it is within its limit".

    beside: of the model that decided beside it over the same time, where the two were compared.
    """

    name: str
    health: Health
    count: Count
    limit: float
    rate: Estimate | None
    p_value: float
    beside: Count | None = None

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "name": self.name,
            "health": str(self.health),
            **vars(self.count),
            "limit": self.limit,
            "rate": None if self.rate is None else self.rate.as_dict(),
            "p_value": self.p_value,
            "beside": None if self.beside is None else vars(self.beside),
        }


def check_guardrails(
    hours: Sequence[Hour],
    escapes: Escapes,
    held_to: Sequence[Hour] | None,
    options: GuardrailOptions | None = None,
    *,
    beside: Sequence[Hour] = (),
) -> list[Guardrail]:
    """Every guardrail of one model.

    held_to: the other model over the same time, for the REJECT rate; None: there is no such model. beside: the
    same for latency: where both are slow, the machine is.
    """
    told = options or GuardrailOptions()
    num = sum(hour.num_inspections for hour in hours)
    found = [
        _limited(
            "escape rate",
            Count(num_events=escapes.num_passed, num_trials=escapes.num_defective),
            told.max_escape_rate,
            told.escape_p_value,
        ),
        _limited(
            "failures",
            Count(num_events=sum(h.num_failed for h in hours), num_trials=num),
            told.max_failed_rate,
            told.p_value,
        ),
        _latency(hours, beside, told),
    ]
    if held_to is not None:
        found.append(_reject_rate(hours, held_to, told))
    return found


def breached(guardrails: Sequence[Guardrail]) -> list[Guardrail]:
    """Those whose limit is broken."""
    return [each for each in guardrails if each.health is Health.BREACHED]


def in_words(guardrails: Sequence[Guardrail]) -> str:
    """Why a model was rolled back."""
    return "; ".join(
        f"{each.name} {each.count.num_events} of {each.count.num_trials}, limit {each.limit:.3g} "
        f"(p = {each.p_value:.2g})"
        for each in guardrails
    )


def _limited(name: str, count: Count, limit: float, p_value: float) -> Guardrail:
    above, below = (one_rate_p_value(count, limit, above=side) for side in (True, False))
    health = Health.NOT_ENOUGH_DATA
    if above < p_value:
        health = Health.BREACHED
    elif below < p_value:
        health = Health.FINE
    return Guardrail(name=name, health=health, count=count, limit=limit, rate=count.estimate, p_value=above)


def _latency(hours: Sequence[Hour], beside: Sequence[Hour], options: GuardrailOptions) -> Guardrail:
    """Breached when too many are shown to be slow and, where another model decided in the same hours, more of them
    than of the other's. A machine that is slow for both is no reason to roll a model back.
    """
    found = _limited("latency", _slow(hours), options.max_slow_rate, options.p_value)
    if not beside:
        return found
    other = _slow(beside)
    if found.health is Health.BREACHED and not _is_slower(hours, beside, options.p_value):
        return replace(found, health=Health.NOT_ENOUGH_DATA, beside=other)
    return replace(found, beside=other)


def _is_slower(hours: Sequence[Hour], beside: Sequence[Hour], p_value: float) -> bool:
    both = [{hour.hour_ms: _slow([hour]) for hour in each} for each in (beside, hours)]
    none = Count(num_events=0, num_trials=0)
    blocks = [
        Block(champion=both[0].get(hour, none), canary=both[1].get(hour, none))
        for hour in sorted({*both[0], *both[1]})
    ]
    return two_rates_p_value(blocks) < p_value and _slow(hours).rate > _slow(beside).rate


def _slow(hours: Sequence[Hour]) -> Count:
    return Count(
        num_events=sum(hour.num_slow for hour in hours), num_trials=sum(hour.num_inspections for hour in hours)
    )


def _reject_rate(hours: Sequence[Hour], held_to: Sequence[Hour], options: GuardrailOptions) -> Guardrail:
    """Breached when the REJECT rate is shown to differ and is the higher one: scrap that the other would not
    make.
    """
    compared = compare_hours(held_to, hours).of("REJECT")
    limit = compared.champion.rate * options.max_reject_ratio
    is_higher = compared.canary.rate > limit
    health = Health.NOT_ENOUGH_DATA
    if compared.sequential_p_value < options.p_value and is_higher:
        health = Health.BREACHED
    elif compared.needed is not None and compared.canary.num_trials >= compared.needed:
        health = Health.FINE
    return Guardrail(
        name="REJECT rate",
        health=health,
        count=compared.canary,
        limit=float(np.nan_to_num(limit)),
        rate=compared.canary.estimate,
        p_value=compared.sequential_p_value,
    )
