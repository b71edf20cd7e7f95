"""Log lines as JSON, one object a line, each with the id of the request that it belongs to.

The id is the caller's ``X-Request-Id`` where it sent a harmless one, else a new one; it goes back in the answer,
so that a station's log and the service's can be laid side by side.
"""

from __future__ import annotations

import json
import logging
import re
import secrets
import sys
import time
from contextvars import ContextVar

REQUEST_ID: ContextVar[str] = ContextVar("request_id", default="")
"""Of the request that this thread or task works for; empty outside of one."""

_HARMLESS = re.compile(r"[A-Za-z0-9._-]{1,64}")


def request_id_of(sent: str | None) -> str:
    """The caller's id if it is harmless, else a new one of 16 hex digits."""
    return sent if sent and _HARMLESS.fullmatch(sent) else secrets.token_hex(8)


class JsonLines(logging.Formatter):
    """time (UTC, with milliseconds), level, logger, message; request_id and error where there are any."""

    def format(self, record: logging.LogRecord) -> str:
        """One line of JSON."""
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        told = {
            "time": f"{moment}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if REQUEST_ID.get():
            told["request_id"] = REQUEST_ID.get()
        if record.exc_info:
            told["error"] = self.formatException(record.exc_info)
        return json.dumps(told, ensure_ascii=False)


def log_as_json(level: int = logging.INFO) -> None:
    """From now on everything that is logged goes to standard error as JSON."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
