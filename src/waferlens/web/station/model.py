"""The model in service: its card, scores of the last week, what another band would have done, moving the band."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from fastapi import APIRouter, Form, Query, Request, Response
from markdown_it import MarkdownIt
from markupsafe import Markup

from waferlens.records import DecisionKind
from waferlens.review.what_if import Band, what_if
from waferlens.settings.service import bundles_folder
from waferlens.storage.histories import bands_of
from waferlens.storage.reviewed import labelled_images
from waferlens.storage.scores import scores_between
from waferlens.storage.stored import DAY_MS, clock_ms
from waferlens.web.access import caller
from waferlens.web.context import service_of
from waferlens.web.models import load_bundle, move_band
from waferlens.web.station.histogram import draw_histogram
from waferlens.web.station.said import back_to
from waferlens.web.station.shell import shell_of
from waferlens.wiring.serve import Service

router = APIRouter(include_in_schema=False)

_WEEK_MS = 7 * DAY_MS
Score = Annotated[float | None, Query(allow_inf_nan=False)]
SetScore = Annotated[float, Form(allow_inf_nan=False)]
Reason = Annotated[str, Form(min_length=1, max_length=500)]


@router.get("/station/model")
def model(request: Request, review: Score = None, reject: Score = None) -> Response:
    """The page; with both thresholds in the query it shows what they would have done."""
    service = service_of(request)
    version = service.pool.model_version
    now = service.models.thresholds_of(version)
    holds = Band(review=now.review, reject=now.reject)
    tried = holds if review is None or reject is None else Band(review=review, reject=reject)
    until_ms = clock_ms() + 1
    with service.record.database.reading() as connection:
        scores = scores_between(connection, version, since_ms=until_ms - _WEEK_MS, until_ms=until_ms)
        moved = bands_of(connection, version, limit=20)
        labels = {
            image.inspection_id: int(image.disposition is DecisionKind.REJECT)
            for image in labelled_images(connection, since_ms=until_ms - _WEEK_MS, until_ms=until_ms)
        }
    settled = np.asarray([labels.get(each, -1) for each in scores.ids], dtype=np.int8)
    return shell_of(request).page(
        request,
        "model.html.j2",
        version=version,
        facts=service.models.of(version),
        thresholds=now,
        tried=tried,
        differs=tried != holds,
        histogram=draw_histogram(scores.values, holds, tried if tried != holds else None),
        told=what_if(scores.values, settled, holds, tried),
        kinds=list(DecisionKind),
        bands=moved,
        card=_card(service, version),
        bundles=_bundles(service),
    )


@router.post("/station/model/band")
def set_band(request: Request, review: SetScore, reject: SetScore, reason: Reason) -> Response:
    """Move the band; it holds for the next image."""
    move_band(service_of(request), caller(request).name, review, reject, reason=reason)
    return back_to("/station/model", f"REVIEW now begins at {review:g}, REJECT at {reject:g}.")


@router.post("/station/model")
def change(request: Request, bundle: Annotated[str, Form(max_length=200)]) -> Response:
    """Go over to another bundle without losing an image."""
    service = service_of(request)
    load_bundle(service, caller(request).name, bundle)
    return back_to("/station/model", f"{service.pool.model_version} inspects from now on.")


def _card(service: Service, version: str) -> Markup:
    """The card of the bundle as HTML. What it says is escaped: no markup of its own comes through."""
    path = service.models.of(version).bundle / "card.md"
    if not path.is_file():
        return Markup("<p>This bundle has no card.</p>")
    drawn = MarkdownIt("commonmark", {"html": False}).enable("table").render(path.read_text(encoding="utf-8"))
    return Markup(
        drawn.replace("<h1>", "<h3>").replace("</h1>", "</h3>").replace("<h2>", "<h3>").replace("</h2>", "</h3>")
    )


def _bundles(service: Service) -> list[str]:
    folder = bundles_folder(service.record.home)
    return sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
