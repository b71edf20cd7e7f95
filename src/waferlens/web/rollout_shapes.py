"""What goes into and comes out of the rollout's endpoints, as the OpenAPI page shows it."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field

from waferlens.web.shapes import Words

VersionName = Annotated[str, Field(pattern=r"^vae-wafer-v\d{1,4}\.\d{1,3}\.\d{1,3}$")]


class MoveModel(BaseModel, extra="forbid"):
    """Why a model is moved."""

    reason: Words


class StartRollout(MoveModel):
    """A registered version to try."""

    version: VersionName


class AdvanceRollout(MoveModel):
    """share: of wafers, when the challenger becomes a canary."""

    share: float = Field(0.1, gt=0, le=0.5, allow_inf_nan=False)


class RollBack(MoveModel):
    """to: a version that was champion before; null: the previous one."""

    to: VersionName | None = None


class RolloutMove(BaseModel):
    """One step of a version."""

    version: str
    from_state: str | None
    to_state: str
    at_ms: int
    actor: str
    reason: str


class RolloutAnswer(BaseModel):
    """Who decides, who is tried, where a rollback goes. serving: what this process answers with now."""

    champion: str | None
    challenger: str | None
    challenger_state: str | None
    previous: str | None
    canary_share: float
    serving: str
    warm: list[str]
    moves: list[RolloutMove]
