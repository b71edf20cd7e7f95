"""Verdicts as a data set: every image that people settled, in the layout that training and evaluation read.

OUT/images/<SHA-256>.png   the posted bytes, one file an image
OUT/manifest.csv           or manifest.parquet: path, label, split, lot, wafer, inspection_point, defect_type, mask
OUT/dataset.json           what it was made of, and its fingerprint

Whole wafers fall to one side: half of them give their normal images to training and half to evaluation, by a hash
of the wafer's name, so that the next version puts them where this one did. Defective images are for evaluation.
The same bytes that were settled both ways are left out and counted. No masks are drawn in the review: the column
is empty.
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from waferlens.errors import DataError
from waferlens.images.manifest import COLUMNS
from waferlens.records import DecisionKind, Label
from waferlens.storage.reviewed import LabelledImage

Table = Literal["csv", "parquet"]

_TEST_SHARE = 0.5
_LABELS = {DecisionKind.PASS: Label.NORMAL, DecisionKind.REJECT: Label.DEFECTIVE}
_SUFFIXES = {b"\x89PNG": ".png", b"II*\0": ".tif", b"MM\0*": ".tif", b"\xff\xd8\xff": ".jpg", b"BM": ".bmp"}


@dataclass(frozen=True, kw_only=True)
class Exported:
    """A version of the data set. fingerprint: SHA-256 of what each image is and is said to be."""

    fingerprint: str
    num_train: int
    num_normal: int
    num_defective: int
    num_contradicting: int
    num_unreadable: int
    classes: dict[str, int]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return dict(vars(self))


def export_dataset(
    labelled: Iterable[LabelledImage], read_blob: Callable[[str], bytes], out: Path, *, table: Table = "csv"
) -> Exported:
    """Write a version to a new or empty folder.

    read_blob: the posted bytes by their name. Raises DataError when the folder holds anything, or nothing is
    settled; BlobMissing, BlobStoreLost, OSError.
    """
    if out.exists() and any(out.iterdir()):
        raise DataError(f"{out} cannot take a data set", expected="a new or an empty folder")
    kept, num_contradicting = _one_each(labelled)
    if not kept:
        raise DataError("there is nothing to export", expected="inspections that people settled as PASS or REJECT")
    (out / "images").mkdir(parents=True, exist_ok=True)
    rows, num_unreadable = [], 0
    for image in kept:
        data = read_blob(image.original)
        suffix = next((name for start, name in _SUFFIXES.items() if data.startswith(start)), None)
        if suffix is None:  # it was REVIEW because it cannot be read; a label does not make it an image
            num_unreadable += 1
            continue
        path = f"images/{image.original}{suffix}"
        (out / path).write_bytes(data)
        rows.append(_row(image, path))
    if not rows:
        raise DataError(
            "there is nothing to export", expected="images that can be read", found=f"{len(kept)} others"
        )
    _write(rows, out, table)
    exported = Exported(
        fingerprint=fingerprint_of(rows),
        num_train=sum(row["split"] == "train" for row in rows),
        num_normal=sum(row["label"] == Label.NORMAL for row in rows),
        num_defective=sum(row["label"] == Label.DEFECTIVE for row in rows),
        num_contradicting=num_contradicting,
        num_unreadable=num_unreadable,
        classes=_classes(rows),
    )
    told = exported.as_dict() | {"last_settlement": max(image.seq for image in kept)}
    (out / "dataset.json").write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    return exported


def fingerprint_of(rows: Iterable[dict[str, Any]]) -> str:
    """SHA-256 over the sorted rows of a manifest; a path holds the hash of its image."""
    lines = sorted(json.dumps([str(row[column]) for column in COLUMNS]) for row in rows)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def is_for_test(lot: str | None, wafer: str) -> bool:
    """Whether the normal images of a wafer are for evaluation."""
    told = hashlib.sha256(json.dumps([lot, wafer]).encode()).digest()
    return int.from_bytes(told[:8], "big") / 2**64 < _TEST_SHARE


def _one_each(labelled: Iterable[LabelledImage]) -> tuple[list[LabelledImage], int]:
    """One image for the same bytes, settled last; how many bytes were settled both ways."""
    newest: dict[str, LabelledImage] = {}
    dispositions: dict[str, set[DecisionKind]] = {}
    for image in labelled:
        dispositions.setdefault(image.original, set()).add(image.disposition)
        if image.original not in newest or image.seq > newest[image.original].seq:
            newest[image.original] = image
    kept = [image for name, image in newest.items() if len(dispositions[name]) == 1]
    return sorted(kept, key=lambda image: image.inspection_id), len(newest) - len(kept)


def _row(image: LabelledImage, path: str) -> dict[str, Any]:
    label = _LABELS[image.disposition]
    for_test = label is Label.DEFECTIVE or is_for_test(image.lot_id, image.wafer_id)
    return {
        "path": path,
        "label": str(label),
        "split": "test" if for_test else "train",
        "lot": image.lot_id or "",
        "wafer": image.wafer_id,
        "inspection_point": str(image.inspection_point),
        "defect_type": (image.defect_class or "") if label is Label.DEFECTIVE else "",
        "mask": "",
    }


def _classes(rows: Iterable[dict[str, Any]]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for row in rows:
        if row["defect_type"]:
            counts[row["defect_type"]] = counts.get(row["defect_type"], 0) + 1
    return dict(sorted(counts.items()))


def _write(rows: Sequence[dict[str, Any]], out: Path, table: Table) -> None:
    if table == "parquet":
        import pyarrow
        import pyarrow.parquet

        columns = {column: [row[column] for row in rows] for column in COLUMNS}
        pyarrow.parquet.write_table(pyarrow.table(columns), out / "manifest.parquet")
        return
    with (out / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
