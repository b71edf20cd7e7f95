"""One look at the guardrails: the models that decide, held to their limits, rolled back when one is broken.

The record tells what was decided and what people overrode; who knows escapes (verdicts, blind audits) is given in
as ``Settled``. Without any the escape guardrail says that it has not enough data.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
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


@dataclass(frozen=True, kw_only=True)
class Check:
    """What one look found. role: champion or canary. rolled_back_to: the champion after it, if it acted."""

    version: str
    role: str
    guardrails: tuple[Guardrail, ...]
    comparison: CanaryComparison | None
    rolled_back_to: str | None = None

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
        settled: Settled,
    ) -> None:
        self._database, self._rollout, self._watcher = database, rollout, watcher
        self._options, self._settled = options, settled

    def check(self) -> list[Check]:
        """One look, and what is broken is rolled back. Raises DatabaseLost."""
        return [
            replace(each, rolled_back_to=self._act(each.role, each.version, in_words(broken)))
            if (broken := breached(each.guardrails))
            else each
            for each in self.look()
        ]

    def look(self) -> list[Check]:
        """The canary, and a champion that has a previous one; nothing is changed. Raises DatabaseLost."""
        roles = self._rollout.roles()
        if roles.champion is None:
            return []
        found = []
        canary = roles.challenger if roles.canary_share > 0 else None
        if canary is not None:
            found.append(self._look("canary", canary, roles.champion))
        if roles.previous is not None:
            found.append(self._look("champion", roles.champion, canary))
        return found

    def _look(self, role: str, model: StoredVersion, beside: StoredVersion | None) -> Check:
        """beside: the model that decides on other wafers over the same time; the champion's predecessor decided
        before it. A champion is not held to its canary's REJECT rate.
        """
        now_ms = clock_ms()
        since_ms = max(model.changed_ms, now_ms - round(self._options.days * DAY_MS))
        versions = [model.version, *([beside.version] if beside else [])]
        with self._database.reading() as connection:
            wafers = wafer_figures(
                connection, versions, since_ms=since_ms, until_ms=now_ms, slow_ms=self._options.slow_ms
            )
        mine = hours_of([wafer for wafer in wafers if wafer.model_version == model.version])
        others = hours_of([wafer for wafer in wafers if wafer.model_version != model.version])
        escapes, held_to = self._settled(model.version, since_ms), others if role == "canary" else None
        return Check(
            version=model.version,
            role=role,
            guardrails=tuple(check_guardrails(mine, escapes, held_to, self._options, beside=others)),
            comparison=compare_hours(others, mine) if role == "canary" else None,
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
