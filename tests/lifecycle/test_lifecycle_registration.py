"""Versions are registered whole or not at all, on the default file store and on a real MLflow server alike."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from lifecycle_examples import WHY, a_bundle

from waferlens.bundle.signature import write_keys
from waferlens.errors import BundleError, IllegalMove, RegistryError, WaferlensError
from waferlens.lifecycle.registration import Told
from waferlens.lifecycle.states import State
from waferlens.lifecycle.versions import Version
from waferlens.wiring.lifecycle import open_life

pytestmark = pytest.mark.slow
TOLD = Told(lineage={"verdicts": 3})


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A real MLflow server on loopback, with its own database and its own store of files."""
    folder = tmp_path_factory.mktemp("mlflow")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        Path(sys.executable).with_name("mlflow"), "server", "--host", "127.0.0.1", "--port", port,
        "--backend-store-uri", f"sqlite:///{folder / 'm.db'}", "--artifacts-destination", folder / "files",
        "--serve-artifacts", "--workers", 1,
    ]  # fmt: skip
    told = os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true", "OMP_NUM_THREADS": "1"}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [*map(str, command)], env=told | {"PATH": path}, stdout=log, stderr=log, start_new_session=True
        )
    try:
        ends = time.monotonic() + 180
        while True:
            assert process.poll() is None, (folder / "log").read_text()[-2000:]
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2):
                    break
            except OSError:
                assert time.monotonic() < ends
                time.sleep(0.5)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.fixture(params=["file", "server"])
def home(request, tmp_path, monkeypatch):
    """An empty home whose registry is a file in it, or a server."""
    if request.param == "server":
        monkeypatch.setenv("WAFERLENS_MLFLOW_URL", request.getfixturevalue("server"))
    return tmp_path / "home"


@pytest.fixture
def bundles(saved, tmp_path):
    """What a line would see: a first model, a new threshold, new weights, another product."""
    return [
        a_bundle(saved, tmp_path / "a"),
        a_bundle(saved, tmp_path / "b", review=1.5),
        a_bundle(saved, tmp_path / "c", scale=1.01),
        a_bundle(saved, tmp_path / "d", scale=1.02, name="other"),
    ]


def register(life, bundle, **told):
    return life.register(bundle, Told(lineage={}, **told), WHY, private_key=None, say=lambda text: None)


def test_three_versions_live_a_whole_life(home, bundles, server):
    life = open_life(home)
    if life.registry.url == server:  # other tests may not have left anything there
        assert life.registry.find("vae-wafer-v1.0.0") is None
    names = [register(life, bundle) for bundle in bundles]
    assert names == ["vae-wafer-v1.0.0", "vae-wafer-v1.0.1", "vae-wafer-v1.1.0", "vae-wafer-v2.0.0"]
    one, two, three, _ = names

    life.rollout.promote(WHY, one)
    for name in (two, three):
        life.rollout.start(name, WHY)
        life.rollout.canary(0.1, WHY)
        life.rollout.promote(WHY)
        life.follow()
    known = {name: life.registry.find(name) for name in (one, two, three)}
    assert [known[name].aliases for name in (one, two, three)] == [(), ("previous",), ("champion",)]
    assert known[three].tags["data_fingerprint"]
    assert known[three].tags["git_commit"]
    assert known[three].description.startswith("# vae-wafer v1.1.0")

    assert life.roll_back(WHY, None) == two
    life.follow()
    assert life.registry.find(two).aliases == ("champion",)
    assert life.follow() == []

    assert life.put_away(one, WHY) == [one]
    assert not (home / "bundles" / one).exists()
    assert life.verify(None)[one] == "in the archive"
    with pytest.raises(IllegalMove):
        life.put_away(two, WHY)
    life.archive.bring_back(one, WHY)
    assert life.verify(None) == dict.fromkeys(names, "in its folder")
    assert life.rollout.find(one).state == State.PREVIOUS
    fetched = life.registry.fetch(one, home.parent / "fetched")
    assert sorted(path.name for path in fetched.rglob("*.json")) == sorted(
        path.name for path in (home / "bundles" / one).rglob("*.json")
    )
    life.put_away(one, WHY)
    assert life.roll_back(WHY, one) == one  # an archived one comes back by itself
    changed = life.diff(one, three)
    assert (changed["step"], life.diff(one, two)["thresholds"]["review"][1]) == ("minor", 1.5)
    if life.registry.url == server:
        wipe(life, names)


def wipe(life, names):
    client = life.registry._client
    for name in names:
        client.delete_model_version("vae-wafer", life.registry.find(name).number)


@pytest.fixture
def local(tmp_path):
    return open_life(tmp_path / "home")


def test_a_tampered_bundle_is_refused_wherever_it_is_met(local, bundles):
    weights = bundles[0] / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    original = weights.read_bytes()
    weights.write_bytes(content)
    with pytest.raises(BundleError, match="altered"):
        register(local, bundles[0])
    assert local.rollout.versions() == []
    weights.write_bytes(original)
    name = register(local, bundles[0])
    (local.record.home / "bundles" / name / "model.safetensors").write_bytes(content)
    with pytest.raises(BundleError, match="altered"):
        local.verify(name)
    with pytest.raises(BundleError, match="altered"):
        local.put_away(name, WHY)


def test_a_version_that_was_altered_with_its_manifest_is_not_what_was_registered(local, bundles):
    from waferlens.bundle.manifest import read_manifest, write_manifest

    name = register(local, bundles[0])
    folder = local.record.home / "bundles" / name
    (folder / "thresholds.json").write_text((folder / "thresholds.json").read_text().replace("normals", "fixed"))
    write_manifest(folder, read_manifest(folder)["provenance"])
    with pytest.raises(BundleError, match="not what was registered"):
        local.verify(name)


def test_a_bucket_is_an_archive_too_and_what_was_altered_in_it_does_not_come_back(
    local, bundles, bucket, monkeypatch
):
    import boto3

    from waferlens.bundle.signature import verify_trusted

    monkeypatch.setenv("WAFERLENS_ARCHIVE_URL", bucket)
    place, endpoint = bucket.removeprefix("s3://").split("?endpoint=")
    client = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1")
    told = {"Bucket": place.split("/")[0]}
    name = register(local, bundles[0])
    local.put_away(name, WHY)
    assert not (local.record.home / "bundles" / name).exists()
    assert not (local.record.home / "archive").exists()
    assert local.verify(name)[name] == "in the archive"
    stored = client.list_objects_v2(**told)["Contents"]
    assert len(stored) > 10
    verify_trusted(local.archive.bring_back(name, WHY), None)
    assert local.rollout.find(name).state == State.REGISTERED
    local.put_away(name, WHY)
    largest = max(stored, key=lambda each: each["Size"])["Key"]
    content = client.get_object(**told, Key=largest)["Body"].read()
    client.put_object(**told, Key=largest, Body=content[:-1] + bytes([content[-1] ^ 1]))
    client.close()
    with pytest.raises(WaferlensError):
        local.archive.bring_back(name, WHY)
    assert local.rollout.find(name).state == State.ARCHIVED


def test_an_altered_file_in_the_archive_does_not_come_back(local, bundles):
    name = register(local, bundles[0])
    local.put_away(name, WHY)
    largest = max((local.record.home / "archive").rglob("*"), key=lambda path: path.stat().st_size)
    largest.write_bytes(largest.read_bytes()[:-1] + b"x")
    with pytest.raises(WaferlensError):
        local.archive.bring_back(name, WHY)
    assert local.rollout.find(name).state == State.ARCHIVED
    assert not (local.record.home / "bundles" / name).exists()


def test_the_same_bundle_is_registered_once_and_a_smaller_step_is_refused(local, bundles):
    first = register(local, bundles[0])
    assert register(local, bundles[0]) == first
    with pytest.raises(IllegalMove, match="learned anew"):
        register(local, bundles[2], asked=Version.parse("v1.0.1"))
    assert register(local, bundles[2], asked=Version.parse("v2.0.0")) == "vae-wafer-v2.0.0"
    with pytest.raises(IllegalMove, match="expected"):
        register(local, bundles[1], asked=Version.parse("v7.0.0"))
    assert len(local.rollout.versions()) == 2


def test_where_a_key_is_configured_the_registered_bundle_carries_its_signature(
    local, bundles, tmp_path, monkeypatch
):
    from waferlens.bundle.signature import sign_bundle, verify_trusted

    private, public = write_keys(tmp_path / "keys")
    monkeypatch.setenv("WAFERLENS_BUNDLE_KEY", str(public))
    with pytest.raises(BundleError, match="not signed"):
        register(local, bundles[0])
    sign_bundle(bundles[0], private)
    with pytest.raises(BundleError, match="signed here"):
        register(local, bundles[0])
    name = local.register(bundles[0], TOLD, WHY, private_key=private, say=lambda text: None)
    verify_trusted(local.record.home / "bundles" / name, public)
    local.put_away(name, WHY)
    verify_trusted(local.archive.bring_back(name, WHY), public)


def test_a_lost_registry_stops_a_registration_but_not_a_rollback(local, bundles, monkeypatch):
    names = [register(local, bundle) for bundle in bundles[:2]]
    local.rollout.promote(WHY, names[0])
    local.rollout.start(names[1], WHY)
    local.rollout.canary(0.1, WHY)
    local.rollout.promote(WHY)
    monkeypatch.setenv("WAFERLENS_MLFLOW_URL", "http://127.0.0.1:9")
    lost = open_life(local.record.home)
    assert lost.roll_back(WHY, None) == names[0]
    assert "does not follow yet" in lost.try_to_follow()[0]
    with pytest.raises(RegistryError):
        register(lost, bundles[2])
    monkeypatch.delenv("WAFERLENS_MLFLOW_URL")
    again = open_life(local.record.home)
    assert again.follow() == [f"champion is {names[0]}", f"previous is {names[1]}"]
    assert register(again, bundles[2]) == "vae-wafer-v1.1.0"


STEPS = """
import os, signal, sys
from pathlib import Path
from lifecycle_examples import WHY
from waferlens.lifecycle.registration import Told
from waferlens.wiring.lifecycle import open_life

die_after, calls = int(sys.argv[3]), 0
WATCHED = {"reserve_version", "copytree", "_rename", "replace", "create_run", "log_artifacts", "set_terminated",
    "create_model_version", "set_bundle_hash", "add_move", "append", "set_slot", "vacate_slot", "put", "archive",
    "rmtree", "delete_artifacts", "set_registered_model_alias", "restore", "note_head"}

def tracing(frame, event, _argument):
    global calls
    if event == "return" and frame.f_code.co_name in WATCHED:
        calls += 1
        if calls == die_after:
            os.kill(os.getpid(), signal.SIGKILL)

life = open_life(Path(sys.argv[1]))
life.registry
bundles = sorted(Path(sys.argv[2]).iterdir())
sys.setprofile(tracing)
names = [life.register(each, Told(lineage={}), WHY, private_key=None, say=print) for each in bundles]
roles = life.rollout.roles()
if roles.champion is None:
    life.rollout.promote(WHY, names[0])
for name in names[1:]:
    stored = life.rollout.find(name)
    if stored.state == "registered":
        life.rollout.start(name, WHY)
    if life.rollout.find(name).state == "shadow":
        life.rollout.canary(0.1, WHY)
    if life.rollout.find(name).state == "canary":
        life.rollout.promote(WHY)
    life.follow()
life.put_away(names[0], WHY)
sys.setprofile(None)
print("steps", calls)
"""


def run_steps(home: Path, bundles: Path, die_after: int) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parent)}
    command = [sys.executable, "-c", STEPS, str(home), str(bundles), str(die_after)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)


def test_kill_minus_9_between_any_two_steps_leaves_nothing_half_done_and_the_next_run_goes_on(bundles, tmp_path):
    """A process dies after every step in turn; each next one is killed one step later, then one comes to the
    end.
    """
    source = tmp_path / "source"
    source.mkdir()
    for bundle in bundles[:3]:
        shutil.copytree(bundle, source / bundle.name)
    whole = run_steps(tmp_path / "whole", source, 0)
    assert whole.returncode == 0, whole.stderr
    num_steps = int(whole.stdout.split()[-1])
    assert num_steps > 30
    stride = max(1, num_steps // int(os.environ.get("WAFERLENS_KILLS", "6")))
    home, kills = tmp_path / "killed", 0
    for die_after in range(1, num_steps, stride):
        ended = run_steps(home, source, die_after)
        kills += ended.returncode == -signal.SIGKILL
        check(home)
    assert kills >= 3
    ended = run_steps(home, source, 0)
    assert ended.returncode == 0, ended.stderr
    check(home)
    life = open_life(home)
    states = [each.state for each in life.rollout.versions()]
    assert states == [State.ARCHIVED, State.PREVIOUS, State.CHAMPION]
    assert not list((home / "bundles").glob(".re*"))
    assert life.follow() == []
    assert life.record.audit.verify() == len(life.rollout.history())
    assert len(life.verify(None)) == 3


def check(home: Path) -> None:
    """What must hold after any kill: one champion at most, and whatever is registered is whole and published."""
    life = open_life(home)
    versions = life.rollout.versions()
    assert sum(each.state == State.CHAMPION for each in versions) <= 1
    for each in versions:
        life.archive.verify(each.version)
        assert life.registry.find(each.version) is not None
    assert json.dumps([each.version for each in versions])
