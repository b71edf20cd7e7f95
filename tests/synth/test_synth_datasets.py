"""What a synthetic data set holds and how it lies on disk."""

from __future__ import annotations

import csv
import hashlib
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from waferlens.errors import DataError, OptionsError
from waferlens.images.synth.defects import KNOWN_KINDS, NOVEL_KINDS, DefectKind
from waferlens.images.synth.fab import FabOptions, SyntheticFab
from waferlens.images.synth.plans import PRESETS, Counts, Part, plan_dataset, plan_training, preset
from waferlens.images.synth.work import map_chunks
from waferlens.images.synth.writing import MANIFEST_COLUMNS, write_mvtec, write_packed

SMALL = Counts(train=9, test_normal=4, per_known=1, novel_normal=2, per_novel=1)


@pytest.fixture(scope="module")
def fab() -> SyntheticFab:
    return SyntheticFab(seed=4)


@pytest.fixture(scope="module")
def written(fab: SyntheticFab, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("synth") / "data"
    write_mvtec(fab, plan_dataset(SMALL, fab.layout.num_points), out)
    return out


def fingerprints(root: Path) -> dict[str, str]:
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_a_preset_plans_what_it_counts(name: str) -> None:
    counts = preset(name)
    plan = list(plan_dataset(counts, 228))
    assert len(plan) == counts.total
    found = Counter((image.part, image.kind) for image in plan)
    assert found[Part.TRAIN, None] == counts.train
    assert found[Part.TEST, None] == counts.test_normal
    assert found[Part.NOVEL, None] == counts.novel_normal
    assert all(found[Part.TEST, kind] == counts.per_known for kind in KNOWN_KINDS)
    assert all(found[Part.NOVEL, kind] == counts.per_novel for kind in NOVEL_KINDS)


def test_the_case_study_preset_validates_on_1000_normal_and_200_defective_images() -> None:
    counts = preset("case-study")
    assert (counts.test_normal, counts.per_known * len(KNOWN_KINDS)) == (1000, 200)


def test_an_unknown_preset_is_refused_with_the_known_ones_named() -> None:
    with pytest.raises(OptionsError, match="expected one of demo, case-study; found tiny"):
        preset("tiny")


def test_no_wafer_is_shared_and_no_image_repeated() -> None:
    plan = list(plan_dataset(preset("case-study"), 228))
    wafers = [{image.wafer for image in plan if image.part is part} for part in Part]
    assert len(set.union(*wafers)) == sum(len(part) for part in wafers)
    assert len({(image.wafer, image.point) for image in plan}) == len(plan)


def test_each_kind_is_spread_over_wafers_and_sites() -> None:
    plan = list(plan_dataset(preset("case-study"), 228))
    for kind in DefectKind:
        of_kind = [image for image in plan if image.kind is kind]
        assert len({image.wafer for image in of_kind}) == 24
        assert set(Counter(image.point % 4 for image in of_kind).values()) == {10}


def test_the_test_part_does_not_change_with_the_number_of_training_images() -> None:
    few, many = (preset("demo").model_copy(update={"train": train}) for train in (10, 9000))
    tests = [[image for image in plan_dataset(c, 228) if image.part is not Part.TRAIN] for c in (few, many)]
    assert tests[0] == tests[1]


def test_half_a_million_training_images_are_distinct_and_planned_lazily() -> None:
    plan = plan_training(500_000, 228)
    first = next(plan)
    assert first.kind is None
    assert len({(image.wafer, image.point) for image in plan}) == 499_999


def test_a_plan_of_no_images_is_empty() -> None:
    assert list(plan_dataset(Counts(train=0, test_normal=0, per_known=0, novel_normal=0, per_novel=0), 228)) == []


def test_the_folder_is_in_the_mvtec_layout_with_the_novel_kinds_apart(written: Path) -> None:
    assert len(list((written / "train" / "good").glob("*.png"))) == SMALL.train
    assert {path.name for path in (written / "test").iterdir()} == {"good", *KNOWN_KINDS}
    assert {path.name for path in (written / "ground_truth").iterdir()} == set(KNOWN_KINDS)
    assert {path.name for path in (written / "novel" / "test").iterdir()} == {"good", *NOVEL_KINDS}
    assert not (written / "novel" / "train").exists()


def test_the_manifest_names_every_image_once_with_its_wafer_and_mask(written: Path) -> None:
    for root, total in ((written, 9 + 4 + 5), (written / "novel", 2 + 3)):
        rows = rows_of(root / "manifest.csv")
        assert tuple(rows[0]) == MANIFEST_COLUMNS
        assert len(rows) == len({row["path"] for row in rows}) == total
        for row in rows:
            assert (root / row["path"]).is_file()
            assert row["wafer"].startswith("WF-")
            assert (row["label"] == "defective") == bool(row["defect_type"]) == bool(row["mask"])
            assert row["split"] == row["path"].split("/")[0]


def test_image_and_mask_files_hold_what_the_fab_renders(written: Path, fab: SyntheticFab) -> None:
    row = next(row for row in rows_of(written / "manifest.csv") if row["defect_type"] == "bridge")
    wafer = int(row["wafer"].removeprefix("WF-"))
    image = fab.render_kind(wafer, int(row["inspection_point"]), DefectKind.BRIDGE)
    np.testing.assert_array_equal(np.asarray(Image.open(written / row["path"])), image.pixels)
    np.testing.assert_array_equal(np.asarray(Image.open(written / row["mask"])), image.mask * 255)


def test_two_processes_write_the_same_bytes_as_one(written: Path, fab: SyntheticFab, tmp_path: Path) -> None:
    finished: list[int] = []
    plan = plan_dataset(SMALL, fab.layout.num_points)
    total = write_mvtec(fab, plan, tmp_path / "two", workers=2, progress=finished.append)
    assert sum(finished) == total == SMALL.total
    assert fingerprints(tmp_path / "two") == fingerprints(written)


def test_the_fab_that_made_a_folder_can_be_built_again_from_it(written: Path, fab: SyntheticFab) -> None:
    known = json.loads((written / "fab.json").read_text(encoding="utf-8"))
    again = SyntheticFab(FabOptions.model_validate(known["options"]), seed=known["seed"])
    np.testing.assert_array_equal(again.render(3, 3).pixels, fab.render(3, 3).pixels)


def test_a_packed_array_holds_the_training_images_of_the_folder_in_order(
    written: Path, fab: SyntheticFab, tmp_path: Path
) -> None:
    pixels = np.load(write_packed(fab, SMALL.train, tmp_path / "packed"), mmap_mode="r")
    rows = [row for row in rows_of(written / "manifest.csv") if row["split"] == "train"]
    meta = rows_of(tmp_path / "packed" / "meta.csv")
    assert pixels.shape == (SMALL.train, 256, 256)
    for index, (row, entry) in enumerate(zip(rows, meta, strict=True)):
        assert (entry["index"], entry["wafer"]) == (str(index), row["wafer"])
        np.testing.assert_array_equal(pixels[index], np.asarray(Image.open(written / row["path"])))


def test_a_folder_with_files_in_it_is_refused(written: Path, fab: SyntheticFab) -> None:
    before = fingerprints(written)
    with pytest.raises(DataError, match="expected an empty or new folder; found files in it"):
        write_mvtec(fab, plan_training(1, 228), written)
    assert fingerprints(written) == before


def test_sixteen_bit_images_survive_the_disk(tmp_path: Path) -> None:
    fab = SyntheticFab(FabOptions.model_validate({"optics": {"bits": 16}}), seed=0)
    write_mvtec(fab, plan_training(1, fab.layout.num_points), tmp_path / "fine")
    (path,) = (tmp_path / "fine" / "train" / "good").glob("*.png")
    np.testing.assert_array_equal(np.asarray(Image.open(path)), fab.render(0, 0).pixels)


def test_chunks_come_in_order_and_fewer_than_one_worker_is_refused() -> None:
    assert list(map_chunks(sum, range(7), workers=1, chunk_size=3)) == [3, 12, 6]
    assert list(map_chunks(sum, range(7), workers=2, chunk_size=2)) == [1, 5, 9, 6]
    with pytest.raises(OptionsError, match="number of workers"):
        list(map_chunks(sum, range(7), workers=0))
