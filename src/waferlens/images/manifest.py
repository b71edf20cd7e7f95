"""Manifests: a CSV or Parquet table that says what each image is. Turns rows into ImageRefs; opens no image.

    path              required; relative to the manifest's folder (or absolute)
    label             required; normal, defective or unknown
    split             train or test; without the column normal images train and all others test
    lot, wafer        text; images of one wafer (of one lot) form a group
    inspection_point  whole number
    defect_type       text; defective images only
    mask              path like ``path``; defective images only

Other columns are refused: a misspelt ``wafer`` would silently split one wafer over training and validation.
"""

from __future__ import annotations

import csv
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from waferlens.errors import DataError
from waferlens.records import ImageRef, Label

COLUMNS = ("path", "label", "split", "lot", "wafer", "inspection_point", "defect_type", "mask")
_REQUIRED = ("path", "label")
MANIFEST_NAMES = ("manifest.csv", "manifest.parquet")

Row = Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class ManifestRow:
    """One row: the image and the part it is meant for."""

    ref: ImageRef
    part: str


def find_manifest(folder: Path) -> Path | None:
    """The manifest of a folder. Raises DataError when there are two: which one holds would be a guess."""
    found = [folder / name for name in MANIFEST_NAMES if (folder / name).is_file()]
    if len(found) > 1:
        raise DataError(f"{folder}: two manifests", expected="one", found=" and ".join(MANIFEST_NAMES))
    return found[0] if found else None


def read_manifest(path: Path) -> tuple[list[ManifestRow], list[str]]:
    """Rows in the order of their image names, and what is wrong with single rows (the caller decides to
    raise).

    Raises DataError when the table itself cannot be read, lacks a column or has an unknown one.
    """
    rows = _read_parquet(path) if path.suffix.lower() == ".parquet" else _read_csv(path)
    parsed: list[ManifestRow] = []
    problems: list[str] = []
    for number, row in enumerate(rows, start=1):
        wrong = _row_problem(path.parent, row)
        if wrong:
            problems.append(f"{path.name} row {number}: {wrong}")
        else:
            parsed.append(_parse(path.parent, row))
    counts = Counter(place(row.ref.path) for row in parsed)
    problems += [f"{path.name}: {image} stands in {n} rows" for image, n in counts.items() if n > 1]
    return sorted(parsed, key=lambda row: row.ref.name), problems


def _row_problem(folder: Path, row: Row) -> str | None:
    """The first thing wrong with one row, or None."""
    label, split, point = row["label"], row["split"], row["inspection_point"]
    checks = (
        (not row["path"], "no path"),
        (label not in set(Label), f"label must be normal, defective or unknown, found {label!r}"),
        (split not in ("", "train", "test"), f"split must be train or test, found {split!r}"),
        (
            split == "train" and label != Label.NORMAL,
            f"{label} image in train (training takes normal images)",
        ),
        (point != "" and not _is_whole(point), f"inspection_point must be a whole number, found {point!r}"),
        (label == Label.NORMAL and row["mask"] != "", "a mask for a normal image"),
        (label == Label.NORMAL and row["defect_type"] != "", "a defect_type for a normal image"),
        (not (folder / row["path"]).is_file(), f"image not found: {row['path']}"),
        (row["mask"] != "" and not (folder / row["mask"]).is_file(), f"mask not found: {row['mask']}"),
    )
    return next((message for wrong, message in checks if wrong), None)


def _parse(folder: Path, row: Row) -> ManifestRow:
    name = Path(row["path"]).as_posix()
    lot, wafer = row["lot"] or None, row["wafer"] or None
    label = Label(row["label"])
    part = row["split"] or ("train" if label is Label.NORMAL else "test")
    point = row["inspection_point"]
    ref = ImageRef(
        path=folder / row["path"],
        name=name,
        group=group_of(name, lot, wafer),
        label=label,
        defect_type=row["defect_type"] or None,
        mask=folder / row["mask"] if row["mask"] else None,
        lot=lot,
        wafer=wafer,
        inspection_point=int(point) if point else None,
    )
    return ManifestRow(ref=ref, part=part)


def place(path: Path) -> Path:
    """The path by which two mentions of one file are recognised."""
    return Path(os.path.normpath(path))  # not resolve(): half a million of those take a minute


def group_of(name: str, lot: str | None, wafer: str | None) -> str:
    """The wafer (in its lot, for wafers are numbered anew in each), else the file itself."""
    if wafer is None:
        return f"file:{name}"
    return f"wafer:{wafer}" if lot is None else f"wafer:{lot}/{wafer}"


def _is_whole(text: str) -> bool:
    return text.removeprefix("-").isdecimal()


def _read_csv(path: Path) -> list[Row]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, strict=True)
            rows = list(reader)
            columns = list(reader.fieldnames or ())
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(
            f"{path}: manifest cannot be read", expected="a CSV table in UTF-8", found=str(error)
        ) from error
    _check_columns(path, columns)
    ragged = [number for number, row in enumerate(rows, 1) if None in row or None in row.values()]
    if ragged:
        raise DataError(
            f"{path}: manifest is ragged",
            expected=f"{len(columns)} cells in each row",
            found=f"row {ragged[0]}",
        )
    return [{column: (row.get(column) or "").strip() for column in COLUMNS} for row in rows]


def _read_parquet(path: Path) -> list[Row]:
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.read_table(path)
    except (OSError, pyarrow.ArrowException) as error:
        raise DataError(
            f"{path}: manifest cannot be read", expected="a Parquet table", found=str(error)
        ) from error
    _check_columns(path, table.column_names)
    return [{column: _cell(row.get(column)) for column in COLUMNS} for row in table.to_pylist()]


def _cell(value: object) -> str:
    """A Parquet cell as the text it would have in a CSV; 3.0 is the whole number 3 (columns with gaps turn
    float).
    """
    if value is None or value != value:
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()


def _check_columns(path: Path, columns: Sequence[str]) -> None:
    missing = [column for column in _REQUIRED if column not in columns]
    unknown = [column for column in columns if column not in COLUMNS]
    if missing or unknown or len(set(columns)) != len(columns):
        raise DataError(
            f"{path}: columns of the manifest are not right",
            expected=f"path and label, and any of {', '.join(COLUMNS[2:])}",
            found=", ".join(columns) or "none",
        )
