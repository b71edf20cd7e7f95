"""From a bundle to a registered version, in steps that may each be the last one of this process.

    reserve a name ─► HOME/bundles/NAME, whole ─► the registry ─► registered

The name belongs to the bundle's manifest: the same bundle handed in again goes on where it stopped. Only the
last step makes a version: nobody sees a half-registered one.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from waferlens.bundle.contents import load_config, read_json
from waferlens.bundle.manifest import FILE_NAME, read_manifest, sha256_of, write_manifest
from waferlens.bundle.signature import sign_bundle, verify_trusted
from waferlens.errors import BundleError
from waferlens.lifecycle.registry import Published, Registry, flat
from waferlens.lifecycle.rollout import Because, Rollout
from waferlens.lifecycle.versions import (
    LINE,
    Identity,
    Version,
    check_asked,
    identity_of,
    next_version,
    step_between,
)
from waferlens.storage.blobs import sync_folder, write_durably
from waferlens.storage.database import Database
from waferlens.storage.model_versions import (
    StoredVersion,
    all_versions,
    find_source,
    reserve_version,
    set_bundle_hash,
)

_STAGING = ".registering-"


@dataclass(frozen=True, kw_only=True)
class Keys:
    """public: what bundles must be signed by, if anything. private: signs the registered one."""

    public: Path | None = None
    private: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Told:
    """What is registered beside the bundle.

    lineage: images, verdicts, recipe. report: folder of its evaluation.
    """

    lineage: Mapping[str, Any]
    report: Path | None = None
    asked: Version | None = None


class Registration:
    """Registers bundles of one record."""

    def __init__(
        self, bundles: Path, database: Database, rollout: Rollout, registry: Registry, keys: Keys
    ) -> None:
        """bundles: the folder in which every registered one gets its own."""
        self._bundles = bundles
        self._database, self._rollout, self._registry, self._keys = database, rollout, registry, keys

    def register(self, bundle: Path, told: Told, why: Because, say: Callable[[str], None]) -> str:
        """The version of a bundle, once it is registered; of one that is already, the version that it has.

        Raises BundleError when the bundle is not what was saved or not signed, IllegalMove for a version that the
        rule does not allow, RegistryError.
        """
        verify_trusted(bundle, self._keys.public)
        source, identity = sha256_of(bundle / FILE_NAME), identity_of(bundle)
        stored = self._reserved(source, identity, told.asked, say)
        if stored.state is not None:
            say(f"{stored.version} is this bundle already")
            return stored.version
        folder = self._made(bundle, Version.parse(stored.version), source)
        bundle_hash = sha256_of(folder / FILE_NAME)
        self._registry.publish(_published(folder, stored.version, bundle_hash, told))
        with self._database.writing() as connection:
            set_bundle_hash(connection, stored.version, bundle_hash)
        self._rollout.register(stored.version, why)
        return stored.version

    def _reserved(
        self, source: str, identity: Identity, asked: Version | None, say: Callable[[str], None]
    ) -> StoredVersion:
        with self._database.writing() as connection:
            found = find_source(connection, source)
            if found is None:
                taken = {Version.parse(each.version): each for each in all_versions(connection)}
                newest = max(taken, default=None)
                before = None if newest is None else Identity.from_json(taken[newest].identity)
                step, reason = step_between(before, identity)
                due = next_version(newest, step)
                if asked is not None:
                    check_asked(asked, due, reason, taken)
                version = asked or due
                say(f"{version.name}: {reason}")
                reserve_version(
                    connection,
                    version.name,
                    source_hash=source,
                    product=identity.product,
                    identity=identity.to_json(),
                )
                found = find_source(connection, source)
        assert found is not None
        return found

    def _made(self, bundle: Path, version: Version, source: str) -> Path:
        """``HOME/bundles/NAME``, which appears whole or not at all."""
        folder = self._bundles / version.name
        if folder.exists():
            manifest = verify_trusted(folder, self._keys.public)
            if manifest["provenance"].get("registered_from") != source:
                raise BundleError(f"{folder} is another bundle", expected=f"a copy of {source[:16]}")
            return folder
        staging = self._bundles / f"{_STAGING}{version.name}"
        shutil.rmtree(staging, ignore_errors=True)
        self._bundles.mkdir(parents=True, exist_ok=True)
        shutil.copytree(bundle, staging, ignore=shutil.ignore_patterns(".*"))
        self._rename(staging, version, source)
        for path in staging.rglob("*"):
            if path.is_file():
                with path.open("rb") as file:
                    os.fsync(file.fileno())
        staging.replace(folder)
        sync_folder(self._bundles)
        return folder

    def _rename(self, staging: Path, version: Version, source: str) -> None:
        """Give a copy its name: in its configuration, its card and its manifest, which is signed again."""
        if self._keys.public is not None and self._keys.private is None:
            raise BundleError(
                "a registered bundle must be signed here, since a key is configured",
                expected="the private key: its name is part of what is signed",
            )
        config = load_config(staging).model_copy(update={"name": LINE, "version": version.short})
        write_durably(staging / "config.json", _json(config.model_dump(mode="json")))
        card = (staging / "card.md").read_text(encoding="utf-8") if (staging / "card.md").exists() else ""
        body = card.split("\n", 1)[1] if card.startswith("# ") and "\n" in card else card
        write_durably(staging / "card.md", f"# {LINE} {version.short}\n{body}".encode())
        write_manifest(staging, read_manifest(staging)["provenance"] | {"registered_from": source})
        if self._keys.private is not None:
            sign_bundle(staging, self._keys.private)
        verify_trusted(staging, self._keys.public)


def _published(folder: Path, version: str, bundle_hash: str, told: Told) -> Published:
    config, origin = load_config(folder), read_manifest(folder)["provenance"]
    figures: dict[str, Any] = {}
    for name, path in (("", folder / "metrics.json"), ("evaluation.", (told.report or folder) / "metrics.json")):
        if path.exists() and (not name or told.report):
            figures |= {f"{name}{key}": value for key, value in flat(read_json(path)).items()}
    tags = {
        "git_tag": version,
        "git_commit": str(origin.get("git_commit")),
        "data_fingerprint": str(origin.get("data_fingerprint")),
        "command": str(origin.get("command")),
        "seed": str(config.seed),
        "product": str(config.recipe.get("name", "default")),
        "registered_from": str(origin.get("registered_from")),
        "lineage": json.dumps(dict(told.lineage), sort_keys=True)[:4900],
    }
    return Published(
        version=version,
        folder=folder,
        bundle_hash=bundle_hash,
        card=(folder / "card.md").read_text(encoding="utf-8"),
        params={name: str(value) for name, value in flat(config.recipe).items()},
        metrics={name: float(value) for name, value in figures.items() if isinstance(value, int | float)},
        tags=tags,
        report=told.report,
    )


def _json(content: Any) -> bytes:
    return (json.dumps(content, indent=2) + "\n").encode()
