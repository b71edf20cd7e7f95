"""The command line on a tiny synthetic fab: the real command in processes of its own, and ``main`` in this one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cli_examples import COMMAND, SEED, Ran, write_recipe

# The generator of hostile files lives with the tests of the chapter that must refuse them.
sys.path.append(str(Path(__file__).parents[1] / "images"))


@pytest.fixture(scope="session")
def environment(tmp_path_factory):
    """A cache of the session's own; one worker and one thread, because the tests share their machine."""
    told = {"WAFERLENS_CACHE": str(tmp_path_factory.mktemp("cache")), "WAFERLENS_WORKERS": "1"}
    return os.environ | told | {"OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="session")
def waferlens(environment):
    """Runs the installed command as a shell would."""

    def run(*arguments: object) -> Ran:
        command = [str(COMMAND), *map(str, arguments)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=500, check=False)
        return Ran(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def here(capfd, environment, one_thread):
    """Runs ``main`` in this process: the same answers, without three seconds of imports."""
    from waferlens.cli.main import main

    def run(*arguments: object) -> Ran:
        capfd.readouterr()
        with pytest.MonkeyPatch.context() as told:
            for name in ("WAFERLENS_CACHE", "WAFERLENS_WORKERS"):
                told.setenv(name, environment[name])
            with pytest.raises(SystemExit) as ended:
                main([str(argument) for argument in arguments])
        captured = capfd.readouterr()
        return Ran(int(ended.value.code or 0), captured.out, captured.err)

    return run


@pytest.fixture(scope="session")
def fab(waferlens, tmp_path_factory) -> Path:
    """24 normal images to learn from; 6 normal and 10 defective ones to evaluate on; novel types apart."""
    folder = tmp_path_factory.mktemp("data") / "fab"
    counts = {"--train": 24, "--test-normal": 6, "--per-known": 2, "--per-novel": 1}
    made = waferlens("data", "synth", folder, *(part for pair in counts.items() for part in pair))
    assert made.code == 0, made.err
    return folder


@pytest.fixture(scope="session")
def recipe(tmp_path_factory) -> Path:
    return write_recipe(tmp_path_factory.mktemp("recipes") / "tiny.toml")


@pytest.fixture(scope="session")
def bundle(waferlens, fab, recipe, tmp_path_factory) -> Path:
    """What ``train`` writes. Tests that change a bundle copy it first."""
    folder = tmp_path_factory.mktemp("bundles") / "tiny"
    trained = waferlens("train", fab, "--recipe", recipe, "--out", folder, "--seed", SEED)
    assert trained.code == 0, trained.err
    return folder


@pytest.fixture
def altered(bundle, tmp_path) -> Path:
    """A bundle with one bit of one weight turned over."""
    folder = tmp_path / "altered"
    shutil.copytree(bundle, folder)
    weights = bytearray((folder / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (folder / "model.safetensors").write_bytes(weights)
    return folder


@pytest.fixture
def normal_image(fab) -> Path:
    return min((fab / "test" / "good").iterdir())


@pytest.fixture
def torn_image(normal_image, tmp_path) -> Path:
    """The first half of an image file."""
    path = tmp_path / "torn.png"
    whole = normal_image.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    return path
