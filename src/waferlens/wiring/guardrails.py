"""One look at the guardrails: the models that decide, held to their limits, rolled back when one is broken.

The record tells what was decided; who knows escapes and overrides (verdicts, blind audits) is given in as
``Settled``. Without them the escape guardrail says that it has not enough data.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from waferlens.errors import IllegalMove
from waferlens.inspection.ports import Watcher
from waferlens.lifecycle.canary import CanaryComparison, compare_hours, hours_of
from waferlens.lifecycle.guardrails import (
    Escapes,
    Guardrail,
    GuardrailOptions,
    breached,
    check_guardrails,
    in_words,
)
from waferlens.lifecycle.rollout import Because, Rollout
from waferlens.storage.database import Database
from waferlens.storage.model_figures import wafer_figures
from waferlens.storage.model_versions import StoredVersion
from waferlens.storage.stored import DAY_MS, clock_ms

Settled = Callable[[str, int], Escapes]
"""Model version and since when (ms) to the escapes that people found among what it decided."""

ACTOR = "guardrail"


def nothing_settled(_version: str, _since_ms: int) -> Escapes:
    """Where no verdict is known."""
    return Escapes(num_defective=0, num_passed=0)


@dataclass(frozen=True, kw_only=True)
class Check:
    """What one look found. role: champion or canary. rolled_back_to: the champion after it, if it acted."""

    version: str
    role: str
    guardrails: tuple[Guardrail, ...]
    comparison: CanaryComparison | None
    rolled_back_to: str | None

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "version": self.version,
            "role": self.role,
            "guardrails": [each.as_dict() for each in self.guardrails],
            "comparison": None if self.comparison is None else [each.as_dict() for each in self.comparison.rates],
            "rolled_back_to": self.rolled_back_to,
        }


class Guard:
    """Looks, and acts. Several processes may look at the same record: one of them acts."""

    def __init__(
        self,
        database: Database,
        rollout: Rollout,
        watcher: Watcher,
        options: GuardrailOptions,
        settled: Settled = nothing_settled,
    ) -> None:
        self._database, self._rollout, self._watcher = database, rollout, watcher
        self._options, self._settled = options, settled

    def check(self) -> list[Check]:
        """One look at the canary and at a champion that has a previous one. Raises DatabaseLost."""
        roles = self._rollout.roles()
        if roles.champion is None:
            return []
        found = []
        if roles.challenger is not None and roles.canary_share > 0:
            found.append(self._look("canary", roles.challenger, roles.champion.version))
        if roles.previous is not None:
            found.append(self._look("champion", roles.champion, None))
        return found

    def _look(self, role: str, model: StoredVersion, beside: str | None) -> Check:
        """beside: the model that decided over the same time; the champion's predecessor decided before it."""
        now_ms = clock_ms()
        since_ms = max(model.changed_ms, now_ms - round(self._options.days * DAY_MS))
        versions = [model.version, *([beside] if beside else [])]
        with self._database.reading() as connection:
            wafers = wafer_figures(
                connection, versions, since_ms=since_ms, until_ms=now_ms, slow_ms=self._options.slow_ms
            )
        mine = hours_of([wafer for wafer in wafers if wafer.model_version == model.version])
        others = hours_of([wafer for wafer in wafers if wafer.model_version == beside])
        guardrails = tuple(check_guardrails(mine, self._settled(model.version, since_ms), others, self._options))
        broken = breached(guardrails)
        return Check(
            version=model.version,
            role=role,
            guardrails=guardrails,
            comparison=compare_hours(others, mine) if beside else None,
            rolled_back_to=self._act(role, model.version, in_words(broken)) if broken else None,
        )

    def _act(self, role: str, version: str, reason: str) -> str | None:
        why = Because(actor=ACTOR, reason=reason)
        try:
            if role == "canary":
                self._rollout.abort(why)
            else:
                self._rollout.roll_back(why, refuse=True)
        except IllegalMove:  # another process on this record was quicker, or a person
            return None
        champion = self._rollout.roles().champion
        self._watcher.alarm("guardrail", f"{version} is rolled back: {reason}")
        return None if champion is None else champion.version
