"""Accounts of people, keys of machines, and the log of what was changed."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Query, Request, Response

from waferlens.errors import AuditError, RequestError
from waferlens.storage.accounts import Role
from waferlens.web.access import Gate, caller
from waferlens.web.context import service_of
from waferlens.web.station.said import back_to
from waferlens.web.station.shell import shell_of

router = APIRouter(include_in_schema=False)

_PAGE = 50
_PEOPLE = (Role.INSPECTOR, Role.ENGINEER, Role.ADMIN)
Name = Annotated[str, Form(max_length=200)]


@router.get("/station/people")
def people(request: Request) -> Response:
    """Who may sign in, and which keys are good."""
    return _people(request)


@router.post("/station/people")
def create(
    request: Request, name: Name, role: Annotated[Role, Form()], password: Annotated[str, Form(max_length=1024)]
) -> Response:
    """A person's account."""
    service_of(request).record.accounts.create_user(name, role, password, caller(request).name)
    return back_to("/station/people", f"{name} may sign in as {role}.")


@router.post("/station/people/disable")
def disable(request: Request, name: Name) -> Response:
    """A person may sign in no longer and is signed out."""
    if name == caller(request).name:
        raise RequestError("nobody disables their own account", expected="another administrator")
    service_of(request).record.accounts.disable_user(name, caller(request).name)
    _forget(request)
    return back_to("/station/people", f"{name} may sign in no longer.")


@router.post("/station/keys")
def create_key(request: Request, name: Name, role: Annotated[Role, Form()]) -> Response:
    """A new key. The page shows it once; nobody can ask for it again."""
    key = service_of(request).record.accounts.create_key(name, role, caller(request).name)
    return _people(request, new_key=key)


@router.post("/station/keys/revoke")
def revoke_key(request: Request, key_id: Annotated[str, Form(max_length=16)]) -> Response:
    """A key is good no longer."""
    service_of(request).record.accounts.revoke_key(key_id, caller(request).name)
    _forget(request)
    return back_to("/station/people", f"The key {key_id} is good no longer.")


@router.get("/station/audit")
def audit(
    request: Request, before: Annotated[int | None, Query(ge=0, lt=2**31)] = None, verify: bool = False
) -> Response:
    """What people changed, newest first; on demand, whether all of it is as it was written."""
    log = service_of(request).record.audit
    verified, problem = None, None
    if verify:
        try:
            verified = log.verify()
        except AuditError as error:
            problem = str(error)
    entries = log.entries(limit=_PAGE, before_seq=before)
    older = entries[-1].seq if len(entries) == _PAGE else None
    return shell_of(request).page(
        request, "audit.html.j2", entries=entries, older=older, verified=verified, problem=problem
    )


def _people(request: Request, new_key: str | None = None) -> Response:
    accounts = service_of(request).record.accounts
    return shell_of(request).page(
        request,
        "people.html.j2",
        users=accounts.all_users(),
        keys=accounts.all_keys(),
        new_key=new_key,
        person_roles=_PEOPLE,
        roles=tuple(Role),
    )


def _forget(request: Request) -> None:
    gate: Gate = request.app.state.gate
    gate.forget()
