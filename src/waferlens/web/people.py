"""Logins, keys, accounts, the audit log."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request

from waferlens.web.access import Gate, caller
from waferlens.web.context import service_of
from waferlens.web.shapes import AuditLine, KeyLine, LogIn, NewKey, NewUser, Token, WaferId

router = APIRouter(tags=["access"])


@router.post("/api/v1/login")
def log_in(request: Request, told: LogIn) -> Token:
    """A token for one shift."""
    token, identity = service_of(request).record.accounts.log_in(told.name, told.password)
    return Token(token=token, role=identity.role)


@router.get("/api/v1/keys")
def keys(request: Request) -> list[KeyLine]:
    """Every key, without its secret."""
    return [KeyLine(**vars(key)) for key in service_of(request).record.accounts.all_keys()]


@router.post("/api/v1/keys", status_code=201)
def create_key(request: Request, told: NewKey) -> Token:
    """A new key. It is shown once."""
    key = service_of(request).record.accounts.create_key(told.name, told.role, caller(request).name)
    return Token(token=key, role=told.role)


@router.delete("/api/v1/keys/{key_id}", status_code=204)
def revoke_key(request: Request, key_id: Annotated[str, Path(pattern=r"^[0-9a-f]{1,16}$")]) -> None:
    """A key is good no longer: here at once, in other processes within five seconds."""
    service_of(request).record.accounts.revoke_key(key_id, caller(request).name)
    _gate(request).forget()


@router.post("/api/v1/users", status_code=201)
def create_user(request: Request, told: NewUser) -> None:
    """A person's account."""
    service_of(request).record.accounts.create_user(told.name, told.role, told.password, caller(request).name)


@router.delete("/api/v1/users/{user}", status_code=204)
def disable_user(request: Request, user: WaferId) -> None:
    """A person may log in no longer, and is logged out."""
    service_of(request).record.accounts.disable_user(user, caller(request).name)
    _gate(request).forget()


@router.get("/api/v1/audit")
def audit(
    request: Request,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    before_seq: Annotated[int | None, Query(ge=0, lt=2**31)] = None,
) -> list[AuditLine]:
    """The newest entries of the audit log."""
    entries = service_of(request).record.audit.entries(limit=limit, before_seq=before_seq)
    return [
        AuditLine(**{name: value for name, value in vars(e).items() if name != "previous_hash"}) for e in entries
    ]


def _gate(request: Request) -> Gate:
    gate: Gate = request.app.state.gate
    return gate
