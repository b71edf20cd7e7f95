"""``POST /api/v1/inspect`` and the same for a whole wafer."""

from __future__ import annotations

import asyncio
import contextvars
import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Header, Query, Request, Response

from waferlens.errors import RequestError
from waferlens.inspection.service import Answered, InspectionRequest
from waferlens.web.access import caller
from waferlens.web.answers import answer_of
from waferlens.web.bodies import read_image_body
from waferlens.web.context import service_of
from waferlens.web.multipart import read_wafer_body
from waferlens.web.shapes import KEY_PATTERN, MAX_POINT, NAME_PATTERN, InspectionAnswer, WaferAnswer, WaferId
from waferlens.web.wafers import wafer_answer

router = APIRouter(tags=["inspect"])

Answer = TypeVar("Answer")
_NameQuery = Query(pattern=NAME_PATTERN)
WaferQuery = Annotated[str | None, Query(pattern=NAME_PATTERN, examples=["WF-2024-001234"])]
WaferHeader = Annotated[str | None, Header(alias="X-Wafer-Id", pattern=NAME_PATTERN)]
PointQuery = Annotated[int | None, Query(ge=0, lt=MAX_POINT, examples=[42])]
PointHeader = Annotated[int | None, Header(alias="X-Inspection-Point", ge=0, lt=MAX_POINT)]
IdempotencyKey = Annotated[
    str | None,
    Header(alias="Idempotency-Key", pattern=KEY_PATTERN, description="Makes a retry of the same request safe."),
]
_RAW_IMAGE = {
    "requestBody": {
        "required": True,
        "description": "The bytes of one PNG or TIFF file, grey, 256x256 or as the recipe says.",
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}
_WAFER_IMAGES = {
    "requestBody": {
        "required": True,
        "description": "One file a point; the name of each part is the number of its inspection point.",
        "content": {
            "multipart/form-data": {
                "schema": {"type": "object", "additionalProperties": {"type": "string", "format": "binary"}}
            }
        },
    }
}


@router.post("/api/v1/inspect", response_model=InspectionAnswer, openapi_extra=_RAW_IMAGE)
async def inspect(
    request: Request,
    wafer_id: WaferQuery = None,
    inspection_point: PointQuery = None,
    product: Annotated[str | None, _NameQuery] = None,
    lot_id: Annotated[str | None, _NameQuery] = None,
    x_wafer_id: WaferHeader = None,
    x_inspection_point: PointHeader = None,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Evaluate one image: PASS, REVIEW or REJECT, answered when the record is durable.

    Wafer and point travel in the query or in ``X-Wafer-Id`` and ``X-Inspection-Point``. What cannot be decided is
    REVIEW with its reason. 503 means: not inspected, send it again (with the same ``Idempotency-Key``).
    """
    service, arrived = service_of(request), time.monotonic()
    wafer, point = wafer_id or x_wafer_id, inspection_point if inspection_point is not None else x_inspection_point
    if wafer is None or point is None:
        raise RequestError("the image has no place", expected="wafer_id and inspection_point")
    settings = service.settings
    data = await read_image_body(request, max_bytes=settings.max_upload_bytes, seconds=settings.upload_seconds)
    asked = InspectionRequest(
        data=data,
        wafer_id=wafer,
        inspection_point=point,
        station=caller(request).name,
        product=product,
        lot_id=lot_id,
        idempotency_key=idempotency_key,
        arrived=arrived,
        transfer_ms=1e3 * (time.monotonic() - arrived),
    )
    answered = await _in_thread(request, service.inspections.inspect, asked)
    started = time.perf_counter()
    body = json.dumps(answer_of(answered.inspection)).encode()
    service.metrics.stage("serialise", time.perf_counter() - started)
    return Response(body, media_type="application/json", headers=_headers(answered))


@router.post("/api/v1/wafers/{wafer_id}/inspect", response_model=WaferAnswer, openapi_extra=_WAFER_IMAGES)
async def inspect_wafer(
    request: Request,
    wafer_id: WaferId,
    product: Annotated[str | None, _NameQuery] = None,
    lot_id: Annotated[str | None, _NameQuery] = None,
    idempotency_key: IdempotencyKey = None,
) -> WaferAnswer:
    """Evaluate the images of a wafer; the answer is the wafer as it stands then.

    An image that finds no room waits for it. When one cannot be recorded the whole is 503, to be sent again.
    """
    service = service_of(request)
    images = await read_wafer_body(request, service.settings)

    def ask(point: int) -> Answered:
        key = None if idempotency_key is None else f"{idempotency_key}:{point}"
        return service.inspections.inspect(
            InspectionRequest(
                data=images[point],
                wafer_id=wafer_id,
                inspection_point=point,
                station=caller(request).name,
                product=product,
                lot_id=lot_id,
                idempotency_key=key,
                arrived=time.monotonic(),
            )
        )

    def ask_all() -> None:
        points = sorted(images)
        contexts = [contextvars.copy_context() for _ in points]
        with ThreadPoolExecutor(max_workers=4) as pool:
            for answered in pool.map(lambda context, point: context.run(ask, point), contexts, points):
                assert answered.inspection.wafer_id == wafer_id

    await _in_thread(request, ask_all)
    return await _in_thread(request, wafer_answer, service, wafer_id)


async def _in_thread(request: Request, function: Callable[..., Answer], *arguments: Any) -> Answer:
    executor: ThreadPoolExecutor = request.app.state.executor
    # The context goes along, so that what the thread logs has the request's id.
    context = contextvars.copy_context()
    return await asyncio.get_running_loop().run_in_executor(executor, partial(context.run, function, *arguments))


def _headers(answered: Answered) -> dict[str, str]:
    stages = ", ".join(f"{name};dur={value:.2f}" for name, value in answered.inspection.timings.items())
    told = {"Server-Timing": stages, "Waferlens-Record": answered.place, "Cache-Control": "no-store"}
    return told | ({"Idempotency-Replayed": "true"} if answered.replayed else {})
