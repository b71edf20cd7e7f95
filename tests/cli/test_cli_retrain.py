"""From recorded inspections to a challenger in shadow; what is refused, and that every kill is survived."""

from __future__ import annotations

import io
import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from cli_examples import COMMAND
from PIL import Image

from waferlens.bundle.signature import PRIVATE_KEY, PUBLIC_KEY
from waferlens.lifecycle.states import State
from waferlens.storage.inspections import insert_inspection
from waferlens.wiring.lifecycle import open_life

sys.path.append(str(Path(__file__).parents[1] / "storage"))
from storage_examples import an_inspection

pytestmark = pytest.mark.slow
LAX = """
[extract]
min_images = 20
[poison]
max_lot_share = 0.25
max_ks = 0.7
max_ks_all = 0.6
[gate]
min_auroc = 0.0
min_auprc = 0.05
max_fnr_at_fpr5 = 1.0
min_pixel_auroc = 0.0
max_latency_ms = 5000.0
max_auroc_loss = 1.0
max_type_loss = 1.0
regression_p_value = 0.0001
"""


def record(life, images, lots):
    """What a line would have recorded: images that passed, an hour ago and later."""
    now_ms = time.time_ns() // 1_000_000 - 3_600_000
    with life.record.database.writing() as connection:
        for number, (image, lot) in enumerate(zip(images, lots, strict=True)):
            told = {"wafer_id": f"{lot}-{number}", "lot_id": lot, "received_ms": now_ms + number}
            name = life.record.blobs.put(image)
            insert_inspection(connection, an_inspection(original=name, num_bytes=len(image), **told))


def with_a_defect(image: bytes) -> bytes:
    """A bright square that nobody could overlook, except whoever let it pass."""
    pixels = np.array(Image.open(io.BytesIO(image)))
    pixels[96:160, 96:160] = 255
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="module")
def images(waferlens, tmp_path_factory):
    folder = tmp_path_factory.mktemp("line") / "fab"
    made = waferlens(
        "data",
        "synth",
        folder,
        "--train",
        48,
        "--test-normal",
        1,
        "--per-known",
        1,
        "--per-novel",
        1,
        "--seed",
        77,
    )
    assert made.code == 0, made.err
    return [path.read_bytes() for path in sorted((folder / "train" / "good").iterdir())]


@pytest.fixture
def home(tmp_path, waferlens, bundle, images):
    """A home with a champion and 48 images of 12 lots that passed."""
    folder = tmp_path / "home"
    for told in (
        ("register", bundle, "--home", folder, "--reason", "first"),
        ("promote", "--home", folder, "vae-wafer-v1.0.0", "--reason", "first"),
    ):
        ran = waferlens("models", *told)
        assert ran.code == 0, ran.err
    record(open_life(folder), images, [f"LOT-{number // 4}" for number in range(len(images))])
    return folder


@pytest.fixture
def told(tmp_path, fab, recipe):
    (tmp_path / "lax.toml").write_text(LAX)
    return ["--test", fab, "--recipe", recipe, "--limits", tmp_path / "lax.toml"]


def test_one_command_goes_from_the_record_to_a_challenger_in_shadow_through_any_kill(
    waferlens, environment, home, told
):
    steps = ["extract", "train", "gate"]
    command = [str(COMMAND), *map(str, ["retrain", "--home", home, "--run", "july", *told])]
    folder = home / "retraining" / "july"
    with (home / "log").open("wb") as log:
        for step in steps:
            process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
            ends = time.monotonic() + 300
            while not (folder / f"{step}.json").exists():
                assert process.poll() is None, (home / "log").read_text()[-3000:]
                assert time.monotonic() < ends
                time.sleep(0.01)
            process.send_signal(signal.SIGKILL)
            process.wait()
    ran = waferlens("retrain", "--home", home, "--run", "july", *told)
    assert ran.code == 0, ran.err
    assert "train: done before" in ran.err
    assert json.loads(ran.out)["version"] == "vae-wafer-v1.1.0"
    life = open_life(home)
    challenger = life.rollout.roles().challenger
    assert (challenger.version, challenger.state) == ("vae-wafer-v1.1.0", State.SHADOW)
    assert len(life.rollout.versions()) == 2
    known = life.registry.find("vae-wafer-v1.1.0")
    assert known.aliases == ("challenger",)
    lineage = json.loads(known.tags["lineage"])
    assert lineage["extract"]["num_images"] == 48
    assert lineage["validate"]["audit"].startswith("not enough data")
    gate = json.loads((folder / "challenger" / "gate.json").read_text())
    assert gate["passed"]
    assert {"image AUROC", "latency", "AUROC against the champion"} <= {each["name"] for each in gate["checks"]}
    again = waferlens("retrain", "--home", home, "--run", "july", *told)
    assert json.loads(again.out) == json.loads(ran.out)


def test_where_only_signed_bundles_are_loaded_what_is_retrained_is_signed(
    monkeypatch, waferlens, environment, bundle, images, told, tmp_path
):
    keys, home = tmp_path / "keys", tmp_path / "home"
    assert waferlens("bundle", "keygen", keys).code == 0
    monkeypatch.setitem(environment, "WAFERLENS_BUNDLE_KEY", str(keys / PUBLIC_KEY))
    signing = ("--key", keys / PRIVATE_KEY)
    shutil.copytree(bundle, tmp_path / "signed")
    assert waferlens("bundle", "sign", tmp_path / "signed", *signing).code == 0
    for line in (
        ("register", tmp_path / "signed", "--home", home, "--reason", "first", *signing),
        ("promote", "--home", home, "vae-wafer-v1.0.0", "--reason", "first"),
    ):
        ran = waferlens("models", *line)
        assert ran.code == 0, ran.err
    record(open_life(home), images, [f"LOT-{number // 4}" for number in range(len(images))])
    unsigned = waferlens("retrain", "--home", home, "--run", "unsigned", *told)
    assert "nothing signs the new one; expected --key" in unsigned.error
    assert not (home / "retraining" / "unsigned" / "bundle").exists()
    ran = waferlens("retrain", "--home", home, "--run", "signed", *told, *signing)
    assert ran.code == 0, ran.err
    challenger = open_life(home).rollout.roles().challenger
    assert (challenger.version, challenger.state) == ("vae-wafer-v1.1.0", State.SHADOW)
    assert (
        waferlens("bundle", "verify", home / "bundles" / challenger.version, "--key", keys / PUBLIC_KEY).code == 0
    )


def test_the_gate_refuses_a_model_that_misses_the_case_studys_limits_naming_each(
    waferlens, home, fab, recipe, tmp_path
):
    (tmp_path / "strict.toml").write_text(LAX.split("[gate]")[0])
    told = ["--test", fab, "--recipe", recipe, "--limits", tmp_path / "strict.toml"]
    ran = waferlens("retrain", "--home", home, "--run", "worse", *told)
    assert ran.code == 1
    (error,) = (line for line in ran.err.splitlines() if line.startswith("error: "))
    assert "the gate refuses this model" in error
    assert "image AUROC" in error
    life = open_life(home)
    assert life.rollout.roles().challenger is None
    assert len(life.rollout.versions()) == 1


def test_a_poisoned_lot_is_refused_by_name_before_anything_is_learned(waferlens, home, told, images):
    record(open_life(home), [with_a_defect(image) for image in images[:10]], ["LOT-BAD"] * 10)
    ran = waferlens("retrain", "--home", home, "--run", "poisoned", *told)
    assert "may be poisoned" in ran.error
    assert "LOT-BAD" in ran.error
    assert not (home / "retraining" / "poisoned" / "bundle").exists()


def test_another_test_set_or_one_that_training_saw_is_refused(waferlens, home, told, fab, images):
    assert waferlens("retrain", "--home", home, "--run", "a", *told, "--until", "extract").code == 0
    ran = waferlens("retrain", "--home", home, "--run", "a", *told, "--until", "extract", "--seed", 5)
    assert "another run" in ran.error
    other = ["--test", home / "retraining", *told[2:]]
    assert "not the frozen test set" in waferlens("retrain", "--home", home, "--run", "b", *other).error
    seen = min((fab / "test" / "good").iterdir()).read_bytes()
    record(open_life(home), [seen], ["LOT-LEAK"])
    ran = waferlens("retrain", "--home", home, "--run", "c", *told, "--until", "validate")
    assert "two parts of the data" in ran.error


def test_audits_are_asked_for_and_count(waferlens, home, told):
    command = ["retrain", "--home", home, "--run", "audited", *told, "--until", "validate"]
    assert "up to" in waferlens(*command, "--audited", 10, "--defective", 1).error
    ran = waferlens(*command, "--audited", 60)
    assert json.loads(ran.out)["audit"] == "0 of 60 defective, at most 4.87%"
    sample = (home / "retraining" / "audited" / "audit.csv").read_text().splitlines()
    assert len(sample) == 49


def test_a_training_is_logged_once_with_its_curves(bundle, tmp_path):
    from mlflow import MlflowClient

    from waferlens.lifecycle.tracking import track_training

    url = f"sqlite:///{tmp_path / 'mlflow.db'}"
    run = track_training(url, bundle)
    assert track_training(url, bundle) == run
    client = MlflowClient(tracking_uri=url)
    told, history = client.get_run(run), json.loads((bundle / "history.json").read_text())
    curve = client.get_metric_history(run, "validation_reconstruction")
    assert [each.value for each in curve] == [epoch["validation_reconstruction"] for epoch in history]
    assert told.data.params["network.kind"] == "pixel-vae"
    assert told.data.metrics["system/peak_memory_megabytes"] > 0
    assert told.info.status == "FINISHED"
