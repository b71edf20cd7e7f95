"""``waferlens models`` and ``waferlens rollout``: record, registry and archive put together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from waferlens.bundle.contents import load_config, read_json
from waferlens.errors import RegistryError
from waferlens.inspection.ports import NobodyWatching
from waferlens.lifecycle.archive import Archive
from waferlens.lifecycle.registration import Keys, Registration, Told
from waferlens.lifecycle.registry import Registry
from waferlens.lifecycle.roles import Roles
from waferlens.lifecycle.rollout import Because, Rollout
from waferlens.lifecycle.states import Slot, State
from waferlens.lifecycle.versions import Identity, step_between
from waferlens.settings.environment import bundle_key
from waferlens.settings.service import archive_url, bundles_folder, load_service_settings, registry_url
from waferlens.storage.blobs import BlobStore, LocalBlobs
from waferlens.storage.model_versions import StoredVersion
from waferlens.storage.s3 import open_s3
from waferlens.wiring.guardrails import Check, Guard
from waferlens.wiring.record import Record, open_record
from waferlens.wiring.settled import SettledEscapes


@dataclass(frozen=True)
class Life:
    """The models of a home. The registry is opened when it is first needed: a rollback does not wait for it."""

    record: Record
    rollout: Rollout

    @property
    def bundles(self) -> Path:
        """Where every registered version has its folder, but those in the archive."""
        return bundles_folder(self.record.home)

    @cached_property
    def registry(self) -> Registry:
        """Raises RegistryError, ModuleNotFoundError."""
        url = registry_url(self.record.home)
        return Registry(url, None if url.startswith("http") else self.record.home / "mlflow")

    @cached_property
    def archive(self) -> Archive:
        """Raises what opening the registry or the store raises."""
        return Archive(self.bundles, _open_archive(self.record.home), self.rollout, self.registry, bundle_key())

    def register(
        self, bundle: Path, told: Told, why: Because, *, private_key: Path | None, say: Callable[[str], None]
    ) -> str:
        """See ``Registration.register``."""
        keys = Keys(public=bundle_key(), private=private_key)
        registration = Registration(self.bundles, self.record.database, self.rollout, self.registry, keys)
        return registration.register(bundle, told, why, say)

    def roll_back(self, why: Because, to: str | None, *, refuse: bool = False) -> str:
        """See ``Rollout.roll_back``; a version that rests in the archive comes back first."""
        if to is not None and self.rollout.find(to).state == State.ARCHIVED:
            self.archive.bring_back(to, why)
        return self.rollout.roll_back(why, to, refuse=refuse)

    def follow(self) -> list[str]:
        """Bring the registry's aliases to the record's roles; what was changed. Raises RegistryError."""
        return self.registry.follow(aliases_of(self.rollout.roles()))

    def try_to_follow(self) -> list[str]:
        """The same, but a registry that is lost is only reported: the record has decided already."""
        try:
            return self.follow()
        except (RegistryError, ModuleNotFoundError) as error:
            return [f"the registry does not follow yet: {error}"]

    def put_away(self, version: str | None, why: Because) -> list[str]:
        """Archive one version, or every one beyond the newest five; what was archived."""
        due = [version] if version is not None else self.archive.due()
        for each in due:
            self.archive.put_away(each, why)
        return due

    def describe(self, version: str) -> dict[str, Any]:
        """What record and registry say about a version."""
        stored, known = self.rollout.find(version), self.registry.find(version)
        return {
            **summary(stored),
            "moves": [vars(move) for move in self.rollout.history(version)],
            "registry": None if known is None else vars(known),
        }

    def verify(self, version: str | None) -> dict[str, str]:
        """Where each version is whole. Raises BundleError for the first that is not what was registered."""
        versions = [version] if version else [each.version for each in self.rollout.versions()]
        return {each: self.archive.verify(each) for each in versions}

    def diff(self, old: str, new: str) -> dict[str, Any]:
        """What changed from one version to another: the step, the recipe, the figures."""
        step, reason = step_between(*(Identity.from_json(self.rollout.find(each).identity) for each in (old, new)))
        before, after = (self.bundles / each for each in (old, new))
        return {
            "from": old,
            "to": new,
            "step": step.name.lower(),
            "why": reason,
            "recipe": _changes(load_config(before).recipe, load_config(after).recipe),
            "thresholds": _changes(read_json(before / "thresholds.json"), read_json(after / "thresholds.json")),
            "metrics": _changes(_figures(before), _figures(after)),
        }


def open_life(home: Path) -> Life:
    """The models of a home folder. Raises what opening the record raises."""
    record = open_record(home)
    return Life(record, Rollout(record.database, record.audit))


def advance(life: Life, share: float, *, actor: str, reason: str) -> str:
    """The challenger's next step, in words. Raises IllegalMove."""
    roles, why = life.rollout.roles(), Because(actor=actor, reason=reason)
    if roles.challenger is not None and roles.challenger.state == State.CANARY:
        return f"{life.rollout.promote(why)} is champion"
    return f"{life.rollout.canary(share, why)} is a canary on {share:.1%} of wafers"


def check_guardrails(life: Life) -> list[Check]:
    """One look by a command. Raises DatabaseLost, OptionsError."""
    options, database = load_service_settings(life.record.home).guardrails, life.record.database
    return Guard(database, life.rollout, NobodyWatching(), options, SettledEscapes(database)).check()


def aliases_of(roles: Roles) -> dict[str, str | None]:
    """The registry's aliases for some roles."""
    holders = {Slot.CHAMPION: roles.champion, Slot.CHALLENGER: roles.challenger, Slot.PREVIOUS: roles.previous}
    return {str(slot): None if holder is None else holder.version for slot, holder in holders.items()}


def summary(stored: StoredVersion) -> dict[str, Any]:
    """A version for people and scripts."""
    told = vars(stored)
    return {name: told[name] for name in ("version", "state", "slot", "product", "canary_share", "created_ms")} | {
        "bundle_sha256": stored.bundle_hash,
        "changed_ms": stored.changed_ms,
    }


def _open_archive(home: Path) -> BlobStore:
    url = archive_url()
    return open_s3(url) if url is not None else LocalBlobs(home / "archive")


def _figures(bundle: Path) -> dict[str, Any]:
    path = bundle / "metrics.json"
    return dict(read_json(path)) if path.exists() else {}


def _changes(old: Any, new: Any, prefix: str = "") -> dict[str, list[Any]]:
    """Entries that differ, by dotted name: [old, new]."""
    found: dict[str, list[Any]] = {}
    for name in sorted({*old, *new}):
        before, after = old.get(name), new.get(name)
        if isinstance(before, dict) and isinstance(after, dict):
            found |= _changes(before, after, f"{prefix}{name}.")
        elif before != after:
            found[f"{prefix}{name}"] = [before, after]
    return found
