"""Step 1 of a retraining: which recorded images the next model learns from, as a data set on disk.

An image counts as normal when an inspector said so, or by policy: it passed, nobody contradicted, and it is not
among the images that the champion found most unusual. Lots have a cap (``poisoning``).
"""

from __future__ import annotations

import csv
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field

from waferlens.errors import DataError
from waferlens.lifecycle.poisoning import PoisonOptions, capped, sample_for_audit
from waferlens.storage.blobs import BlobStore
from waferlens.storage.training_images import PassedImage

MANIFEST, AUDIT = "manifest.csv", "audit.csv"
_PNG = b"\x89PNG"
_FOLDER = Path("train") / "good"


class ExtractOptions(BaseModel, frozen=True, extra="forbid"):
    """Which images."""

    days: float = Field(90.0, gt=0, description="back from the run's start: three months")
    min_p_value: float = Field(0.05, ge=0, lt=1, description="by policy: rarer images need an inspector's word")
    min_images: int = Field(40, ge=2, description="fewer are refused")
    max_images: int = Field(20_000, ge=2)


@dataclass(frozen=True, kw_only=True)
class Settled:
    """What inspectors said, by inspection: these are normal, these are not."""

    normal: frozenset[str] = field(default_factory=frozenset)
    defective: frozenset[str] = field(default_factory=frozenset)


def choose(
    images: Sequence[PassedImage], settled: Settled, options: ExtractOptions, poison: PoisonOptions
) -> list[PassedImage]:
    """The images to learn from. Raises DataError when they are too few, saying where the others went."""
    by_id = {image.id: image for image in images if image.id not in settled.defective}
    normal = {
        name: image
        for name, image in by_id.items()
        if name in settled.normal or (image.p_value or 0.0) >= options.min_p_value
    }
    kept = capped({name: lot_of(image) for name, image in normal.items()}, poison.max_lot_share)
    kept = sample_for_audit(kept, options.max_images)
    if len(kept) < options.min_images:
        raise DataError(
            "too few images to learn from",
            expected=f"at least {options.min_images}",
            found=f"{len(images)} passed, {len(normal)} are normal by verdict or policy, {len(kept)} within the "
            "lots' shares",
        )
    return [normal[name] for name in sorted(kept)]


def lot_of(image: PassedImage) -> str:
    """Its lot; its wafer, where the station named no lot."""
    return image.lot_id or f"wafer {image.wafer_id}"


def write_dataset(
    images: Sequence[PassedImage], blobs: BlobStore, folder: Path, poison: PoisonOptions
) -> dict[str, Any]:
    """Write the images as an MVTec-style folder with lots and wafers, and the sample to audit; the step's result.

    Raises BlobMissing, BlobStoreLost.
    """
    shutil.rmtree(folder, ignore_errors=True)
    (folder / _FOLDER).mkdir(parents=True)
    rows = []
    for image in images:
        data = blobs.get(image.original)
        name = _FOLDER / f"{image.id}.{'png' if data.startswith(_PNG) else 'tif'}"
        (folder / name).write_bytes(data)
        rows.append(
            {
                "path": name.as_posix(),
                "label": "normal",
                "lot": lot_of(image),
                "wafer": image.wafer_id,
                "inspection_point": image.inspection_point,
            }
        )
    _write(folder / MANIFEST, rows)
    sample = set(sample_for_audit((image.id for image in images), poison.num_audit))
    _write(folder.parent / AUDIT, [{"inspection_id": each} for each in sorted(sample)])
    lots = {row["lot"] for row in rows}
    return {"num_images": len(images), "num_lots": len(lots), "data": str(folder), "num_audit": len(sample)}


def _write(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
