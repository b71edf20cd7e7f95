"""An inspection of the record as the API answers it. The case study's nine fields first."""

from __future__ import annotations

import math
from typing import Any

from waferlens.storage.stored import StoredInspection


def answer_of(inspection: StoredInspection) -> dict[str, Any]:
    """The JSON of one inspection; see ``shapes.InspectionAnswer``."""
    inferred = inspection.score is not None
    score = _number(inspection.score)
    error = _number(inspection.reconstruction_error)
    here = f"/api/v1/inspections/{inspection.id}"
    return {
        "wafer_id": inspection.wafer_id,
        "inspection_point": inspection.inspection_point,
        "anomaly_score": score if inspection.score_name == "score" else error,
        "decision": str(inspection.decision),
        "confidence": inspection.confidence,
        "heatmap_url": heatmap_url(inspection) if inferred else None,
        "latent_vector": inspection.latent_vector(),
        "model_version": inspection.model_version,
        "inference_time_ms": inspection.inference_ms,
        "id": inspection.id,
        "received_ms": inspection.received_ms,
        "product": inspection.product,
        "lot_id": inspection.lot_id,
        "station": inspection.station,
        "reason": inspection.reason,
        "failure": inspection.failure,
        "score": score,
        "reconstruction_error": error,
        "p_value": inspection.p_value,
        "thresholds": {
            "score_name": inspection.score_name,
            "review": inspection.review_threshold,
            "reject": inspection.reject_threshold,
        },
        "timings_ms": inspection.timings,
        "pictures": {
            "heatmap": f"{here}/heatmap.png" if inferred else None,
            "reconstruction": f"{here}/reconstruction.png" if inferred else None,
            "original": f"{here}/original",
        },
        "original_sha256": inspection.original,
    }


def heatmap_url(inspection: StoredInspection) -> str:
    """The case study's address: the newest heatmap of this point of this wafer."""
    return f"/api/v1/heatmaps/{inspection.wafer_id}-{inspection.inspection_point}.png"


def _number(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else value
