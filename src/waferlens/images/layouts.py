"""Data sets on disk: three layouts, recognised by what is there. Lists images; opens none.

MVTec (recognised by train/good, or by test/ where there is only evaluation data)

    root/train/good/*.png                        normal, to learn from
    root/test/good/*.png                         normal, to evaluate
    root/test/<defect type>/<stem>.png           defective
    root/ground_truth/<defect type>/<stem>_mask.png
    root/manifest.csv                            optional: lot, wafer, inspection_point of these files

Manifest (a .csv or .parquet file, or a folder with manifest.csv or manifest.parquet): see ``manifest``.

Plain (any other folder): every image in it, at any depth, is normal.

    root/**/*.png
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from waferlens.errors import DataError
from waferlens.images.formats import SUFFIXES
from waferlens.images.manifest import ManifestRow, find_manifest, place, read_manifest
from waferlens.records import ImageRef, Label

Layout = Literal["mvtec", "manifest", "plain"]

_NOT_NORMAL = frozenset({"bad", "defect", "defects", "defective", "ng", "reject", "anomaly", "abnormal"})
_NUM_LISTED = 5


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """The images of a data set by part, each sorted by name.

    train: normal images to learn from. test: images to evaluate, may be empty.
    ignored: files that are neither images nor belong to the layout; nothing was read from them.
    """

    root: Path
    layout: Layout
    train: tuple[ImageRef, ...]
    test: tuple[ImageRef, ...]
    ignored: tuple[Path, ...] = ()


def read_dataset(root: Path) -> Dataset:
    """The data set at ``root``.

    Raises DataError when there is none, when it is empty, and for whatever ``survey`` finds; the first few
    findings are listed. Nothing is left out silently: a defective image in train or a missing mask stops
    here.
    """
    dataset, problems = survey(root)
    if problems:
        more = f" and {len(problems) - _NUM_LISTED} more" if len(problems) > _NUM_LISTED else ""
        raise DataError(
            f"{root}: data set cannot be used ({len(problems)} problems)",
            expected=f"a sound {dataset.layout} layout",
            found="; ".join(problems[:_NUM_LISTED]) + more,
        )
    return dataset


def survey(root: Path) -> tuple[Dataset, list[str]]:
    """The data set with everything that is wrong with its layout, one line each.

    Raises DataError when there is nothing to survey: no such place, no image, an unreadable manifest.
    """
    if not root.exists():
        raise DataError(f"{root}: data set not found", expected="a folder or a manifest", found="nothing")
    if root.is_file():
        if root.suffix.lower() not in (".csv", ".parquet"):
            raise DataError(f"{root}: not a data set", expected="a folder, .csv or .parquet", found="a file")
        dataset, problems = _survey_manifest(root.parent, root)
    elif (root / "train" / "good").is_dir() or (root / "test").is_dir():
        dataset, problems = _survey_mvtec(root)
    elif (manifest := find_manifest(root)) is not None:
        dataset, problems = _survey_manifest(root, manifest)
    else:
        dataset, problems = _survey_plain(root)
    if not dataset.train and not dataset.test and not problems:
        raise DataError(
            f"{root}: no images",
            expected=f"files named {', '.join(sorted(SUFFIXES))}",
            found=f"{len(dataset.ignored)} other files",
        )
    return dataset, problems


def _survey_manifest(root: Path, manifest: Path) -> tuple[Dataset, list[str]]:
    rows, problems = read_manifest(manifest)
    train = tuple(row.ref for row in rows if row.part == "train")
    test = tuple(row.ref for row in rows if row.part == "test")
    return Dataset(root=root, layout="manifest", train=train, test=test), problems


def _survey_plain(root: Path) -> tuple[Dataset, list[str]]:
    images, ignored = _files(root)
    problems = [
        f"{path.relative_to(root).as_posix()}: a plain folder holds normal images only"
        for path in images
        if any(part.lower() in _NOT_NORMAL for part in path.relative_to(root).parts[:-1])
    ]
    train = tuple(_ref(root, path, Label.NORMAL) for path in images)
    return Dataset(root=root, layout="plain", train=train, test=(), ignored=tuple(ignored)), problems


def _survey_mvtec(root: Path) -> tuple[Dataset, list[str]]:
    train_images, ignored = _files(root / "train")
    test_images, ignored_test = _files(root / "test")
    problems = [
        f"{path.relative_to(root).as_posix()}: training takes normal images, from train/good"
        for path in train_images
        if path.relative_to(root).parts[1] != "good"
    ]
    problems += [
        f"{path.relative_to(root).as_posix()}: must stand in test/good or test/<defect type>"
        for path in test_images
        if len(path.relative_to(root).parts) < 3
    ]
    train = [_ref(root, path, Label.NORMAL) for path in train_images]
    test = [_test_ref(root, path) for path in test_images]
    problems += _mask_problems(root, test)
    manifest = find_manifest(root)
    if manifest is not None:
        rows, row_problems = read_manifest(manifest)
        problems += row_problems
        train, train_problems = _with_metadata(train, rows)
        test, test_problems = _with_metadata(test, rows)
        problems += train_problems + test_problems
    dataset = Dataset(
        root=root,
        layout="mvtec",
        train=tuple(train),
        test=tuple(test),
        ignored=(*ignored, *ignored_test),
    )
    return dataset, problems


def _test_ref(root: Path, path: Path) -> ImageRef:
    defect_type = path.relative_to(root).parts[1]
    if defect_type == "good":
        return _ref(root, path, Label.NORMAL)
    has_masks = (root / "ground_truth").is_dir()
    mask = root / "ground_truth" / defect_type / f"{path.stem}_mask.png" if has_masks else None
    return replace(_ref(root, path, Label.DEFECTIVE), defect_type=defect_type, mask=mask)


def _mask_problems(root: Path, test: Iterable[ImageRef]) -> list[str]:
    """Masks that are missing, and masks that belong to no defective image."""
    expected = {ref.mask: ref.name for ref in test if ref.mask is not None}
    missing = [f"{name}: mask not found" for mask, name in expected.items() if not mask.is_file()]
    found, _ = _files(root / "ground_truth")
    stray = [
        f"{path.relative_to(root).as_posix()}: a mask without a defective image"
        for path in found
        if path not in expected
    ]
    return missing + stray


def _with_metadata(refs: list[ImageRef], rows: Iterable[ManifestRow]) -> tuple[list[ImageRef], list[str]]:
    """Refs with lot, wafer, point and group of their rows; folders and manifest must tell the same story."""
    by_path = {place(row.ref.path): row.ref for row in rows}
    problems: list[str] = []
    merged: list[ImageRef] = []
    for ref in refs:
        row = by_path.get(place(ref.path))
        if row is None:
            problems.append(f"{ref.name}: no row in the manifest (its wafer is unknown)")
            merged.append(ref)
            continue
        if row.label is not ref.label:
            problems.append(f"{ref.name}: {ref.label} by its folder, {row.label} by the manifest")
        merged.append(
            replace(ref, group=row.group, lot=row.lot, wafer=row.wafer, inspection_point=row.inspection_point)
        )
    return merged, problems


def _ref(root: Path, path: Path, label: Label) -> ImageRef:
    name = path.relative_to(root).as_posix()
    return ImageRef(path=path, name=name, group=f"file:{name}", label=label)


def _files(folder: Path) -> tuple[list[Path], list[Path]]:
    """All images below a folder, and all other files, sorted. Links to folders are not followed."""
    if not folder.is_dir():
        return [], []
    files = sorted((path for path in folder.rglob("*") if path.is_file()), key=lambda path: path.as_posix())
    images = [path for path in files if path.suffix.lower() in SUFFIXES]
    return images, [path for path in files if path.suffix.lower() not in SUFFIXES]
