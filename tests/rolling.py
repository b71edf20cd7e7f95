"""A home with registered versions of one bundle, which differ in where their bands lie, and its service."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import line
from waferlens.bundle.manifest import read_manifest, write_manifest
from waferlens.engines.pool import PoolOptions
from waferlens.inspection.facts import load_facts
from waferlens.lifecycle.registration import Told
from waferlens.lifecycle.rollout import Because
from waferlens.settings.service import ServiceSettings
from waferlens.wiring.engine import open_fleet
from waferlens.wiring.lifecycle import Life, open_life
from waferlens.wiring.record import open_record
from waferlens.wiring.serve import bundle_to_serve, start_service

WHY = Because(actor="ann", reason="a test")


def a_home_with_versions(folder: Path, like: Path, shifts: Sequence[float]) -> Life:
    """``vae-wafer-v1.0.0``, ``-v1.0.1`` and so on: a version a shift, by which its thresholds lie higher."""
    life = open_life(folder / "home")
    for number, shift in enumerate(shifts):
        bundle = folder / str(number)
        shutil.copytree(like, bundle)
        told = json.loads((bundle / "thresholds.json").read_text())
        told |= {name: told[name] + shift for name in ("review", "reject")}
        (bundle / "thresholds.json").write_text(json.dumps(told))
        write_manifest(bundle, read_manifest(bundle)["provenance"])
        life.register(bundle, Told(lineage={}), WHY, private_key=None, say=lambda text: None)
    return life


@contextmanager
def serving_champion(home: Path, settings: ServiceSettings) -> Iterator[line.Served]:
    """As ``waferlens serve`` does with the champion of a home."""
    bundle = bundle_to_serve(home, None)
    fleet = open_fleet(bundle, PoolOptions(engine="openvino", num_workers=1))
    service = start_service(load_facts(bundle), open_record(home), settings, fleet)
    try:
        with line.listening(service) as served:
            yield served
    finally:
        service.close()
