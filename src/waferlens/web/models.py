"""The model that runs, its REVIEW band, and the change to another bundle."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request

from waferlens.decision import thresholds as decision
from waferlens.errors import RequestError
from waferlens.storage.histories import Band, add_band, bands_of
from waferlens.storage.stored import clock_ms
from waferlens.web.access import caller
from waferlens.web.context import service_of
from waferlens.web.shapes import LoadModel, ModelAnswer, SetBand, Thresholds
from waferlens.wiring.serve import Service, resolve_bundle

router = APIRouter(tags=["model"])


@router.get("/api/v1/model")
def model(request: Request) -> ModelAnswer:
    """The model that new images go to, and the thresholds that decide now."""
    return _model(service_of(request))


@router.post("/api/v1/model")
def load(request: Request, told: LoadModel) -> ModelAnswer:
    """Go over to a bundle in ``HOME/bundles`` without losing an image. Its hashes are verified first."""
    service = service_of(request)
    load_bundle(service, caller(request).name, told.bundle)
    return _model(service)


@router.get("/api/v1/model/bands")
def bands(request: Request, limit: Annotated[int, Query(ge=1, le=500)] = 50) -> list[dict[str, Any]]:
    """The bands that were set for this model, newest first."""
    service = service_of(request)
    with service.record.database.reading() as connection:
        return [vars(band) for band in bands_of(connection, service.pool.model_version, limit=limit)]


@router.put("/api/v1/model/band")
def set_band(request: Request, told: SetBand) -> ModelAnswer:
    """Move the REVIEW band of the model that runs; it holds for the next image. Audited with who and why."""
    service = service_of(request)
    move_band(service, caller(request).name, told.review_threshold, told.reject_threshold, reason=told.reason)
    return _model(service)


def move_band(service: Service, who: str, review: float, reject: float, *, reason: str) -> None:
    """Set the band of the model that runs. Raises RequestError when it is upside down, DatabaseLost."""
    if review > reject:
        raise RequestError("the band is upside down", expected="review_threshold <= reject_threshold")
    version = service.pool.model_version
    before = service.models.thresholds_of(version)
    band = Band(
        model_version=version,
        review_threshold=review,
        reject_threshold=reject,
        reason=reason,
        set_by=who,
        set_ms=clock_ms(),
    )
    with service.record.database.writing() as connection:
        add_band(connection, band)
        detail = {
            "model": version,
            "from": [before.review, before.reject],
            "to": [review, reject],
            "reason": reason,
        }
        entry = service.record.audit.append(connection, who, "review band set", detail)
    service.record.audit.note_head(entry)
    service.models.set_band(version, review, reject)


def load_bundle(service: Service, who: str, bundle: str) -> None:
    """Go over to a bundle in ``HOME/bundles``. Raises BundleError, EngineError: the old one stays."""
    old = service.pool.model_version
    new = service.swap(resolve_bundle(service.record.home, bundle))
    service.record.audit.record(who, "model changed", {"from": old, "to": new, "bundle": bundle})


def _model(service: Service) -> ModelAnswer:
    version = service.pool.model_version
    facts = service.models.of(version)
    return ModelAnswer(
        model_version=version,
        product=facts.product,
        ready=service.pool.ready,
        thresholds=_thresholds(service.models.thresholds_of(version)),
        bundle_thresholds=_thresholds(facts.thresholds),
    )


def _thresholds(told: decision.Thresholds) -> Thresholds:
    return Thresholds(score_name=told.score_name, review=told.review, reject=told.reject)
