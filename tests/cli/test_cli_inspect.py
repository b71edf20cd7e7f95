"""``inspect``: one answer a file, whatever the file; what cannot be read is REVIEW, never PASS."""

from __future__ import annotations

import json

import pytest
from hostile import KINDS, hostile_files
from PIL import Image

NUM_HOSTILE = 10 * len(KINDS)


def answers(ran):
    return [json.loads(line) for line in ran.out.splitlines()]


def test_one_json_object_a_line_in_the_order_of_the_files(here, bundle, fab):
    files = sorted((fab / "test").rglob("*.png"))
    ran = here("inspect", bundle, *files, "--json")
    assert ran.code == 0, ran.err
    assert [answer["file"] for answer in answers(ran)] == [str(file) for file in files]
    for answer in answers(ran):
        assert answer["decision"] in ("PASS", "REVIEW", "REJECT")
        assert 0 <= answer["confidence"] <= 1
        assert 0 < answer["p_value"] <= 1
        assert len(answer["latent_vector"]) == 128
        assert answer["reconstruction_error"] >= 0
        assert answer["inference_time_ms"] > 0
        assert answer["model_version"].startswith("vae-wafer-tiny-v")


def test_decisions_follow_the_thresholds_of_the_bundle(here, bundle, fab):
    thresholds = json.loads((bundle / "thresholds.json").read_text())
    for answer in answers(here("inspect", bundle, *(fab / "test").rglob("*.png"), "--json")):
        score = answer["anomaly_score"]
        expected = "PASS" if score < thresholds["review"] else "REVIEW"
        assert answer["decision"] == ("REJECT" if score >= thresholds["reject"] else expected)


def test_a_torn_file_is_review_with_a_reason_and_the_next_file_is_still_inspected(
    here, bundle, torn_image, normal_image
):
    ran = here("inspect", bundle, torn_image, normal_image, "--json")
    torn, whole = answers(ran)
    assert ran.code == 1
    assert torn["decision"] == "REVIEW"
    assert "torn.png" in torn["reason"]
    assert torn["anomaly_score"] is None
    assert torn["confidence"] == 0
    assert whole["anomaly_score"] is not None
    assert whole["reason"] is None


def test_a_missing_file_and_a_folder_are_review(here, bundle, tmp_path):
    ran = here("inspect", bundle, tmp_path / "nowhere.png", tmp_path, "--json")
    assert ran.code == 1
    assert [answer["decision"] for answer in answers(ran)] == ["REVIEW", "REVIEW"]
    assert all(answer["reason"] for answer in answers(ran))


def test_every_image_gets_a_picture_and_files_of_one_name_are_kept_apart(
    here, bundle, normal_image, torn_image, tmp_path
):
    pictures = tmp_path / "pictures [1]"
    ran = here("inspect", bundle, normal_image, torn_image, normal_image, "--heatmaps", pictures, "--json")
    first, torn, second = answers(ran)
    assert torn["heatmap"] is None
    assert first["heatmap"] != second["heatmap"]
    assert {str(path) for path in pictures.iterdir()} == {first["heatmap"], second["heatmap"]}
    for path in pictures.iterdir():
        with Image.open(path) as picture:
            assert picture.format == "PNG"
            assert picture.width > 3 * 256
    assert (pictures / first["heatmap"]).read_bytes() == (pictures / second["heatmap"]).read_bytes()


def test_without_json_a_table_names_every_file(here, bundle, normal_image, torn_image):
    ran = here("inspect", bundle, normal_image, torn_image)
    assert ran.code == 1
    assert "REVIEW" in ran.out
    assert "torn" in ran.out


@pytest.mark.parametrize("engine", ["pytorch", "torchscript", "onnxruntime", "openvino"])
def test_every_32_bit_engine_gives_the_same_answer(here, bundle, normal_image, engine):
    reference = answers(here("inspect", bundle, normal_image, "--engine", "pytorch", "--json"))[0]
    answer = answers(here("inspect", bundle, normal_image, "--engine", engine, "--json"))[0]
    assert answer["decision"] == reference["decision"]
    assert answer["anomaly_score"] == pytest.approx(reference["anomaly_score"], abs=1e-3)


def test_two_hundred_hostile_files_are_two_hundred_reviews_in_one_run(waferlens, bundle, tmp_path):
    files = hostile_files(tmp_path, seed=2, count=NUM_HOSTILE)
    ran = waferlens("inspect", bundle, *files, "--json")
    assert ran.code == 1
    assert ran.err == ""
    assert [answer["file"] for answer in answers(ran)] == [str(file) for file in files]
    refused = [answer for answer in answers(ran) if answer["anomaly_score"] is None]
    assert len(refused) >= 200
    for answer in refused:
        assert answer["decision"] == "REVIEW"
        assert answer["reason"]
        assert "\n" not in answer["reason"]
    readable = {answer["file"] for answer in answers(ran)} - {answer["file"] for answer in refused}
    assert all("/flip-" in file for file in readable)
