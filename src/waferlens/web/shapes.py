"""What goes in and comes out, as the OpenAPI page shows it. Names of the case study's answer are its own."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Path, Query
from pydantic import BaseModel, Field

from waferlens.records import DecisionKind
from waferlens.storage.accounts import Role

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
KEY_PATTERN = r"^[\x21-\x7e]{1,100}$"
MAX_POINT = 100_000
_MAX_MS = 2**47
_EXAMPLE = "/api/v1/inspections/0193588c5d2a00000000000000000000"

WaferId = Annotated[str, Path(pattern=NAME_PATTERN, examples=["WF-2024-001234"])]
InspectionId = Annotated[str, Path(pattern=r"^[0-9a-f]{32}$")]
SinceMs = Annotated[int | None, Query(ge=0, le=_MAX_MS, description="Milliseconds since 1970 UTC, included.")]
UntilMs = Annotated[int | None, Query(ge=0, le=_MAX_MS, description="Milliseconds since 1970 UTC, not included.")]
Limit = Annotated[int, Query(ge=1, le=500)]
Name = Annotated[str, Field(pattern=NAME_PATTERN)]
Words = Annotated[str, Field(min_length=1, max_length=500, pattern=r"^[^\x00]*$")]


class Pictures(BaseModel):
    """Where the files of this very inspection are."""

    heatmap: str | None
    reconstruction: str | None
    original: str


class Thresholds(BaseModel):
    """REVIEW begins at the first, REJECT at the second."""

    score_name: str
    review: float
    reject: float


class InspectionAnswer(BaseModel):
    """One inspection. Numbers are null where nothing was inferred: then it is REVIEW, ``reason`` says why."""

    wafer_id: str
    inspection_point: int
    anomaly_score: float | None = Field(description="The number that the thresholds apply to.")
    decision: DecisionKind
    confidence: float = Field(description="That the same place, imaged again, is decided the same.")
    heatmap_url: str | None
    latent_vector: list[float] | None
    model_version: str
    inference_time_ms: float | None
    id: str
    received_ms: int = Field(description="Milliseconds since 1970 UTC.")
    product: str
    lot_id: str | None
    station: str
    reason: str | None
    failure: str | None = Field(description="Short code of what went wrong: image, product, engine, deadline ...")
    score: float | None
    reconstruction_error: float | None
    p_value: float | None
    thresholds: Thresholds
    timings_ms: dict[str, float]
    pictures: Pictures
    original_sha256: str

    model_config = {
        "json_schema_extra": {
            "examples": [
                {
                    "wafer_id": "WF-2024-001234",
                    "inspection_point": 42,
                    "anomaly_score": 0.0342,
                    "decision": "PASS",
                    "confidence": 0.97,
                    "heatmap_url": "/api/v1/heatmaps/WF-2024-001234-42.png",
                    "latent_vector": [0.12, -0.43],
                    "model_version": "vae-wafer-v2.3.1",
                    "inference_time_ms": 8.2,
                    "id": "0193588c5d2a00000000000000000000",
                    "received_ms": 1732500000042,
                    "product": "transistor",
                    "lot_id": None,
                    "station": "camera-1",
                    "reason": None,
                    "failure": None,
                    "score": 0.0342,
                    "reconstruction_error": 0.0041,
                    "p_value": 0.41,
                    "thresholds": {"score_name": "score", "review": 1.9, "reject": 4.2},
                    "timings_ms": {"transfer": 0.4, "preprocess": 0.9, "inference": 8.2, "decision": 0.1},
                    "pictures": {
                        "heatmap": f"{_EXAMPLE}/heatmap.png",
                        "reconstruction": f"{_EXAMPLE}/reconstruction.png",
                        "original": f"{_EXAMPLE}/original",
                    },
                    "original_sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
                }
            ]
        }
    }


class InspectionPage(BaseModel):
    """Inspections, newest first. next: the ``before`` of the following page, null on the last one."""

    inspections: list[InspectionAnswer]
    next: str | None


class HourlyCounts(BaseModel):
    """Inspections of one hour, by decision."""

    hour_ms: int
    counts: dict[DecisionKind, int]


class WaferAnswer(BaseModel):
    """A wafer: what its points make of it, what a person settled, and every point's last inspection."""

    wafer_id: str
    disposition: DecisionKind
    reason: str
    complete: bool
    num_points: int
    num_expected: int | None
    settled: dict[str, Any] | None
    points: list[InspectionAnswer]


class WaferLine(BaseModel):
    """A wafer that was seen lately."""

    wafer_id: str
    received_ms: int
    num_inspections: int


class SettleWafer(BaseModel, extra="forbid"):
    """What a person settles about a wafer."""

    disposition: DecisionKind
    reason: Words


class SetBand(BaseModel, extra="forbid"):
    """Where REVIEW begins and ends for the model that runs; in its own scores."""

    review_threshold: float = Field(allow_inf_nan=False)
    reject_threshold: float = Field(allow_inf_nan=False)
    reason: Words


class ModelAnswer(BaseModel):
    """The model that new images go to."""

    model_version: str
    product: str
    ready: bool
    thresholds: Thresholds
    bundle_thresholds: Thresholds


class LoadModel(BaseModel, extra="forbid"):
    """A bundle in HOME/bundles."""

    bundle: Name


class LogIn(BaseModel, extra="forbid"):
    """A person."""

    name: Name
    password: str = Field(min_length=1, max_length=1024)


class Token(BaseModel):
    """To be sent as ``Authorization: Bearer TOKEN``."""

    token: str
    role: Role


class NewKey(BaseModel, extra="forbid"):
    """A key to make."""

    name: Name
    role: Role


class NewUser(BaseModel, extra="forbid"):
    """An account to make."""

    name: Name
    role: Role
    password: str = Field(min_length=12, max_length=1024)


class KeyLine(BaseModel):
    """A key, without its secret."""

    id: str
    name: str
    role: Role
    created_ms: int
    revoked_ms: int | None


class AuditLine(BaseModel):
    """An entry of the audit log."""

    seq: int
    at_ms: int
    actor: str
    action: str
    detail: str
    hash: str
