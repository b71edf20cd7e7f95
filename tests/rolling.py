"""A home with registered versions of one bundle, which differ in where their bands lie."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from waferlens.bundle.manifest import read_manifest, write_manifest
from waferlens.lifecycle.registration import Told
from waferlens.lifecycle.rollout import Because
from waferlens.wiring.lifecycle import Life, open_life

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
