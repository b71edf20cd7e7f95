"""Every error as one shape, RFC 9457 problem details. The table of status codes is here and nowhere else."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from waferlens import errors

_LOG = logging.getLogger(__name__)
_RETRY_SECONDS = 1

Draw = Callable[[Request, Exception, int, str, str | None], Response | None]

STATUS: dict[type[errors.WaferlensError], int] = {
    errors.NotAuthenticated: 401,
    errors.NotAllowed: 403,
    errors.TooManyAttempts: 429,
    errors.NotFound: 404,
    errors.BlobMissing: 404,
    errors.RequestTooSlow: 408,
    errors.Conflict: 409,
    errors.IllegalMove: 409,
    errors.RequestTooLarge: 413,
    errors.RequestUnsupported: 415,
    errors.ImageError: 422,
    errors.OptionsError: 422,
    errors.RequestError: 422,
    errors.BundleError: 422,
    errors.GateRefused: 422,
    errors.Overloaded: 503,
    errors.DeadlineMissed: 503,
    errors.EngineError: 503,
    errors.StorageError: 503,
    errors.RegistryError: 503,
    errors.WaferlensError: 500,
}
"""The status of an error is that of its nearest class in this table."""


def problem(status: int, title: str, detail: str | None = None, **more: Any) -> Response:
    """A problem-details answer; 503 says when to come again, 401 what to bring."""
    content = {"type": "about:blank", "title": title, "status": status}
    content |= {} if detail is None else {"detail": detail}
    headers = {}
    if status == 503:
        headers["Retry-After"] = str(_RETRY_SECONDS)
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return Response(
        json.dumps(content | more), status_code=status, media_type="application/problem+json", headers=headers
    )


def status_of(error: errors.WaferlensError) -> int:
    """The HTTP status of an error."""
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


def answer_with_problems(app: FastAPI, draw: Draw) -> None:
    """Register the handlers. draw: makes a page of a problem where a person asked, None elsewhere."""

    def answer(
        request: Request, raised: Exception, status: int, title: str, detail: str | None = None, **more: Any
    ) -> Response:
        return draw(request, raised, status, title, detail) or problem(status, title, detail, **more)

    def own(request: Request, error: Exception) -> Response:
        assert isinstance(error, errors.WaferlensError)
        return answer(request, error, status_of(error), error.what, str(error), error=type(error).__name__)

    def invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        found = [{"where": list(map(str, each["loc"])), "what": each["msg"]} for each in error.errors()]
        detail = "; ".join(f"{each['where'][-1]}: {each['what']}" for each in found) if found else None
        drawn = draw(request, error, 422, "the form is not as expected", detail)
        return drawn or problem(422, "the request is not as documented", errors=found)

    def http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        answered = answer(request, error, error.status_code, str(error.detail))
        answered.headers.update(error.headers or {})
        return answered

    def unforeseen(request: Request, error: Exception) -> Response:
        _LOG.exception("unforeseen", exc_info=error)
        return answer(request, error, 500, "an error that nobody foresaw", type(error).__name__)

    app.add_exception_handler(errors.WaferlensError, own)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(Exception, unforeseen)
