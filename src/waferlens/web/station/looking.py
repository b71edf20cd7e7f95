"""One inspection with the viewer, and the pictures that the viewer asks for."""

from __future__ import annotations

import math
from typing import Any

from fastapi import APIRouter, Request, Response

from waferlens.errors import NotAllowed, NotFound
from waferlens.images.formats import read_image
from waferlens.inspection.heatmap import STOPS, HeatScale
from waferlens.inspection.planes import deviation_plane, image_plane, small_plane
from waferlens.storage.inspections import find_inspection
from waferlens.storage.overview import earlier_at_point, points_of_wafers
from waferlens.storage.stored import StoredInspection
from waferlens.web.access import caller
from waferlens.web.context import service_of
from waferlens.web.shapes import InspectionId
from waferlens.web.station.line import layout_of
from waferlens.web.station.maps import decision_map
from waferlens.web.station.shell import shell_of
from waferlens.wiring.serve import Service

router = APIRouter(include_in_schema=False)

_NEVER_CHANGES = {"Cache-Control": "private, max-age=3600, immutable"}


@router.get("/station/inspections/{inspection_id}")
def inspection(request: Request, inspection_id: InspectionId) -> Response:
    """One inspection: its views, what the model says and how sure it is, where it lies on the wafer."""
    service = service_of(request)
    found = _open(request, inspection_id)
    with service.record.database.reading() as connection:
        points = points_of_wafers(connection, [found.wafer_id])[found.wafer_id]
        earlier = earlier_at_point(connection, found.wafer_id, found.inspection_point)
    numbers = [point.inspection_point for point in points]
    at = numbers.index(found.inspection_point)
    return shell_of(request).page(
        request,
        "inspection.html.j2",
        inspection=found,
        score=found.score if found.score_name == "score" else found.reconstruction_error,
        pictures=pictures_of(found),
        scale=scale_of(service, found),
        map=decision_map(
            points,
            layout_of(service, found.product),
            name=found.wafer_id,
            links=True,
            here=found.inspection_point,
        ),
        before=points[at - 1] if at > 0 else None,
        after=points[at + 1] if at + 1 < len(points) else None,
        earlier=earlier,
    )


@router.get("/station/pictures/{inspection_id}/image.png")
def image(request: Request, inspection_id: InspectionId) -> Response:
    """The image as it was inspected. ``X-Bits`` says how the numbers are to be read."""
    service = service_of(request)
    found = find(service, inspection_id)
    options = service.models.of_or_running(found.model_version).images
    plane, bits = image_plane(read_image(service.recorder.get_blob(found.original), options, name="original"))
    return Response(plane, media_type="image/png", headers=_NEVER_CHANGES | {"X-Bits": str(bits)})


@router.get("/station/pictures/{inspection_id}/small.png")
def small(request: Request, inspection_id: InspectionId) -> Response:
    """The image in grey at half its width: for strips of many."""
    service = service_of(request)
    found = find(service, inspection_id)
    options = service.models.of_or_running(found.model_version).images
    pixels = read_image(service.recorder.get_blob(found.original), options, name="original")
    return Response(small_plane(pixels), media_type="image/png", headers=_NEVER_CHANGES)


@router.get("/station/pictures/{inspection_id}/expected.png")
def expected(request: Request, inspection_id: InspectionId) -> Response:
    """What a normal wafer would look like here."""
    service = service_of(request)
    data = service.renderer.reconstruction_of(_open(request, inspection_id))
    return Response(data, media_type="image/png", headers=_NEVER_CHANGES)


@router.get("/station/pictures/{inspection_id}/deviation.png")
def deviation(request: Request, inspection_id: InspectionId) -> Response:
    """How far the two depart, as places on the model's colour scale."""
    service = service_of(request)
    plane = deviation_plane(service.renderer.heatmap_of(_open(request, inspection_id)))
    return Response(plane, media_type="image/png", headers=_NEVER_CHANGES)


def find(service: Service, inspection_id: str) -> StoredInspection:
    """The inspection. Raises NotFound, DatabaseLost."""
    with service.record.database.reading() as connection:
        found = find_inspection(connection, inspection_id)
    if found is None:
        raise NotFound("no such inspection", found=inspection_id)
    return found


def pictures_of(inspection: StoredInspection) -> dict[str, str | None]:
    """Addresses for the viewer."""
    here = f"/station/pictures/{inspection.id}"
    shown = inspection.score is not None
    return {
        "image": f"{here}/image.png",
        "expected": f"{here}/expected.png" if shown else None,
        "deviation": f"{here}/deviation.png" if shown else None,
    }


def scale_of(service: Service, inspection: StoredInspection) -> dict[str, Any]:
    """The colour scale of the model that inspected it; without numbers where that is loaded no more."""
    return scale_of_version(service, inspection.model_version)


def scale_of_version(service: Service, version: str) -> dict[str, Any]:
    """The colour scale of a model; without numbers where it is loaded no more."""
    scale = service.models.scale_of(version) or HeatScale(top=math.nan)
    told = {"top": scale.top, "review": scale.review, "reject": scale.reject}
    return {name: _finite(value) for name, value in told.items()} | {"stops": STOPS}


def _open(request: Request, inspection_id: str) -> StoredInspection:
    """The inspection. Raises NotFound; NotAllowed while this person has it as a blind look."""
    service = service_of(request)
    if service.review.queue.hides_from(caller(request), inspection_id):
        raise NotAllowed("you are judging this image blind", expected="your verdict first")
    return find(service, inspection_id)


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
