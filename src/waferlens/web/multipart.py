"""The images of a wafer from one multipart body: counted, sized and timed before they are believed."""

from __future__ import annotations

import asyncio

from fastapi import Request
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

from waferlens.errors import RequestError, RequestTooLarge, RequestTooSlow, RequestUnsupported
from waferlens.settings.service import ServiceSettings
from waferlens.web.shapes import MAX_POINT

_TIMES_AN_IMAGE = 10  # seconds for the body of a whole wafer, in those for one image


async def read_wafer_body(request: Request, settings: ServiceSettings) -> dict[int, bytes]:
    """The images by inspection point. Raises RequestTooLarge, RequestTooSlow, RequestUnsupported, RequestError."""
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise RequestUnsupported("the body is of another kind", expected="multipart/form-data")
    promised = request.headers.get("content-length", "")
    largest = settings.max_upload_bytes * 8
    if not promised.isdigit():
        raise RequestError("the body has no length", expected="Content-Length")
    if int(promised) > largest:
        raise RequestTooLarge("the wafer is too large", expected=f"at most {largest} bytes", found=promised)
    images: dict[int, bytes] = {}
    try:
        async with (
            asyncio.timeout(settings.upload_seconds * _TIMES_AN_IMAGE),
            request.form(max_files=settings.max_batch_images, max_fields=0) as form,
        ):
            for name, part in form.multi_items():
                images[_point(name, images)] = await _content(part, settings.max_upload_bytes)
    except TimeoutError as error:
        raise RequestTooSlow("the wafer did not arrive in time") from error
    except HTTPException as error:
        raise RequestError("the wafer's images cannot be read", found=str(error.detail)) from error
    if not images:
        raise RequestError("the wafer has no images", expected="a file for every point")
    return images


def _point(name: str, already: dict[int, bytes]) -> int:
    if not (name.isascii() and name.isdigit() and len(name) <= 6 and int(name) < MAX_POINT):
        raise RequestError("the name of a part is no inspection point", expected="a number", found=repr(name[:40]))
    if int(name) in already:
        raise RequestError("an inspection point came twice", found=name)
    return int(name)


async def _content(part: UploadFile | str, max_bytes: int) -> bytes:
    if isinstance(part, str):
        raise RequestError("a part is no file", expected="a file for every point")
    data = await part.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise RequestTooLarge("an image is too large", expected=f"at most {max_bytes} bytes")
    return data
