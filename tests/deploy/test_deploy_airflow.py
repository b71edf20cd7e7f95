"""The pipeline of a retraining, run by a real Airflow in an environment of its own (``make airflow``)."""

from __future__ import annotations

import ast
import os
import subprocess
from pathlib import Path

import pytest

from waferlens.wiring.retrain import STEPS

ROOT = Path(__file__).parents[2]
DAG = ROOT / "deploy" / "airflow" / "waferlens_retrain.py"
AIRFLOW = ROOT / ".venv-airflow" / "bin" / "airflow"
FAKE = """#!/bin/sh
echo "$@" >> "{log}"
case "$*" in *"--until {fails}") exit 1;; esac
"""


def constant(name):
    """What the file says, without Airflow."""
    for node in ast.parse(DAG.read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
            return ast.literal_eval(node.value)
    raise AssertionError(name)


def test_the_tasks_are_the_steps_of_the_command():
    assert constant("STEPS") == STEPS
    assert set(constant("RETRIED")) < set(STEPS)
    assert 'schedule="0 3 1 * *"' in DAG.read_text()


@pytest.fixture(scope="module")
def airflow(tmp_path_factory):
    """Runs the pipeline's DAG on a database of its own; opens no port."""
    if not AIRFLOW.exists():
        pytest.fail("this test needs .venv-airflow: make airflow")
    folder = tmp_path_factory.mktemp("airflow")
    environment = os.environ | {
        "AIRFLOW_HOME": str(folder),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(DAG.parent),
        "PATH": f"{AIRFLOW.parent}{os.pathsep}{os.environ['PATH']}",
    }

    def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        told = environment | {f"AIRFLOW_VAR_{name.upper()}": value for name, value in variables.items()}
        return subprocess.run(
            [str(AIRFLOW), *arguments], env=told, capture_output=True, text=True, timeout=500, check=False
        )

    made = run("db", "migrate")
    assert made.returncode == 0, made.stderr[-2000:]
    return run


def told(folder: Path, fails: str = "nothing") -> dict[str, str]:
    command = folder / "waferlens"
    command.write_text(FAKE.format(log=folder / "log", fails=fails))
    command.chmod(0o755)
    return {
        "waferlens_command": str(command),
        "waferlens_home": str(folder / "home"),
        "waferlens_test": str(folder / "test"),
        "waferlens_options": "--seed 3",
    }


@pytest.mark.slow
def test_airflow_runs_every_step_in_its_order_with_one_runs_name(airflow, tmp_path):
    ran = airflow("dags", "test", "waferlens_retrain", "2026-07-01", **told(tmp_path))
    assert ran.returncode == 0, ran.stderr[-3000:]
    lines = (tmp_path / "log").read_text().splitlines()
    assert [line.split()[-1] for line in lines] == list(STEPS)
    assert {line.rsplit(" ", 1)[0] for line in lines} == {
        f"retrain --home {tmp_path}/home --test {tmp_path}/test --run 20260701T000000 --seed 3 --until"
    }


@pytest.mark.slow
def test_what_the_gate_refuses_is_not_registered(airflow, tmp_path):
    ran = airflow("dags", "test", "waferlens_retrain", "2026-08-01", **told(tmp_path, fails="gate"))
    lines = (tmp_path / "log").read_text().splitlines()
    assert [line.split()[-1] for line in lines] == list(STEPS[: STEPS.index("gate") + 1])
    assert ran.returncode != 0 or "failed" in (ran.stdout + ran.stderr)
