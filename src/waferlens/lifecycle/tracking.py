"""Training runs in MLflow tracking, where a server is configured: parameters, losses of every epoch, figures,
the machine.

Told once, when the bundle is finished, from the files in it: a run that was resumed three times is one run with
one curve.
"""

from __future__ import annotations

import os
import resource
from pathlib import Path
from typing import Any

from waferlens.bundle.contents import load_config, read_json
from waferlens.bundle.manifest import read_manifest
from waferlens.lifecycle.registry import flat, naming_losses

EXPERIMENT = "waferlens-training"
_RUN_TAG = "waferlens.run"
_CURVES = ("reconstruction", "kl", "total", "validation_reconstruction", "beta", "learning_rate", "seconds")
_LONGEST_VALUE = 500


def track_training(url: str, bundle: Path) -> str:
    """Log a finished training; its run id.

    Logged before, nothing happens. Raises RegistryError, ModuleNotFoundError.
    """
    for name in ("MLFLOW_DISABLE_TELEMETRY", "DO_NOT_TRACK"):
        os.environ.setdefault(name, "true")
    from mlflow import MlflowClient

    origin: dict[str, Any] = read_manifest(bundle)["provenance"]
    config = load_config(bundle)
    with naming_losses():
        client = MlflowClient(tracking_uri=url, registry_uri=url)
        found = client.get_experiment_by_name(EXPERIMENT)
        experiment = found.experiment_id if found else client.create_experiment(EXPERIMENT)
        run = str(origin.get("run", ""))
        before = client.search_runs(
            [experiment], f"tags.`{_RUN_TAG}` = '{run}' and attributes.status = 'FINISHED'"
        )
        if before:
            return str(before[0].info.run_id)
        tags = {
            _RUN_TAG: run,
            **{name: str(origin.get(name)) for name in ("data_fingerprint", "git_commit", "command")},
        }
        started: str = client.create_run(experiment, tags=tags, run_name=config.recipe.get("name")).info.run_id
        for name, value in flat(config.recipe).items():
            client.log_param(started, name, str(value)[:_LONGEST_VALUE])
        for epoch in read_json(bundle / "history.json"):
            for name in _CURVES:
                client.log_metric(started, name, float(epoch[name]), step=int(epoch["epoch"]))
        figures = {f"bundle/{name}": value for name, value in flat(read_json(bundle / "metrics.json")).items()}
        figures |= {f"system/{name}": value for name, value in _machine().items()}
        for name, value in figures.items():
            if isinstance(value, int | float):
                client.log_metric(started, name, float(value))
        client.set_terminated(started)
    return started


def _machine() -> dict[str, float]:
    """What this process has used: peak memory in MB, processor seconds, cores."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "peak_memory_megabytes": used.ru_maxrss / 1024,
        "processor_seconds": used.ru_utime + used.ru_stime,
        "cores": float(os.cpu_count() or 1),
    }
