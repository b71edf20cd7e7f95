"""Bundles that differ in one thing, made of one tiny trained detector; and versions of a record without any."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from safetensors.numpy import load_file, save_file

from waferlens.bundle.manifest import read_manifest, write_manifest
from waferlens.lifecycle.rollout import Because, Rollout
from waferlens.lifecycle.versions import Identity, Version
from waferlens.storage.database import Database
from waferlens.storage.model_versions import reserve_version

WHY = Because(actor="ann", reason="a test")
IDENTITY = Identity(contract={"product": "tiny"}, learned="0", product="tiny").to_json()


def a_bundle(
    like: Path, folder: Path, *, scale: float = 1.0, review: float | None = None, name: str = "tiny"
) -> Path:
    """A copy with weights scaled (learned anew), another threshold (a patch) or another product (a major step)."""
    shutil.copytree(like, folder)
    if scale != 1.0:
        weights = load_file(folder / "model.safetensors")
        first = min(weights)
        save_file(weights | {first: weights[first] * scale}, folder / "model.safetensors")
    if review is not None:
        thresholds = json.loads((folder / "thresholds.json").read_text())
        (folder / "thresholds.json").write_text(json.dumps(thresholds | {"review": review}))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"recipe": config["recipe"] | {"name": name}}))
    write_manifest(folder, read_manifest(folder)["provenance"])
    return folder


def registered(database: Database, rollout: Rollout, *versions: str) -> list[str]:
    """Versions of the record alone: a rollout moves them without looking at files."""
    names = [Version.parse(each).name for each in versions]
    for name in names:
        with database.writing() as connection:
            reserve_version(connection, name, source_hash=name, product="tiny", identity=IDENTITY)
        rollout.register(name, WHY)
    return names
