"""Every error as one shape, RFC 9457 problem details. The table of status codes is here and nowhere else."""

from __future__ import annotations

import json
import logging
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from waferlens import errors

_LOG = logging.getLogger(__name__)
_RETRY_SECONDS = 1

STATUS: dict[type[errors.WaferlensError], int] = {
    errors.NotAuthenticated: 401,
    errors.NotAllowed: 403,
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


def answer_with_problems(app: FastAPI) -> None:
    """Register the handlers."""
    app.add_exception_handler(errors.WaferlensError, _own)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _unforeseen)


def _own(_request: Request, error: Exception) -> Response:
    assert isinstance(error, errors.WaferlensError)
    return problem(status_of(error), error.what, str(error), error=type(error).__name__)


def _invalid(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    found = [{"where": list(map(str, each["loc"])), "what": each["msg"]} for each in error.errors()]
    return problem(422, "the request is not as documented", errors=found)


def _http(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    answer = problem(error.status_code, str(error.detail))
    answer.headers.update(error.headers or {})
    return answer


def _unforeseen(_request: Request, error: Exception) -> Response:
    _LOG.exception("unforeseen", exc_info=error)
    return problem(500, "an error that nobody foresaw", type(error).__name__)
