"""The doctor reports; it never raises for what it finds."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hostile import KINDS, encode, hostile_files
from trees import write_image, write_mask, write_mvtec

from waferlens.images.doctor import check_dataset
from waferlens.images.options import ImageOptions

OPTIONS = ImageOptions()


def save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode(pixels, "PNG"))


def test_a_sound_data_set_is_ok(tmp_path):
    report = check_dataset(write_mvtec(tmp_path), OPTIONS)
    assert report.ok
    assert report.problems == report.warnings == ()
    assert report.counts == {"train": {"normal": 4}, "test": {"normal": 2, "scratch": 2}}
    assert report.groups == {"train": 4, "test": 4}
    assert (report.sizes, report.depths, report.formats) == ({"256x256": 8}, {"8": 8}, {"PNG": 8})
    assert report.num_masks == 2
    assert json.loads(json.dumps(report.as_dict()))["ok"] is True


def test_no_hostile_file_stops_the_doctor(tmp_path):
    paths = hostile_files(tmp_path, seed=3, count=2 * len(KINDS))
    report = check_dataset(tmp_path, OPTIONS)
    assert not report.ok
    assert report.num_unreadable >= len(paths) - 2
    assert all(
        any(path.name in problem for problem in report.problems) for path in paths if "flip" not in path.name
    )


@pytest.mark.parametrize("what", ["missing", "size", "empty", "stray", "torn"])
def test_masks_that_do_not_fit_are_problems(tmp_path, what):
    mask = write_mvtec(tmp_path) / "ground_truth" / "scratch" / "000_mask.png"
    if what == "missing":
        mask.unlink()
    elif what == "size":
        write_mask(mask, side=300)
    elif what == "empty":
        save(mask, np.zeros((256, 256), np.uint8))
    elif what == "stray":
        write_mask(tmp_path / "ground_truth" / "good" / "000_mask.png")
    else:
        mask.write_bytes(b"torn")
    report = check_dataset(tmp_path, OPTIONS)
    assert len(report.problems) == 1
    assert "mask" in report.problems[0]


def test_duplicates_across_are_a_problem_and_inside_a_warning(tmp_path):
    root = write_mvtec(tmp_path)
    write_image(root / "train" / "good" / "copy.png", 0)
    assert check_dataset(root, OPTIONS).ok
    assert "copy.png" in check_dataset(root, OPTIONS).warnings[0]
    write_image(root / "test" / "good" / "copy.png", 1)
    report = check_dataset(root, OPTIONS)
    assert report.duplicates_across == (("test/good/copy.png", "train/good/001.png"),)
    assert "train and test" in report.problems[0]


def test_twelve_bit_values_in_sixteen_are_noticed(tmp_path):
    for number in range(3):
        pixels = np.random.default_rng(number).integers(0, 4096, (256, 256)).astype(np.uint16)
        save(tmp_path / f"{number}.png", pixels)
    assert any("bit_depth 12" in warning for warning in check_dataset(tmp_path, OPTIONS).warnings)
    assert check_dataset(tmp_path, ImageOptions(bit_depth=12)).warnings == ()


@pytest.mark.parametrize(
    ("pixels", "word"),
    [
        (np.full((256, 256), 7, np.uint8), "constant"),
        (np.eye(256, dtype=np.uint8), "almost black"),
        (255 - np.eye(256, dtype=np.uint8), "almost white"),
        (
            np.where(np.arange(256) < 100, 255, np.arange(256)).astype(np.uint8) * np.ones((256, 1), np.uint8),
            "top",
        ),
    ],
)
def test_strange_exposures_are_warnings(tmp_path, pixels, word):
    save(tmp_path / "a.png", pixels)
    report = check_dataset(tmp_path, OPTIONS)
    assert report.ok
    assert any(word in warning for warning in report.warnings)


def test_mixed_sizes_and_depths_are_warnings(tmp_path):
    save(tmp_path / "a.png", np.random.default_rng(0).integers(0, 255, (512, 512)).astype(np.uint8))
    write_image(tmp_path / "b.png", 1, "uint16")
    assert len(check_dataset(tmp_path, OPTIONS).warnings) == 2


def test_wafers_on_both_sides_are_a_warning(tmp_path):
    write_image(tmp_path / "a.png", 0)
    write_image(tmp_path / "b.png", 1)
    (tmp_path / "manifest.csv").write_text("path,label,split,wafer\na.png,normal,train,7\nb.png,normal,test,7\n")
    assert any("wafer:7" in warning for warning in check_dataset(tmp_path, OPTIONS).warnings)


def test_what_is_no_data_set_is_a_report_too(tmp_path):
    for root in (tmp_path, tmp_path / "nowhere"):
        report = check_dataset(root, OPTIONS)
        assert not report.ok
        assert report.counts == {"train": {}, "test": {}}


def test_many_images_are_read_by_several_processes(tmp_path):
    for number in range(260):
        write_image(tmp_path / f"{number}.png", number)
    steps = []
    report = check_dataset(tmp_path, OPTIONS, workers=2, progress=lambda done, total: steps.append(done))
    assert report == check_dataset(tmp_path, OPTIONS)
    assert steps == list(range(1, 261))
