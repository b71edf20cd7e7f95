"""A folder or a manifest becomes a data set, or an error that lists what is wrong."""

from __future__ import annotations

import pyarrow
import pyarrow.parquet
import pytest
from trees import write_image, write_mask, write_mvtec

from waferlens.errors import DataError
from waferlens.images.layouts import read_dataset
from waferlens.records import Label


def write_csv(root, *rows):
    path = root / "manifest.csv"
    path.write_text("\n".join(rows) + "\n")
    return path


def names(refs):
    return [ref.name for ref in refs]


def test_the_mvtec_layout(tmp_path):
    dataset = read_dataset(write_mvtec(tmp_path))
    assert dataset.layout == "mvtec"
    assert names(dataset.train) == [f"train/good/00{n}.png" for n in range(4)]
    assert [ref.label for ref in dataset.test] == [Label.NORMAL] * 2 + [Label.DEFECTIVE] * 2
    assert dataset.test[2].defect_type == "scratch"
    assert dataset.test[2].mask == tmp_path / "ground_truth/scratch/000_mask.png"
    assert len({ref.group for ref in dataset.train}) == 4


def test_an_evaluation_only_mvtec_root(tmp_path):
    root = write_mvtec(tmp_path, num_train=0)
    dataset = read_dataset(root)
    assert dataset.layout == "mvtec"
    assert dataset.train == ()
    assert len(dataset.test) == 4


def test_an_mvtec_root_without_masks_is_for_image_metrics(tmp_path):
    write_image(tmp_path / "test/good/0.png", 0)
    write_image(tmp_path / "test/scratch/0.png", 1)
    assert [ref.mask for ref in read_dataset(tmp_path).test] == [None, None]


def test_a_manifest_beside_an_mvtec_tree_gives_wafers(tmp_path):
    root = write_mvtec(tmp_path)
    rows = [f"train/good/00{n}.png,normal,L1,W{n // 2},{n}" for n in range(4)]
    rows += [f"test/good/00{n}.png,normal,L2,W9,{n}" for n in range(2)]
    rows += [f"test/scratch/00{n}.png,defective,L2,W9,{n}" for n in range(2)]
    write_csv(root, "path,label,lot,wafer,inspection_point", *rows)
    dataset = read_dataset(root)
    assert [ref.group for ref in dataset.train] == ["wafer:L1/W0"] * 2 + ["wafer:L1/W1"] * 2
    assert dataset.test[2].mask is not None
    assert dataset.train[3].inspection_point == 3
    write_csv(root, "path,label,lot,wafer,inspection_point", *rows[:-1])
    with pytest.raises(DataError, match=r"test/scratch/001.png: no row in the manifest"):
        read_dataset(root)


def test_folder_and_manifest_must_agree(tmp_path):
    root = write_mvtec(tmp_path, num_train=1)
    rows = ["train/good/000.png,normal", "test/good/000.png,defective", "test/good/001.png,normal"]
    rows += [f"test/scratch/00{n}.png,defective" for n in range(2)]
    write_csv(root, "path,label", *rows)
    with pytest.raises(DataError, match="normal by its folder, defective by the manifest"):
        read_dataset(root)


def test_a_plain_folder_is_all_normal_at_any_depth(tmp_path):
    write_image(tmp_path / "b.png", 0)
    write_image(tmp_path / "lot1" / "w1" / "a.PNG", 1)
    (tmp_path / "notes.txt").write_text("focus was adjusted")
    dataset = read_dataset(tmp_path)
    assert dataset.layout == "plain"
    assert names(dataset.train) == ["b.png", "lot1/w1/a.PNG"]
    assert {ref.label for ref in dataset.train} == {Label.NORMAL}
    assert dataset.ignored == (tmp_path / "notes.txt",)


@pytest.mark.parametrize("suspicious", ["defective", "NG", "Bad"])
def test_a_plain_folder_with_a_folder_of_defects_is_refused(tmp_path, suspicious):
    write_image(tmp_path / "ok" / "0.png", 0)
    write_image(tmp_path / suspicious / "0.png", 1)
    with pytest.raises(DataError, match="normal images only"):
        read_dataset(tmp_path)


def manifest_tree(root):
    for number in range(3):
        write_image(root / f"{number}.png", number)
    write_mask(root / "m.png")
    return root


COLUMNS = "path,label,split,lot,wafer,inspection_point,defect_type,mask"
ROWS = ("2.png,defective,test,L1,W2,7,scratch,m.png", "0.png,normal,train,L1,W1,1,,", "1.png,normal,,L1,W1,2,,")


def test_a_manifest_says_what_each_image_is(tmp_path):
    path = write_csv(manifest_tree(tmp_path), COLUMNS, *ROWS)
    dataset = read_dataset(path)
    assert dataset == read_dataset(tmp_path)
    assert names(dataset.train) == ["0.png", "1.png"]
    assert {ref.group for ref in dataset.train} == {"wafer:L1/W1"}
    (defective,) = dataset.test
    assert defective.mask == tmp_path / "m.png"
    assert (defective.defect_type, defective.inspection_point) == ("scratch", 7)


def test_parquet_and_csv_say_the_same(tmp_path):
    from_csv = read_dataset(write_csv(manifest_tree(tmp_path), COLUMNS, *ROWS))
    cells = [[cell or None for cell in row.split(",")] for row in ROWS]
    columns = {name: [row[n] for row in cells] for n, name in enumerate(COLUMNS.split(","))}
    columns["inspection_point"] = [int(point) for point in columns["inspection_point"]]
    (tmp_path / "manifest.csv").unlink()
    pyarrow.parquet.write_table(pyarrow.table(columns), tmp_path / "manifest.parquet")
    assert read_dataset(tmp_path) == from_csv


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("0.png,good,,,,,,", "label must be normal, defective or unknown, found 'good'"),
        ("0.png,defective,train,,,,,", "defective image in train"),
        ("0.png,unknown,train,,,,,", "unknown image in train"),
        ("0.png,normal,valid,,,,,", "split must be train or test"),
        ("0.png,normal,,,,x,,", "whole number"),
        ("nothing.png,normal,,,,,,", "image not found: nothing.png"),
        ("0.png,defective,,,,,,nothing.png", "mask not found"),
        ("0.png,normal,,,,,,m.png", "a mask for a normal image"),
        (",normal,,,,,,", "no path"),
    ],
)
def test_a_wrong_row_is_named(tmp_path, row, message):
    write_csv(manifest_tree(tmp_path), COLUMNS, "1.png,normal,,,,,,", row)
    with pytest.raises(DataError, match=r"manifest\.csv row 2: .*" + message):
        read_dataset(tmp_path)


@pytest.mark.parametrize("again", ["0.png", "./0.png", "lot/../0.png"])
def test_an_image_in_two_rows_is_refused(tmp_path, again):
    (tmp_path / "lot").mkdir()
    write_csv(manifest_tree(tmp_path), "path,label", "0.png,normal", f"{again},normal")
    with pytest.raises(DataError, match="stands in 2 rows"):
        read_dataset(tmp_path)


@pytest.mark.parametrize("header", ["path", "label", "path,label,waffer", "path,label,label"])
def test_columns_must_be_known_and_complete(tmp_path, header):
    write_csv(manifest_tree(tmp_path), header, ",".join("x" for _ in header.split(",")))
    with pytest.raises(DataError, match="columns of the manifest"):
        read_dataset(tmp_path)


def test_a_ragged_or_binary_manifest_is_refused(tmp_path):
    path = write_csv(manifest_tree(tmp_path), "path,label", "0.png")
    with pytest.raises(DataError, match="ragged"):
        read_dataset(path)
    path.write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(DataError, match="cannot be read"):
        read_dataset(path)
    (tmp_path / "manifest.csv").rename(tmp_path / "manifest.parquet")
    with pytest.raises(DataError, match="cannot be read"):
        read_dataset(tmp_path)


def test_two_manifests_are_a_guess_that_is_not_made(tmp_path):
    write_csv(manifest_tree(tmp_path), "path,label", "0.png,normal")
    (tmp_path / "manifest.parquet").write_bytes(b"")
    with pytest.raises(DataError, match="two manifests"):
        read_dataset(tmp_path)


@pytest.mark.parametrize(
    ("misplaced", "message"),
    [
        ("train/scratch/0.png", "training takes normal images"),
        ("test/0.png", "must stand in"),
        ("test/scratch/9.png", "mask not found"),
        ("ground_truth/scratch/9_mask.png", "a mask without a defective image"),
    ],
)
def test_what_is_misplaced_in_an_mvtec_tree_is_named(tmp_path, misplaced, message):
    write_image(write_mvtec(tmp_path) / misplaced, 9)
    with pytest.raises(DataError, match=message):
        read_dataset(tmp_path)


def test_nothing_there_is_an_error(tmp_path):
    with pytest.raises(DataError, match="no images"):
        read_dataset(tmp_path)
    with pytest.raises(DataError, match="not found"):
        read_dataset(tmp_path / "nowhere")
    with pytest.raises(DataError, match="not a data set"):
        read_dataset(write_image(tmp_path / "a.png", 0))
