"""Verdicts become a data set that the readers of images take, with a fingerprint that knows what changed."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from PIL import Image
from review_examples import BAD, EVE, GOOD, REVIEW, SCRATCH, UNSURE, inspected, judged

from waferlens.errors import DataError
from waferlens.images.layouts import read_dataset
from waferlens.records import Label
from waferlens.review.dataset import export_dataset, is_for_test
from waferlens.storage.blobs import LocalBlobs
from waferlens.storage.reviewed import labelled_images


@pytest.fixture
def blobs(tmp_path):
    return LocalBlobs(tmp_path / "blobs")


def an_image(number):
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(number).integers(0, 255, (32, 32), dtype=np.uint8)).save(file, "PNG")
    return file.getvalue()


def image(database, review, blobs, number, data=None, **told):
    return inspected(database, review, REVIEW, original=blobs.put(data or an_image(number)), **told)


def exported(database, blobs, out, **told):
    with database.reading() as connection:
        labelled = list(labelled_images(connection, since_ms=0, until_ms=2**47))
    return export_dataset(labelled, blobs.get, out, **told)


@pytest.mark.parametrize("table", ["csv", "parquet"])
def test_what_people_settled_is_read_as_a_data_set(database, review, blobs, tmp_path, table):
    for number in range(6):
        image(database, review, blobs, number, wafer_id=f"WF-{number}", lot_id="L-1", inspection_point=number)
    for saying in (GOOD, GOOD, GOOD, SCRATCH, BAD, UNSURE):
        judged(review, saying)
    told = exported(database, blobs, tmp_path / "out", table=table)
    dataset = read_dataset(tmp_path / "out")
    refs = [*dataset.train, *dataset.test]
    assert len(refs) == 5
    assert {ref.label for ref in dataset.train} <= {Label.NORMAL}
    defects = [ref for ref in dataset.test if ref.label is Label.DEFECTIVE]
    assert sorted(ref.defect_type or "" for ref in defects) == ["", "scratch"]
    assert {(ref.lot, ref.wafer, ref.inspection_point) for ref in refs} == {
        ("L-1", f"WF-{number}", number) for number in range(5)
    }
    assert {ref.path.read_bytes() for ref in refs} == {an_image(number) for number in range(5)}
    assert (told.num_normal, told.num_defective, told.classes) == (3, 2, {"scratch": 1})
    assert json.loads((tmp_path / "out" / "dataset.json").read_text())["fingerprint"] == told.fingerprint


def test_a_wafers_normal_images_stay_on_the_side_where_they_were():
    sides = [is_for_test("L", f"WF-{number}") for number in range(400)]
    assert 150 < sum(sides) < 250
    assert sides == [is_for_test("L", f"WF-{number}") for number in range(400)]


def test_the_fingerprint_changes_with_a_verdict_and_with_nothing_else(database, review, blobs, tmp_path):
    image(database, review, blobs, 1)
    judged(review, GOOD)
    first, same = (exported(database, blobs, tmp_path / name).fingerprint for name in "ab")
    image(database, review, blobs, 2)
    judged(review, SCRATCH)
    assert first == same
    assert exported(database, blobs, tmp_path / "c").fingerprint != first


def test_the_same_bytes_count_once_and_not_at_all_where_people_contradict_themselves(
    database, review, blobs, tmp_path
):
    for number, saying in ((1, GOOD), (1, GOOD), (2, GOOD), (2, BAD), (3, BAD)):
        image(database, review, blobs, number)
        judged(review, saying)
    told = exported(database, blobs, tmp_path / "out")
    assert (told.num_normal, told.num_defective, told.num_contradicting) == (1, 1, 1)


def test_what_is_no_image_is_left_out_and_counted(database, review, blobs, tmp_path):
    for data in (b"torn", an_image(1)):
        image(database, review, blobs, 0, data)
        judged(review, BAD)
    told = exported(database, blobs, tmp_path / "out")
    assert (told.num_unreadable, told.num_defective) == (1, 1)


def test_known_answers_and_open_questions_are_not_exported(database, review, blobs, tmp_path):
    known = image(database, review, blobs, 1)
    review.known.add(EVE, known.id, Label.NORMAL, source="s")
    image(database, review, blobs, 2)
    with pytest.raises(DataError, match="nothing to export"):
        exported(database, blobs, tmp_path / "out")


def test_a_folder_that_holds_something_takes_no_data_set(database, review, blobs, tmp_path):
    image(database, review, blobs, 1)
    judged(review, GOOD)
    with pytest.raises(DataError, match="new or an empty folder"):
        exported(database, blobs, tmp_path)
