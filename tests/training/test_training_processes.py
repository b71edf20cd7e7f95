"""Runs in processes of their own: two in parallel, and one that is killed."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

HERE = Path(__file__).parent
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": os.pathsep.join(map(str, (HERE.parent, HERE))),
    "OMP_NUM_THREADS": "1",
}


def command(folder, out, *more):
    return [sys.executable, str(HERE / "runs.py"), str(folder), str(out), *map(str, more)]


def finish(folder, out, *more):
    subprocess.run(
        command(folder, out, *more), check=True, env=ENVIRONMENT, timeout=300, stdout=subprocess.DEVNULL
    )


def result(out, rank=0):
    return torch.load(f"{out}.{rank}", weights_only=True)


def same(first, second):
    return all(torch.equal(first[name], second[name]) for name in first)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("uninterrupted")
    finish(folder, folder / "out", 3)
    return result(folder / "out")


@pytest.mark.slow
@pytest.mark.parametrize("after", ["step 0 2", "step 2 1"])
def test_a_run_that_was_killed_goes_on_to_the_same_weights(tmp_path, uninterrupted, after):
    with subprocess.Popen(
        command(tmp_path / "run", tmp_path / "out", 3, 1, 0.3), env=ENVIRONMENT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.strip() == after:
                break
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert not (tmp_path / "out.0").exists()
    finish(tmp_path / "run", tmp_path / "out", 3)
    assert same(result(tmp_path / "out")["weights"], uninterrupted["weights"])


@pytest.mark.slow
def test_two_processes_end_with_one_set_of_weights_near_that_of_one_process(tmp_path, uninterrupted):
    finish(tmp_path / "run", tmp_path / "out", 3, 2)
    first, second = result(tmp_path / "out", 0), result(tmp_path / "out", 1)
    assert same(first["weights"], second["weights"])
    assert first["validation"] == second["validation"]
    assert first["validation"] == pytest.approx(uninterrupted["validation"], rel=0.05)


@pytest.mark.slow
def test_two_processes_finish_when_one_image_is_held_out(tmp_path):
    finish(tmp_path / "run", tmp_path / "out", 1, 2, 0, 9)
    first, second = result(tmp_path / "out", 0), result(tmp_path / "out", 1)
    assert same(first["weights"], second["weights"])
