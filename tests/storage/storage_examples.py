"""Inspections as the record keeps them, made by hand."""

from __future__ import annotations

from waferlens.records import DecisionKind
from waferlens.storage.stored import StoredInspection, new_id


def an_inspection(**told) -> StoredInspection:
    received_ms = told.get("received_ms", 1_700_000_000_000)
    usual = {
        "id": new_id(received_ms),
        "received_ms": received_ms,
        "wafer_id": "WF-1",
        "inspection_point": 0,
        "product": "transistor",
        "lot_id": None,
        "station": "camera-1",
        "decision": DecisionKind.PASS,
        "confidence": 0.97,
        "reason": None,
        "failure": None,
        "score": 0.25,
        "reconstruction_error": 0.004,
        "p_value": 0.5,
        "review_threshold": 2.0,
        "reject_threshold": 4.0,
        "score_name": "score",
        "model_version": "vae-wafer-tiny-v0.1.0",
        "original": "0" * 64,
        "num_bytes": 4,
        "inference_ms": 8.2,
        "timings": {"inference": 8.2},
        "latent": b"\0" * 512,
    }
    return StoredInspection(**usual | told)
