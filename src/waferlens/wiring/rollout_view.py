"""What a person looks at before they move a rollout: roles, comparison, guardrails, sample, history."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from waferlens.bundle.contents import load_thresholds
from waferlens.engines.fleet import Fleet
from waferlens.errors import BundleError
from waferlens.lifecycle.canary import CanaryComparison, CanaryOptions, compare_hours, hours_of
from waferlens.lifecycle.comparison import comparison_report
from waferlens.lifecycle.roles import Roles
from waferlens.lifecycle.states import State
from waferlens.review.what_if import Band
from waferlens.settings.service import bundles_folder
from waferlens.storage.challenger_scores import Compared, compared, num_to_score
from waferlens.storage.model_figures import wafer_figures
from waferlens.storage.model_versions import StoredMove, StoredVersion
from waferlens.storage.stored import DAY_MS, clock_ms
from waferlens.wiring.guardrails import Check
from waferlens.wiring.serve import Service
from waferlens.wiring.settled import defective_between

DAYS = 7.0
MOST = 50_000
"""Images that a comparison on a page is made of: the newest."""
_NUM_MOVES = 50


@dataclass(frozen=True, kw_only=True)
class SideBySide:
    """A version on images that another model decided, as ``comparison_report`` tells it.

    scores, other_scores: (n,) of those models and of the version. band, other_band: None where it is not known.
    """

    version: str
    report: dict[str, Any]
    scores: npt.NDArray[np.float64]
    other_scores: npt.NDArray[np.float64]
    band: Band | None
    other_band: Band | None


@dataclass(frozen=True, kw_only=True)
class Sample:
    """The canary's trials of one rate: how many there are, how many it takes, and days until then.

    needed: None where the champion's rate is zero, or nothing was counted. days: None where nothing comes in.
    """

    name: str
    num_trials: int
    needed: int | None
    days: float | None

    @property
    def missing(self) -> int | None:
        """Trials still to come."""
        return None if self.needed is None else max(0, self.needed - self.num_trials)


@dataclass(frozen=True, kw_only=True)
class RolloutView:
    """All of it at one moment. versions: newest first. num_waiting: images that the shadow has still to score.

    rates: of a canary; before there is one, the champion's alone, for the sample that they ask for.
    """

    roles: Roles
    versions: Sequence[StoredVersion]
    moves: Sequence[StoredMove]
    serving: str
    warm: tuple[str, ...]
    follows: bool
    checks: Sequence[Check]
    rates: CanaryComparison | None
    samples: Sequence[Sample]
    share: float
    ratio: float
    num_waiting: int
    side_by_side: SideBySide | None

    @property
    def to_start(self) -> list[str]:
        """Versions that may be tried next."""
        return [each.version for each in self.versions if each.state in (State.REGISTERED, State.REFUSED)]

    @property
    def to_return_to(self) -> list[str]:
        """Versions that a rollback may go to, the usual one first."""
        former = [each.version for each in self.versions if each.state == State.PREVIOUS]
        usual = self.roles.previous.version if self.roles.previous else None
        return sorted(former, key=lambda each: each != usual)


def look_at_rollout(service: Service, version: str | None = None) -> RolloutView:
    """The rollout of a running service. version: to compare; None: the challenger.

    Raises NotFound for a version that is not registered, DatabaseLost.
    """
    rollout, pool = service.rollout, service.pool
    if version is not None:
        rollout.find(version)
    roles, now_ms = rollout.roles(), clock_ms()
    checks, options = service.guard.look(), CanaryOptions()
    options = options.model_copy(update={"share": roles.canary_share or options.share})
    rates = next((check.comparison for check in checks if check.comparison is not None), None)
    since_ms = now_ms - round(DAYS * DAY_MS)
    if roles.canary_share and roles.challenger is not None:
        since_ms = roles.challenger.changed_ms
    if rates is None and roles.champion is not None:
        rates = _planned(service, roles.champion.version, since_ms, now_ms, options)
    challenger = None if roles.challenger is None else roles.challenger.version
    chosen = version or challenger
    return RolloutView(
        roles=roles,
        versions=rollout.versions()[::-1],
        moves=rollout.history(limit=_NUM_MOVES),
        serving=pool.model_version,
        warm=pool.warm_versions if isinstance(pool, Fleet) else (pool.model_version,),
        follows=service.following is not None,
        checks=checks,
        rates=rates,
        samples=[] if rates is None else list(_samples(rates, options, (now_ms - since_ms) / DAY_MS)),
        share=options.share,
        ratio=options.ratio,
        num_waiting=_num_waiting(service, roles, now_ms),
        side_by_side=None if chosen is None else _side_by_side(service, chosen, now_ms),
    )


def _planned(
    service: Service, champion: str, since_ms: int, until_ms: int, options: CanaryOptions
) -> CanaryComparison:
    """The champion's rates alone, with the sample that a canary would need."""
    slow_ms = service.settings.guardrails.slow_ms
    with service.record.database.reading() as connection:
        wafers = wafer_figures(connection, [champion], since_ms=since_ms, until_ms=until_ms, slow_ms=slow_ms)
    return compare_hours(hours_of(wafers), [], options)


def _samples(rates: CanaryComparison, options: CanaryOptions, days: float) -> Sequence[Sample]:
    """What is there and what it takes. days: that the trials came in; a canary that is planned gets its share."""
    found = []
    for rate in rates.rates:
        planned = rate.canary.num_trials == 0
        num = rate.champion.num_trials * options.share if planned else rate.canary.num_trials
        missing = None if rate.needed is None else max(0, rate.needed - rate.canary.num_trials)
        a_day = num / days if days > 0 else 0.0
        found.append(
            Sample(
                name=rate.name,
                num_trials=rate.canary.num_trials,
                needed=rate.needed,
                days=None if missing is None or a_day == 0 else missing / a_day,
            )
        )
    return found


def _num_waiting(service: Service, roles: Roles, now_ms: int) -> int:
    if roles.challenger is None:
        return 0
    with service.record.database.reading() as connection:
        return num_to_score(
            connection, roles.challenger.version, since_ms=roles.challenger.changed_ms, until_ms=now_ms + 1
        )


def _side_by_side(service: Service, version: str, now_ms: int) -> SideBySide | None:
    """None where the version has scored nothing that another model decided."""
    since_ms, until_ms = now_ms - round(DAYS * DAY_MS), now_ms + 1
    with service.record.database.reading() as connection:
        images = compared(connection, version, since_ms=since_ms, until_ms=until_ms, limit=MOST)
        defective = defective_between(connection, since_ms=since_ms, until_ms=until_ms)
    if not images:
        return None
    return SideBySide(
        version=version,
        report=comparison_report(images, defective),
        scores=_floats(images, "score"),
        other_scores=_floats(images, "challenger_score"),
        band=_band(service, images[-1].model_version),
        other_band=_band(service, version),
    )


def _floats(images: Sequence[Compared], name: str) -> npt.NDArray[np.float64]:
    both = [each for each in images if each.failure is None]
    values = [getattr(each, name) for each in both]
    return np.asarray([math.nan if value is None else value for value in values], dtype=np.float64)


def _band(service: Service, version: str) -> Band | None:
    """Where REVIEW and REJECT begin for a version; None where its bundle rests in the archive."""
    if service.models.knows(version):
        told = service.models.thresholds_of(version)
    else:
        try:
            told = load_thresholds(bundles_folder(service.record.home) / version)
        except BundleError:
            return None
    return Band(review=told.review, reject=told.reject)
