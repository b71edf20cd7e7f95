"""What the watch found, for people: alarms with their images, drift, signatures, escapes, the daily report.

The pages show what the last runs of ``waferlens monitor`` noted and compute nothing of the record themselves: a
page that read a month of inspections would take the line's time.
"""

from __future__ import annotations

import secrets
from collections import Counter
from typing import Annotated, Any

from fastapi import APIRouter, Form, Request, Response

from waferlens.errors import Conflict
from waferlens.inspection.places import MapOptions
from waferlens.review.labelling import MOST_AT_ONCE
from waferlens.review.saying import Saying
from waferlens.storage.alarms import AlarmKind, StoredAlarm, alarms_of, find_alarm, last_runs
from waferlens.storage.inspections import find_inspection
from waferlens.storage.review_stored import Choice
from waferlens.storage.stored import StoredInspection
from waferlens.web.access import caller
from waferlens.web.alarms import Seq
from waferlens.web.context import service_of
from waferlens.web.shapes import InspectionId
from waferlens.web.station.line import layout_of
from waferlens.web.station.maps import marked_map
from waferlens.web.station.said import back_to
from waferlens.web.station.shell import may_open, shell_of
from waferlens.web.station.watch_plots import drift_plots
from waferlens.wiring.alarms import acknowledge, listed
from waferlens.wiring.serve import Service

router = APIRouter(include_in_schema=False)

_MOST_PAST, _MOST_EXAMPLES = 100, 60
PARTS = (
    ("/station/watch", "Alarms"),
    ("/station/watch/drift", "Drift"),
    ("/station/watch/signatures", "Signatures"),
    ("/station/watch/escapes", "Escapes"),
    ("/station/watch/report", "Daily report"),
)


@router.get("/station/watch")
def watch(request: Request) -> Response:
    """Alarms, open and past, and when each part of the watch ran last."""
    database = service_of(request).record.database
    alarms = listed(database, only_open=False, limit=_MOST_PAST)
    with database.reading() as connection:
        still = alarms_of(connection, only_open=True, limit=_MOST_PAST)
        runs = last_runs(connection)
    return _page(
        request,
        "watch.html.j2",
        alarms=still,
        past=[alarm for alarm in alarms if alarm.cleared_ms is not None],
        runs=sorted((part, ran_ms) for part, (ran_ms, _) in runs.items()),
        may_clear=may_open(request, "POST", "/station/alarms/{seq}/clear"),
    )


@router.get("/station/watch/alarms/{seq}")
def alarm(request: Request, seq: Seq) -> Response:
    """One alarm: what, since when, its images and where they lie, what a person can do about it."""
    service = service_of(request)
    with service.record.database.reading() as connection:
        found = find_alarm(connection, seq)
        members = [str(each) for each in found.detail.get("members", ())]
        images = [image for each in members if (image := find_inspection(connection, each)) is not None]
    return _page(
        request,
        "watch_alarm.html.j2",
        alarm=found,
        images=images[:_MOST_EXAMPLES],
        first=min(images, key=lambda each: each.id, default=None),
        map=_map_of(service, found, images),
        facts=_facts_of(found),
        classes=service.review.taxonomy.in_use(),
        key=secrets.token_hex(16),
        is_novel=found.kind is AlarmKind.NOVEL,
        may_clear=may_open(request, "POST", "/station/alarms/{seq}/clear"),
        may_name=may_open(request, "POST", "/station/watch/alarms/{seq}/name"),
    )


@router.post("/station/watch/alarms/{seq}/name")
def name_group(
    request: Request,
    seq: Seq,
    images: Annotated[list[InspectionId], Form(min_length=1, max_length=MOST_AT_ONCE)],
    key: Annotated[str, Form(max_length=64)],
    choice: Annotated[str, Form(max_length=64)] = "",
    new_class: Annotated[str, Form(max_length=64)] = "",
) -> Response:
    """Give the ticked images of a new kind its name: a class from now on, in the atlas and for the watch.

    Whoever names it takes the alarm. It stays open: a name does not end the cause.
    """
    service, who = service_of(request), caller(request)
    with service.record.database.reading() as connection:
        found = find_alarm(connection, seq)
    if found.kind is not AlarmKind.NOVEL or found.cleared_ms is not None:
        raise Conflict("only an open alarm of a new kind is named", found=f"{found.kind} {seq}")
    if not new_class and not choice:
        raise Conflict("the kind has no name yet", expected="a new class, or one that is there")
    name = choice
    if new_class:
        told = f"named in alarm {seq} of the watch"
        name = service.review.taxonomy.add(who, new_class, told).name
    saying = Saying(choice=Choice.REJECT, defect_class=name, note=f"alarm {seq} of the watch")
    given = service.review.labelling.label(who, images, saying, key=key)
    acknowledge(service.record, seq, who.name)
    return back_to(
        f"/station/watch/alarms/{seq}", f"{len(given)} images are {name.replace('_', ' ')} from now on."
    )


@router.get("/station/watch/drift")
def drift(request: Request) -> Response:
    """What moved, with its cause, and every stream over time."""
    ran_ms, figures = _noted(request, "drift")
    return _page(
        request,
        "watch_drift.html.j2",
        ran_ms=ran_ms,
        told=figures,
        plots=drift_plots(figures["series"], figures["drifts"]) if "series" in figures else [],
        sections=figures.get("sections", []),
        shifts=sorted(figures.get("shifts", []), key=lambda row: -abs(row[3])),
    )


@router.get("/station/watch/signatures")
def signatures(request: Request) -> Response:
    """Which pattern lots and wafers show, and where to look first."""
    ran_ms, figures = _noted(request, "signatures")
    return _page(request, "watch_signatures.html.j2", ran_ms=ran_ms, told=figures)


@router.get("/station/watch/escapes")
def escapes(request: Request) -> Response:
    """How many defects escape at most, and how many audits more show the target."""
    ran_ms, figures = _noted(request, "escape")
    return _page(request, "watch_escapes.html.j2", ran_ms=ran_ms, told=figures)


@router.get("/station/watch/report")
def report(request: Request) -> Response:
    """The last daily report."""
    ran_ms, figures = _noted(request, "daily")
    return _page(
        request, "watch_report.html.j2", ran_ms=ran_ms, told=figures, sections=figures.get("sections", [])
    )


def _page(request: Request, template: str, **shown: Any) -> Response:
    home, bundle = service_of(request).record.home, service_of(request).pool.model_version
    return shell_of(request).page(request, template, parts=PARTS, home=home, bundle=bundle, **shown)


def _noted(request: Request, part: str) -> tuple[int | None, dict[str, Any]]:
    """When a part of the watch ran last, and what it noted; nothing before its first run."""
    with service_of(request).record.database.reading() as connection:
        ran_ms, figures = last_runs(connection).get(part, (None, {}))
    return ran_ms, figures


def _map_of(service: Service, alarm: StoredAlarm, images: list[StoredInspection]) -> Any:
    """Where the images of a crowd, or the points of a signature, lie; None for what has no place."""
    layout: MapOptions | None
    if images:
        layout = layout_of(service, images[0].product)
        return marked_map(Counter(each.inspection_point for each in images), layout, name="its images")
    points = alarm.detail.get("points")
    if not points:
        return None
    layout = layout_of(service, str(alarm.detail.get("product", "")))
    return marked_map(Counter(map(int, points)), layout, name=str(alarm.detail.get("lot", "its points")))


_WORDS = {
    "scope": "moved",
    "name": "which",
    "statistics": "seen in",
    "shift": "by",
    "expected": "images to be expected by chance",
    "chance": "chance of such a crowd",
    "known": "known class",
    "distance": "size of the difference, D",
    "p_value": "p, Holm",
    "effect": "in its deviations",
    "num_images": "images",
    "num_audits": "blind audits",
    "num_escapes": "escapes found",
    "bound": "escapes of PASS, at most",
    "where": "where on the wafer",
    "signature": "pattern",
    "lot": "lot",
    "point": "inspection point",
}


def _facts_of(alarm: StoredAlarm) -> list[tuple[str, str]]:
    """What the watch says of it, in words; lists of images and points are shown otherwise."""
    return [(_WORDS[name], _written(value)) for name, value in alarm.detail.items() if name in _WORDS and value]


def _written(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3g}"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
