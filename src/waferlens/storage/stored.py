"""One inspection as the record keeps it. Knows neither SQL nor HTTP.

An inspection is written once and never changed. What is drawn of it later (heatmap, reconstruction) is a
``Rendering`` of its own.
"""

from __future__ import annotations

import base64
import os
import time
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np

from waferlens.records import DecisionKind, FloatArray

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
_RANDOM_BITS = 80
_ID_DIGITS = 32


@dataclass(frozen=True, kw_only=True)
class StoredInspection:
    """What was asked, inferred and decided about one image; all that an answer is made of.

    id: 32 hex digits that sort by time of arrival. received_ms: that time, milliseconds since 1970 UTC.
    failure: short code when something went wrong (the decision is then REVIEW); reason: the same in words.
    score, reconstruction_error, p_value, latent, inference_ms: None where nothing was inferred.
    brightness: mean grey value as posted, of full scale; None where nothing was decoded.
    original: SHA-256 of the posted bytes, the name of their blob. latent: float32, little endian.
    timings: milliseconds a stage. request_hash: what an idempotency key stands for.
    """

    id: str
    received_ms: int
    wafer_id: str
    inspection_point: int
    product: str
    lot_id: str | None
    station: str
    decision: DecisionKind
    confidence: float
    reason: str | None
    failure: str | None
    score: float | None
    reconstruction_error: float | None
    p_value: float | None
    review_threshold: float
    reject_threshold: float
    score_name: str
    model_version: str
    original: str
    num_bytes: int
    inference_ms: float | None
    timings: dict[str, float]
    latent: bytes | None
    brightness: float | None = None
    idempotency_key: str | None = None
    request_hash: str | None = None

    def latent_vector(self) -> list[float] | None:
        """The latent as numbers, or None."""
        return None if self.latent is None else np.frombuffer(self.latent, dtype="<f4").tolist()

    def to_json(self) -> dict[str, Any]:
        """For the journal."""
        content = asdict(self) | {"decision": str(self.decision)}
        content["latent"] = None if self.latent is None else base64.b64encode(self.latent).decode()
        return content

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Self:
        """From the journal; the inverse of ``to_json``."""
        latent = content["latent"]
        return cls(
            **content
            | {
                "decision": DecisionKind(content["decision"]),
                "latent": None if latent is None else base64.b64decode(latent),
            }
        )


@dataclass(frozen=True, kw_only=True)
class Rendering:
    """The pictures of one inspection, by the SHA-256 of their PNG files."""

    inspection_id: str
    heatmap: str
    reconstruction: str


def clock_ms() -> int:
    """Milliseconds since 1970 UTC: time as the record counts it."""
    return time.time_ns() // 1_000_000


def new_id(at_ms: int | None = None) -> str:
    """32 hex digits: 48 bits of milliseconds, then 80 random ones. Sorting by id is sorting by time."""
    moment = clock_ms() if at_ms is None else at_ms
    return first_id_at(moment)[: _ID_DIGITS - _RANDOM_BITS // 4] + os.urandom(_RANDOM_BITS // 8).hex()


def first_id_at(moment_ms: int) -> str:
    """The smallest id of that millisecond: the bound of a period of time."""
    return f"{max(0, min(moment_ms, 2**48 - 1)):012x}".ljust(_ID_DIGITS, "0")


def received_ms_of(inspection_id: str) -> int:
    """When an inspection with this id came, in milliseconds since 1970 UTC; see ``new_id``."""
    return int(inspection_id[: _ID_DIGITS - _RANDOM_BITS // 4], 16)


def latent_bytes(latent: FloatArray) -> bytes:
    """(Z,) float32 as it is stored."""
    return latent.astype("<f4").tobytes()
