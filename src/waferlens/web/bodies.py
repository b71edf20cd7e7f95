"""Reads what is posted, never more than is allowed, never longer than is allowed."""

from __future__ import annotations

import asyncio

from fastapi import Request

from waferlens.errors import RequestError, RequestTooLarge, RequestTooSlow, RequestUnsupported

_ACCEPTED = ("application/octet-stream", "image/")


async def read_image_body(request: Request, *, max_bytes: int, seconds: float) -> bytes:
    """The raw bytes of one image. Raises RequestTooLarge, RequestTooSlow, RequestUnsupported, RequestError."""
    kind = request.headers.get("content-type", "application/octet-stream").lower()
    if not kind.startswith(_ACCEPTED):
        raise RequestUnsupported(
            "the body is of another kind", expected="application/octet-stream", found=kind[:80]
        )
    promised = request.headers.get("content-length", "")
    if promised.isdigit() and int(promised) > max_bytes:
        raise RequestTooLarge("the image is too large", expected=f"at most {max_bytes} bytes", found=promised)
    pieces, size = [], 0
    try:
        async with asyncio.timeout(seconds):
            async for piece in request.stream():
                size += len(piece)
                if size > max_bytes:
                    raise RequestTooLarge("the image is too large", expected=f"at most {max_bytes} bytes")
                pieces.append(piece)
    except TimeoutError as error:
        raise RequestTooSlow("the image did not arrive in time", expected=f"{seconds:g} s") from error
    if size == 0:
        raise RequestError("the body is empty", expected="the bytes of a PNG or TIFF file")
    return b"".join(pieces)
