"""Inspects image files one after the other; a file that cannot be read is REVIEW with the reason."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from waferlens.errors import EngineError, ImageError
from waferlens.images.formats import read_image
from waferlens.inspection.heatmap import draw_inspection, heat_scale_of
from waferlens.inspection.inspector import Inspector
from waferlens.records import Decision, DecisionKind, Inspection


@dataclass(frozen=True, kw_only=True)
class FileResult:
    """What became of one file. ``inspection`` is None when it could not be read."""

    file: str
    decision: Decision
    model_version: str
    inspection: Inspection | None = None
    heatmap: str | None = None

    @property
    def failed(self) -> bool:
        """Whether the file could not be read."""
        return self.inspection is None

    def as_dict(self) -> dict[str, Any]:
        """For one line of JSON; numbers that do not exist are null."""
        inspection = self.inspection
        inference = None if inspection is None else inspection.inference
        return {
            "file": self.file,
            "decision": str(self.decision.kind),
            "confidence": self.decision.confidence,
            "reason": self.decision.reason,
            "anomaly_score": None if inference is None else _number(inference.score),
            "reconstruction_error": None if inference is None else _number(inference.reconstruction_error),
            "p_value": None if inspection is None else inspection.p_value,
            "heatmap": self.heatmap,
            "latent_vector": None if inference is None else [float(value) for value in inference.latent],
            "model_version": self.model_version,
            "inference_time_ms": None if inspection is None else inspection.inference_time_ms,
        }


def _number(value: float) -> float | None:
    """JSON has no NaN: a score that is not finite is REVIEW and null."""
    return value if math.isfinite(value) else None


def inspect_files(
    inspector: Inspector, files: Sequence[Path], bundle: Path, heatmaps: Path | None
) -> Iterator[FileResult]:
    """One result a file, in order, as each is done. heatmaps: folder for a PNG of each, or None.

    A file that cannot be read and an engine that fails are REVIEW; the files after it are still inspected.
    """
    scale = heat_scale_of(bundle)
    version = f"{inspector.config.name}-{inspector.config.version}"
    if heatmaps is not None:
        heatmaps.mkdir(parents=True, exist_ok=True)
    for number, file in enumerate(files):
        try:
            pixels = read_image(file, inspector.config.images)
            inspection = inspector.inspect_pixels(pixels, file.name)
        except (ImageError, EngineError) as error:
            decision = Decision(kind=DecisionKind.REVIEW, confidence=0.0, reason=" ".join(str(error).split()))
            yield FileResult(file=str(file), decision=decision, model_version=version)
            continue
        drawn = None
        if heatmaps is not None:
            # The number keeps apart files of the same name from different folders.
            drawn = heatmaps / f"{number:03d}-{file.stem}.png"
            draw_inspection(pixels, inspection, scale).save(drawn)
        yield FileResult(
            file=str(file),
            decision=inspection.decision,
            model_version=version,
            inspection=inspection,
            heatmap=None if drawn is None else str(drawn),
        )
