"""The rollout as metrics: its state, who has which role, how far the shadow is behind, what a canary decided."""

from __future__ import annotations

from collections.abc import Iterator

from waferlens.lifecycle.roles import Roles
from waferlens.lifecycle.rollout import Rollout
from waferlens.lifecycle.states import Slot, State
from waferlens.monitoring.record_metrics import Sample
from waferlens.storage.challenger_scores import num_to_score, still_to_score
from waferlens.storage.database import Database
from waferlens.storage.stored import clock_ms, received_ms_of
from waferlens.wiring.guardrails import Guard

_STATES = ("none", str(State.SHADOW), str(State.CANARY))


class RolloutFigures:
    """Reads the record when asked. A version is a label of at most three series."""

    def __init__(self, database: Database, rollout: Rollout, guard: Guard) -> None:
        self._database, self._rollout, self._guard = database, rollout, guard

    def samples(self) -> Iterator[Sample]:
        """Everything of one moment. Raises DatabaseLost."""
        roles = self._rollout.roles()
        now = "none" if roles.challenger is None else roles.challenger.state
        for state in _STATES:
            yield Sample("waferlens_rollout_state", float(state == now), (state,))
        for role in Slot:
            holder = getattr(roles, role)
            if holder is not None:
                yield Sample("waferlens_rollout_version_info", 1, (str(role), holder.version))
        yield Sample("waferlens_canary_share", roles.canary_share)
        yield from self._of_shadow(roles)
        yield from self._of_canary()

    def _of_shadow(self, roles: Roles) -> Iterator[Sample]:
        num, behind, now_ms = 0, 0.0, clock_ms()
        if roles.challenger is not None:
            version = roles.challenger.version
            since_ms, until_ms = roles.challenger.changed_ms, now_ms + 1
            with self._database.reading() as connection:
                num = num_to_score(connection, version, since_ms=since_ms, until_ms=until_ms)
                oldest = still_to_score(connection, version, since_ms=since_ms, until_ms=until_ms, limit=1)
            if oldest:
                behind = max(0.0, (now_ms - received_ms_of(oldest[0].inspection_id)) / 1000)
        yield Sample("waferlens_shadow_waiting", num)
        yield Sample("waferlens_shadow_lag_seconds", behind)

    def _of_canary(self) -> Iterator[Sample]:
        for check in self._guard.look():
            if check.comparison is None:
                continue
            for decision in ("REJECT", "REVIEW"):
                rate = check.comparison.of(decision)
                for role, count in (("champion", rate.champion), ("canary", rate.canary)):
                    yield Sample("waferlens_canary_wafers", count.num_trials, (role, "all"))
                    yield Sample("waferlens_canary_wafers", count.num_events, (role, decision))
