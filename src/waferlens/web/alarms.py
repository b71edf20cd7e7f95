"""Alarms of the watch: what drifts, what is new, what the station shows until somebody takes and clears it."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from pydantic import BaseModel

from waferlens.storage.alarms import AlarmKind, StoredAlarm
from waferlens.web.access import caller
from waferlens.web.context import service_of
from waferlens.web.shapes import Limit
from waferlens.wiring.alarms import acknowledge as take_alarm
from waferlens.wiring.alarms import clear as clear_alarm
from waferlens.wiring.alarms import listed

router = APIRouter(tags=["watch"])

Seq = Annotated[int, Path(ge=1, le=2**31 - 1, description="The alarm's number.")]


class AlarmAnswer(BaseModel):
    """An alarm. onset_ms: since when its cause is there; raised_ms: since when it is known; last_ms: seen last."""

    seq: int
    kind: AlarmKind
    title: str
    detail: dict[str, Any]
    onset_ms: int
    raised_ms: int
    last_ms: int
    acknowledged_ms: int | None
    acknowledged_by: str | None
    cleared_ms: int | None
    cleared_by: str | None


@router.get("/api/v1/alarms")
def alarms(
    request: Request,
    open_only: Annotated[bool, Query(alias="open", description="Only those that are not cleared.")] = True,
    limit: Limit = 50,
) -> list[AlarmAnswer]:
    """Alarms of the watch, newest first."""
    found = listed(service_of(request).record.database, only_open=open_only, limit=limit)
    return [_answer(alarm) for alarm in found]


@router.post("/api/v1/alarms/{seq}/acknowledge")
def acknowledge(request: Request, seq: Seq) -> AlarmAnswer:
    """Take an alarm: whoever is first stays. The audit log names them."""
    return _answer(take_alarm(service_of(request).record, seq, caller(request).name))


@router.post("/api/v1/alarms/{seq}/clear")
def clear(request: Request, seq: Seq) -> AlarmAnswer:
    """Its cause is gone. If it is seen again, that is a new alarm."""
    return _answer(clear_alarm(service_of(request).record, seq, caller(request).name))


def _answer(alarm: StoredAlarm) -> AlarmAnswer:
    return AlarmAnswer(**{name: value for name, value in vars(alarm).items() if name != "key"})
