"""The rollout: who is champion, challenger and previous; the buttons that change it."""

from __future__ import annotations

from fastapi import APIRouter, Request

from waferlens.engines.fleet import Fleet
from waferlens.lifecycle.rollout import Because
from waferlens.lifecycle.states import State
from waferlens.web.access import caller
from waferlens.web.context import service_of
from waferlens.web.rollout_shapes import (
    AdvanceRollout,
    MoveModel,
    RollBack,
    RolloutAnswer,
    RolloutMove,
    StartRollout,
)
from waferlens.wiring.serve import Service

router = APIRouter(tags=["model"])
_NUM_MOVES = 50


@router.get("/api/v1/rollout")
def rollout(request: Request) -> RolloutAnswer:
    """Champion, challenger and previous version, and the newest moves with who and why."""
    return _answer(service_of(request))


@router.post("/api/v1/rollout/start")
def start(request: Request, told: StartRollout) -> RolloutAnswer:
    """Let a registered version score every image beside the champion."""
    service = service_of(request)
    service.rollout.start(told.version, _because(request, told))
    return _answer(service)


@router.post("/api/v1/rollout/advance")
def advance(request: Request, told: AdvanceRollout) -> RolloutAnswer:
    """From shadow to canary, from canary to champion."""
    service, why = service_of(request), _because(request, told)
    challenger = service.rollout.roles().challenger
    if challenger is not None and challenger.state == State.CANARY:
        service.rollout.promote(why)
    else:
        service.rollout.canary(told.share, why)
    return _answer(service)


@router.post("/api/v1/rollout/abort")
def abort(request: Request, told: MoveModel) -> RolloutAnswer:
    """Refuse the challenger; the champion goes on alone."""
    service = service_of(request)
    service.rollout.abort(_because(request, told))
    return _answer(service)


@router.post("/api/v1/rollout/rollback")
def roll_back(request: Request, told: RollBack) -> RolloutAnswer:
    """The previous champion, or the one that is named, decides from now on; nothing under way is dropped."""
    service = service_of(request)
    service.rollout.roll_back(_because(request, told), told.to)
    return _answer(service)


def _because(request: Request, told: MoveModel) -> Because:
    return Because(actor=caller(request).name, reason=told.reason)


def _answer(service: Service) -> RolloutAnswer:
    """After this process has followed; the others on the record follow within a second."""
    service.follow_rollout()
    roles, pool = service.rollout.roles(), service.pool
    challenger = roles.challenger
    return RolloutAnswer(
        champion=None if roles.champion is None else roles.champion.version,
        challenger=None if challenger is None else challenger.version,
        challenger_state=None if challenger is None else challenger.state,
        previous=None if roles.previous is None else roles.previous.version,
        canary_share=roles.canary_share,
        serving=pool.model_version,
        warm=sorted(pool.warm_versions) if isinstance(pool, Fleet) else [pool.model_version],
        moves=[RolloutMove(**vars(move)) for move in service.rollout.history(limit=_NUM_MOVES)],
    )
