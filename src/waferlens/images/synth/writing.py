"""Synthetic images on disk, as a folder in the MVTec layout or as one array. Knows files, not physics.

OUT/train/good/WF-000003-017.png                      normal images to learn from
OUT/test/good/..., OUT/test/<known kind>/...          normal and defective images to evaluate on
OUT/ground_truth/<known kind>/<stem>_mask.png         255 where the defect is
OUT/manifest.csv                                      path, lot, wafer, inspection_point, label, ...
OUT/synthesis.csv                                     site, station, size, contrast, visibility of each image
OUT/fab.json                                          options and seed that make the same images again
OUT/novel/test/..., OUT/novel/ground_truth/...        the same for the novel kinds: an evaluation-only root
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from waferlens.errors import DataError
from waferlens.images.synth.fab import SyntheticFab, SyntheticImage
from waferlens.images.synth.plans import Part, PlannedImage, plan_training
from waferlens.images.synth.work import map_chunks
from waferlens.records import IMAGE_SIZE, Label

MANIFEST_COLUMNS = (
    "path",
    "lot",
    "wafer",
    "inspection_point",
    "label",
    "defect_type",
    "mask",
    "split",
)
SYNTHESIS_COLUMNS = ("path", "site", "family", "station", "size_um", "contrast", "visibility", "mask_pixels")
PACKED_COLUMNS = ("index", "lot", "wafer", "inspection_point", "site", "family", "station")

Progress = Callable[[int], None]
"""Called with the number of images finished since the last call."""


@dataclass(frozen=True)
class _Written:
    """The rows that one image adds to the tables of its root."""

    root: Path
    manifest: dict[str, Any]
    synthesis: dict[str, Any]


def write_mvtec(
    fab: SyntheticFab,
    plan: Iterable[PlannedImage],
    out: Path,
    *,
    workers: int = 1,
    progress: Progress | None = None,
) -> int:
    """Write a planned data set in the MVTec layout and return the number of images.

    The files are the same, byte for byte, for any number of workers (processes). Raises DataError when out holds
    anything already, OptionsError when workers < 1 or a defect cannot be made.
    """
    _claim(out)
    tables: dict[Path, list[_Written]] = {}
    num = 0
    for chunk in map_chunks(partial(_write_chunk, fab, out), plan, workers=workers):
        for written in chunk:
            tables.setdefault(written.root, []).append(written)
        num += len(chunk)
        if progress is not None:
            progress(len(chunk))
    for root, rows in tables.items():
        _write_table(root / "manifest.csv", MANIFEST_COLUMNS, [row.manifest for row in rows])
        _write_table(root / "synthesis.csv", SYNTHESIS_COLUMNS, [row.synthesis for row in rows])
    _write_fab(out, fab)
    return num


def write_packed(
    fab: SyntheticFab, num: int, out: Path, *, workers: int = 1, progress: Progress | None = None
) -> Path:
    """Stream num training normals into out/pixels.npy, (num, 256, 256) uint8 or uint16, and out/meta.csv.

    The images are those that `write_mvtec` puts in train/good, in the same order. Memory stays at one chunk per
    worker. Returns the path of the array. Raises DataError when out holds anything already.
    """
    _claim(out)
    path = out / "pixels.npy"
    dtype = np.uint8 if fab.options.optics.bits == 8 else np.uint16
    shape = (num, IMAGE_SIZE, IMAGE_SIZE)
    np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape).flush()
    work = partial(_fill_chunk, fab, path)
    numbered = enumerate(plan_training(num, fab.layout.num_points))
    with (out / "meta.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, PACKED_COLUMNS)
        table.writeheader()
        for rows in map_chunks(work, numbered, workers=workers):
            table.writerows(rows)
            if progress is not None:
                progress(len(rows))
    _write_fab(out, fab)
    return path


def _claim(out: Path) -> None:
    """Make out, or refuse it: images of two fabs in one folder would be a data set of neither."""
    out.mkdir(parents=True, exist_ok=True)
    if any(out.iterdir()):
        raise DataError(f"{out}", expected="an empty or new folder", found="files in it")


def _write_chunk(fab: SyntheticFab, out: Path, chunk: Sequence[PlannedImage]) -> list[_Written]:
    return [_write_image(fab, out, planned) for planned in chunk]


def _write_image(fab: SyntheticFab, out: Path, planned: PlannedImage) -> _Written:
    image = fab.render_kind(planned.wafer, planned.point, planned.kind)
    root = out / "novel" if planned.part is Part.NOVEL else out
    split = "train" if planned.part is Part.TRAIN else "test"
    folder = "good" if planned.kind is None else str(planned.kind)
    stem = f"{image.meta.wafer}-{planned.point:03d}"
    path, mask = f"{split}/{folder}/{stem}.png", ""
    _save_png(root / path, image.pixels)
    if planned.kind is not None:
        mask = f"ground_truth/{folder}/{stem}_mask.png"
        _save_png(root / mask, image.mask.astype(np.uint8) * np.uint8(255))
    return _Written(root, _manifest_row(image, path, mask, split), _synthesis_row(image, path))


def _manifest_row(image: SyntheticImage, path: str, mask: str, split: str) -> dict[str, Any]:
    defect = image.meta.defect
    return {
        "path": path,
        "lot": image.meta.lot,
        "wafer": image.meta.wafer,
        "inspection_point": image.meta.inspection_point,
        "label": str(Label.NORMAL if defect is None else Label.DEFECTIVE),
        "defect_type": "" if defect is None else str(defect.kind),
        "mask": mask,
        "split": split,
    }


def _synthesis_row(image: SyntheticImage, path: str) -> dict[str, Any]:
    defect = image.meta.defect
    return {
        "path": path,
        "site": image.meta.site,
        "family": str(image.meta.family),
        "station": image.meta.station,
        "size_um": "" if defect is None else f"{defect.size_um:.4f}",
        "contrast": "" if defect is None else f"{defect.contrast:.4f}",
        "visibility": f"{image.meta.visibility:.2f}",
        "mask_pixels": int(image.mask.sum()),
    }


def _fill_chunk(fab: SyntheticFab, path: Path, chunk: Sequence[tuple[int, PlannedImage]]) -> list[dict[str, Any]]:
    """Render a chunk into its own rows of the array; workers never share a row."""
    pixels = np.lib.format.open_memmap(path, mode="r+")
    rows = []
    for index, planned in chunk:
        image = fab.render(planned.wafer, planned.point)
        pixels[index] = image.pixels
        meta = image.meta
        rows.append(
            {
                "index": index,
                "lot": meta.lot,
                "wafer": meta.wafer,
                "inspection_point": meta.inspection_point,
                "site": meta.site,
                "family": str(meta.family),
                "station": meta.station,
            }
        )
    pixels.flush()
    return rows


def _save_png(path: Path, pixels: np.typing.NDArray[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Level 1: noise does not compress, so higher levels cost three times the time for 3 % of the bytes.
    Image.fromarray(pixels).save(path, compress_level=1)


def _write_table(path: Path, columns: Sequence[str], rows: Iterable[dict[str, Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, columns)
        table.writeheader()
        table.writerows(rows)


def _write_fab(out: Path, fab: SyntheticFab) -> None:
    known = {"seed": fab.seed, "options": fab.options.model_dump(mode="json")}
    (out / "fab.json").write_text(json.dumps(known, indent=2) + "\n", encoding="utf-8")
