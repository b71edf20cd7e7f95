"""Who may do what: one table of role by endpoint, one check that every request passes.

``ACCESS`` are the endpoints for machines: a key or a token in the header. ``PAGES`` are those of the station in a
browser: a session's cookie (``visits``). A route that is in neither table does not start (``check_table``).
Verified keys are remembered for a few seconds, so that an image does not cost a query; while the database is lost,
for as long as a shift.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Mapping

from fastapi import APIRouter, Request
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool

from waferlens.errors import DatabaseLost, NotAllowed, NotAuthenticated, SessionLocked
from waferlens.storage.accounts import LOGIN_SECONDS, Accounts, Identity, Role
from waferlens.web.visits import check_form, visit_of

_PUBLIC: frozenset[Role] | None = None
_ALL = frozenset(Role)
_POSTING = frozenset({Role.STATION, Role.ENGINEER, Role.ADMIN})
_SETTLING = frozenset({Role.INSPECTOR, Role.ENGINEER, Role.ADMIN})
_ENGINEERING = frozenset({Role.ENGINEER, Role.ADMIN})
_ADMIN = frozenset({Role.ADMIN})

ACCESS: Mapping[tuple[str, str], frozenset[Role] | None] = {
    ("POST", "/api/v1/inspect"): _POSTING,
    ("POST", "/api/v1/wafers/{wafer_id}/inspect"): _POSTING,
    ("GET", "/api/v1/inspections"): _ALL,
    ("GET", "/api/v1/inspections/{inspection_id}"): _ALL,
    ("GET", "/api/v1/inspections/{inspection_id}/heatmap.png"): _ALL,
    ("GET", "/api/v1/inspections/{inspection_id}/reconstruction.png"): _ALL,
    ("GET", "/api/v1/inspections/{inspection_id}/original"): _ALL,
    ("GET", "/api/v1/heatmaps/{name}"): _ALL,
    ("GET", "/api/v1/counts"): _ALL,
    ("GET", "/api/v1/wafers"): _ALL,
    ("GET", "/api/v1/wafers/{wafer_id}"): _ALL,
    ("POST", "/api/v1/wafers/{wafer_id}/disposition"): _SETTLING,
    ("GET", "/api/v1/products"): _ALL,
    ("GET", "/api/v1/alarms"): _ALL,
    ("POST", "/api/v1/alarms/{seq}/acknowledge"): _SETTLING,
    ("POST", "/api/v1/alarms/{seq}/clear"): _ENGINEERING,
    ("GET", "/api/v1/model"): _ALL,
    ("POST", "/api/v1/model"): _ENGINEERING,
    ("GET", "/api/v1/model/bands"): _ALL,
    ("PUT", "/api/v1/model/band"): _ENGINEERING,
    ("GET", "/api/v1/rollout"): _ALL,
    ("POST", "/api/v1/rollout/start"): _ENGINEERING,
    ("POST", "/api/v1/rollout/advance"): _ENGINEERING,
    ("POST", "/api/v1/rollout/abort"): _ENGINEERING,
    ("POST", "/api/v1/rollout/rollback"): _ENGINEERING,
    ("POST", "/api/v1/login"): _PUBLIC,
    ("GET", "/api/v1/keys"): _ADMIN,
    ("POST", "/api/v1/keys"): _ADMIN,
    ("DELETE", "/api/v1/keys/{key_id}"): _ADMIN,
    ("POST", "/api/v1/users"): _ADMIN,
    ("DELETE", "/api/v1/users/{user}"): _ADMIN,
    ("GET", "/api/v1/audit"): _ENGINEERING,
    ("GET", "/healthz"): _PUBLIC,
    ("GET", "/readyz"): _PUBLIC,
    ("GET", "/metrics"): _PUBLIC,
    ("GET", "/docs"): _PUBLIC,
    ("GET", "/docs/{file}"): _PUBLIC,
}
"""Method and path to the roles that may; None: anybody."""

PAGES: Mapping[tuple[str, str], frozenset[Role] | None] = {
    ("GET", "/"): _PUBLIC,
    ("GET", "/station/assets/{version}/{name}"): _PUBLIC,
    ("GET", "/station/sign-in"): _PUBLIC,
    ("POST", "/station/sign-in"): _PUBLIC,
    ("POST", "/station/theme"): _PUBLIC,
    ("POST", "/station/sign-out"): _SETTLING,
    ("GET", "/station/unlock"): _SETTLING,
    ("POST", "/station/unlock"): _SETTLING,
    ("POST", "/station/lock"): _SETTLING,
    ("POST", "/station/awake"): _SETTLING,
    ("GET", "/station"): _SETTLING,
    ("GET", "/station/line"): _SETTLING,
    ("POST", "/station/alarms/{seq}/acknowledge"): _SETTLING,
    ("POST", "/station/alarms/{seq}/clear"): _ENGINEERING,
    ("GET", "/station/model"): _ENGINEERING,
    ("POST", "/station/model"): _ENGINEERING,
    ("POST", "/station/model/band"): _ENGINEERING,
    ("GET", "/station/rollout"): _ENGINEERING,
    ("POST", "/station/rollout/start"): _ENGINEERING,
    ("POST", "/station/rollout/advance"): _ENGINEERING,
    ("POST", "/station/rollout/abort"): _ENGINEERING,
    ("POST", "/station/rollout/rollback"): _ENGINEERING,
    ("GET", "/station/audit"): _ENGINEERING,
    ("GET", "/station/people"): _ADMIN,
    ("POST", "/station/people"): _ADMIN,
    ("POST", "/station/people/disable"): _ADMIN,
    ("POST", "/station/keys"): _ADMIN,
    ("POST", "/station/keys/revoke"): _ADMIN,
    ("GET", "/station/wafers"): _SETTLING,
    ("GET", "/station/wafers/{wafer_id}"): _SETTLING,
    ("POST", "/station/wafers/{wafer_id}/disposition"): _SETTLING,
    ("GET", "/station/lots/{lot_id}"): _SETTLING,
    ("GET", "/station/inspections/{inspection_id}"): _SETTLING,
    ("GET", "/station/pictures/{inspection_id}/image.png"): _SETTLING,
    ("GET", "/station/pictures/{inspection_id}/expected.png"): _SETTLING,
    ("GET", "/station/pictures/{inspection_id}/deviation.png"): _SETTLING,
    ("GET", "/station/pictures/{inspection_id}/small.png"): _SETTLING,
    ("GET", "/station/review"): _SETTLING,
    ("GET", "/station/arbitration"): _SETTLING,
    ("POST", "/station/review/next"): _SETTLING,
    ("POST", "/station/review/undo"): _SETTLING,
    ("GET", "/station/review/items/{item_id}"): _SETTLING,
    ("POST", "/station/review/items/{item_id}/verdict"): _SETTLING,
    ("POST", "/station/review/items/{item_id}/keep"): _SETTLING,
    ("POST", "/station/review/items/{item_id}/release"): _SETTLING,
    ("GET", "/station/review/items/{item_id}/image.png"): _SETTLING,
    ("GET", "/station/review/items/{item_id}/expected.png"): _SETTLING,
    ("GET", "/station/review/items/{item_id}/deviation.png"): _SETTLING,
    ("GET", "/station/atlas"): _SETTLING,
    ("POST", "/station/atlas/label"): _SETTLING,
    ("POST", "/station/atlas/undo"): _SETTLING,
    ("GET", "/station/watch"): _SETTLING,
    ("GET", "/station/watch/alarms/{seq}"): _SETTLING,
    ("POST", "/station/watch/alarms/{seq}/name"): _ENGINEERING,
    ("GET", "/station/watch/drift"): _SETTLING,
    ("GET", "/station/watch/signatures"): _SETTLING,
    ("GET", "/station/watch/escapes"): _SETTLING,
    ("GET", "/station/watch/report"): _SETTLING,
    ("GET", "/station/figures"): _SETTLING,
    ("GET", "/station/figures/{person}"): _SETTLING,
    ("GET", "/station/classes"): _ENGINEERING,
    ("POST", "/station/classes/add"): _ENGINEERING,
    ("POST", "/station/classes/retire"): _ENGINEERING,
    ("POST", "/station/known/add"): _ENGINEERING,
    ("POST", "/station/known/retire"): _ENGINEERING,
}
"""The same for the pages of the station. A machine's account has no business there."""

_WHILE_LOCKED = {("GET", "/station/unlock"), ("POST", "/station/unlock"), ("POST", "/station/sign-out")}

_FRESH_SECONDS = 5.0
_MAX_REMEMBERED = 4096


class Gate:
    """Verifies tokens and remembers them for a moment."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts
        self._known: dict[bytes, tuple[Identity, float]] = {}

    async def identify(self, token: str) -> Identity:
        """Whose token this is. Raises NotAuthenticated; DatabaseLost for a token that was not seen before."""
        name, now = hashlib.sha256(token.encode()).digest(), time.monotonic()
        known = self._known.get(name)
        if known is not None and now - known[1] < _FRESH_SECONDS:
            return known[0]
        try:
            identity = await run_in_threadpool(self._accounts.identify, token)
        except DatabaseLost:
            if known is not None and now - known[1] < LOGIN_SECONDS:
                return known[0]
            raise
        except NotAuthenticated:
            self._known.pop(name, None)
            raise
        if len(self._known) >= _MAX_REMEMBERED:
            self._known.clear()
        self._known[name] = (identity, now)
        return identity

    def forget(self) -> None:
        """Ask again for every token: one was revoked."""
        self._known.clear()


async def check_access(request: Request) -> None:
    """The dependency of every route: puts the caller into ``request.state`` or raises."""
    endpoint = request.method, request.scope["route"].path
    if endpoint in PAGES:
        await _check_page(request, endpoint, PAGES[endpoint])
        return
    roles = ACCESS[endpoint]
    if roles is _PUBLIC:
        return
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    if kind.lower() != "bearer" or not token:
        raise NotAuthenticated("no key was sent", expected="Authorization: Bearer KEY")
    gate: Gate = request.app.state.gate
    identity = await gate.identify(token.strip())
    _require_role(identity, roles)
    request.state.identity = identity


async def _check_page(request: Request, endpoint: tuple[str, str], roles: frozenset[Role] | None) -> None:
    """A person in a browser. What changes something must also come from a page of the station itself."""
    if roles is not _PUBLIC:
        visit = await run_in_threadpool(visit_of, request)
        if visit.session.locked and endpoint not in _WHILE_LOCKED:
            raise SessionLocked("the session is locked", expected="the password again")
        _require_role(visit.session.identity, roles)
        request.state.visit, request.state.identity = visit, visit.session.identity
    if request.method == "POST":
        await check_form(request)


def _require_role(identity: Identity, roles: frozenset[Role] | None) -> None:
    if roles is not None and identity.role not in roles:
        raise NotAllowed(
            "this role may not do this", expected=" or ".join(sorted(map(str, roles))), found=str(identity.role)
        )


def caller(request: Request) -> Identity:
    """Who asks. Only behind a route that is not public."""
    identity: Identity = request.state.identity
    return identity


def check_table(routers: Iterable[APIRouter]) -> None:
    """Raises KeyError unless the tables have exactly the routes of these routers."""
    routes = {
        (method, route.path)
        for router in routers
        for route in router.routes
        if isinstance(route, APIRoute)
        for method in route.methods or ()
    }
    differing = routes ^ (set(ACCESS) | set(PAGES))
    if differing:
        raise KeyError(f"routes and the table of access differ: {sorted(differing)}")
