"""A small client for stations and scripts; the standard library alone. A retry is safe: it carries its key.

>>> from waferlens.web.client import Client                                        # doctest: +SKIP
>>> Client("http://127.0.0.1:8080", key).inspect(png, "WF-2024-001234", 42)        # doctest: +SKIP
"""

from __future__ import annotations

import http.client
import json
import time
import uuid
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urlencode, urlsplit

from waferlens.errors import RequestError

_AGAIN = (429, 503)


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What came back. content: parsed JSON, or the bytes of a file."""

    status: int
    content: Any
    headers: dict[str, str]


class Client:
    """One connection, kept open. Not shared between threads."""

    def __init__(self, url: str, key: str, *, timeout_seconds: float = 10.0) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise RequestError("the address cannot be read", expected="http://HOST:PORT", found=url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._connection = kind(parts.hostname, parts.port, timeout=timeout_seconds)
        self._key = key

    def inspect(
        self, image: bytes, wafer_id: str, inspection_point: int, *, patience_seconds: float = 30.0, **more: str
    ) -> dict[str, Any]:
        """The answer to one image; sent again, with the same key, until it is there or patience ends.

        more: product, lot_id. Raises RequestError when the service refuses it or does not answer in time.
        """
        query = urlencode({"wafer_id": wafer_id, "inspection_point": inspection_point} | more)
        headers = {"Content-Type": "application/octet-stream", "Idempotency-Key": uuid.uuid4().hex}
        ends = time.monotonic() + patience_seconds
        while True:
            found = "no connection"
            try:
                reply = self.ask("POST", f"/api/v1/inspect?{query}", image, headers)
            except (OSError, http.client.HTTPException) as error:
                found = repr(error)
            else:
                if reply.status == 200:
                    answer: dict[str, Any] = reply.content
                    return answer
                found = f"{reply.status} {reply.content}"
                if reply.status not in _AGAIN:
                    raise RequestError("the service refused the image", found=found)
            if time.monotonic() > ends:
                raise RequestError(
                    "the service gave no answer", expected=f"one in {patience_seconds:g} s", found=found
                )
            time.sleep(0.1)

    def get(self, path: str) -> Any:
        """What stands at a path: parsed JSON, or bytes. Raises RequestError unless the status is 200."""
        reply = self.ask("GET", path)
        if reply.status != 200:
            raise RequestError(f"{path} was refused", expected="200", found=f"{reply.status} {reply.content}")
        return reply.content

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> Reply:
        """One request. Raises OSError, HTTPException when the connection breaks; the next one opens it anew."""
        told = {"Authorization": f"Bearer {self._key}"} | (headers or {})
        try:
            self._connection.request(method, path, body, told)
            answer = self._connection.getresponse()
            data = answer.read()
        except (OSError, http.client.HTTPException):
            self._connection.close()
            raise
        kind = answer.getheader("Content-Type", "")
        content = json.loads(data) if "json" in kind and data else data
        return Reply(status=answer.status, content=content, headers={k.lower(): v for k, v in answer.getheaders()})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()
