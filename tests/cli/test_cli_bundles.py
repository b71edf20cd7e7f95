"""``bundle`` and ``triton``: keys, signatures and repositories from the command line."""

from __future__ import annotations

import json
import os
import shutil

import pytest

from waferlens.bundle.signature import PRIVATE_KEY, PUBLIC_KEY


@pytest.fixture
def bundle(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / "bundle")


def test_a_bundle_is_signed_and_verified(here, bundle, tmp_path):
    keys = tmp_path / "keys"
    made = here("bundle", "keygen", keys)
    assert made.code == 0
    assert PRIVATE_KEY in made.out
    unsigned = here("bundle", "verify", bundle, "--key", keys / PUBLIC_KEY)
    assert (unsigned.code, unsigned.out) == (1, "")
    assert "is not signed" in unsigned.err
    assert here("bundle", "sign", bundle, "--key", keys / PRIVATE_KEY).code == 0
    verified = here("bundle", "verify", bundle, "--key", keys / PUBLIC_KEY, "--json")
    assert verified.code == 0
    told = json.loads(verified.out)
    assert (told["signed"], told["num_files"]) == (True, len(list(bundle.iterdir())) - 2)
    assert here("bundle", "keygen", keys).code == 1


def test_without_a_key_only_hashes_are_verified_and_the_answer_says_so(here, bundle):
    ran = here("bundle", "verify", bundle)
    assert ran.code == 0
    assert "nothing says who made it" in ran.out
    assert json.loads(here("bundle", "verify", bundle, "--json").out)["signed"] is False
    (bundle / "card.md").write_text("altered")
    assert here("bundle", "verify", bundle).code == 1


def test_the_configured_key_is_asked_for_by_every_command_that_loads_a_bundle(here, bundle, tmp_path, monkeypatch):
    keys = tmp_path / "keys"
    here("bundle", "keygen", keys)
    monkeypatch.setitem(os.environ, "WAFERLENS_BUNDLE_KEY", str(keys / PUBLIC_KEY))
    for line in (
        ("inspect", bundle, "image.png"),
        ("export", bundle),
        ("bench", bundle),
        ("evaluate", bundle, tmp_path, "--out", tmp_path / "report"),
        ("pod", bundle, tmp_path, "--out", tmp_path / "pod"),
        ("robustness", bundle, tmp_path, "--out", tmp_path / "robustness"),
        ("triton", "export", bundle, tmp_path / "out"),
        ("bundle", "verify", bundle),
    ):
        ran = here(*line)
        assert ran.code == 1, line
        assert "is not signed" in ran.err, line
    monkeypatch.setitem(os.environ, "WAFERLENS_BUNDLE_KEY", str(tmp_path / "gone.pem"))
    ran = here("inspect", bundle, "image.png")
    assert ran.code == 1
    assert "WAFERLENS_BUNDLE_KEY" in ran.err


@pytest.mark.slow
def test_triton_export_names_model_version_and_folders(here, exported, tmp_path):
    ran = here("triton", "export", exported, tmp_path / "out", "--gpu", 0, "--gpu", 1, "--json")
    assert ran.code == 0, ran.err
    told = json.loads(ran.out)
    assert told == {
        "model": "vae-wafer-tiny",
        "version": "v0.1.0",
        "number": "1000",
        "pytorch": str(tmp_path / "out" / "pytorch"),
        "python": str(tmp_path / "out" / "python"),
    }
    assert "gpus: [ 0, 1 ]" in (tmp_path / "out" / "pytorch" / told["model"] / "config.pbtxt").read_text()
    assert "version 1000" in here("triton", "export", exported, tmp_path / "out").out
