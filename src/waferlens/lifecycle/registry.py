"""The MLflow model registry: what a version is, for everybody who looks there. The only module that knows MLflow.

Every call may be repeated: a process that was killed between two of them is followed by one that makes all of them
again. Aliases are a copy of the record's roles, never read to decide anything.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from waferlens.errors import RegistryError
from waferlens.lifecycle.versions import LINE

EXPERIMENT = "waferlens-models"
VERSION_TAG, HASH_TAG = "waferlens.version", "waferlens.bundle_sha256"
_BUNDLE, _REPORT = "bundle", "report"
_LONGEST_VALUE = 500
_LONGEST_TEXT = 5000
_REQUEST_SECONDS = "10"


@dataclass(frozen=True, kw_only=True)
class Published:
    """What the registry is told about a version.

    folder: the registered bundle. bundle_hash: SHA-256 of its manifest. card: Markdown. params, metrics: flat.
    tags: lineage. report: folder with the evaluation, if any.
    """

    version: str
    folder: Path
    bundle_hash: str
    card: str
    params: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    report: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Known:
    """What the registry says about a version."""

    version: str
    number: str
    run_id: str
    source: str
    description: str
    tags: dict[str, str]
    aliases: tuple[str, ...]


class Registry:
    """A registry at an address: ``http://...`` of a server, or ``sqlite:///FILE`` with artifacts in a folder."""

    def __init__(self, url: str, artifacts: Path | None = None) -> None:
        """artifacts: where files go when there is no server to take them.

        Raises RegistryError, ModuleNotFoundError.
        """
        for name, value in (("MLFLOW_DISABLE_TELEMETRY", "true"), ("DO_NOT_TRACK", "true")):
            os.environ.setdefault(name, value)  # nothing leaves the building
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", _REQUEST_SECONDS)
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
        from mlflow import MlflowClient

        self.url = url
        with naming_losses():
            self._client = MlflowClient(tracking_uri=url, registry_uri=url)
            found = self._client.get_experiment_by_name(EXPERIMENT)
            place = None if artifacts is None else artifacts.absolute().as_uri()
            self._experiment = found.experiment_id if found else self._client.create_experiment(EXPERIMENT, place)
            self._prepare_line()

    def publish(self, told: Published) -> Known:
        """Make a version known with all its files; again, and nothing more happens. Raises RegistryError."""
        with naming_losses():
            known = self._find(told.version)
            if known is not None:
                return _same(known, told)
            run_id = self._run_of(told)
            for name, value in told.params.items():
                self._client.log_param(run_id, name, value[:_LONGEST_VALUE])
            for name, figure in told.metrics.items():
                self._client.log_metric(run_id, name, figure)
            self._client.log_artifacts(run_id, str(told.folder), _BUNDLE)
            if told.report is not None:
                self._client.log_artifacts(run_id, str(told.report), _REPORT)
            self._client.set_terminated(run_id)
            uri = self._client.get_run(run_id).info.artifact_uri
            # The version comes last: whoever finds it finds everything.
            self._client.create_model_version(
                LINE,
                source=f"{uri}/{_BUNDLE}",
                run_id=run_id,
                tags={**told.tags, VERSION_TAG: told.version, HASH_TAG: told.bundle_hash},
                description=told.card[:_LONGEST_TEXT],
            )
            found = self._find(told.version)
        if found is None:
            raise RegistryError(f"{told.version} was published and cannot be found", expected="its entry")
        return found

    def find(self, version: str) -> Known | None:
        """A version by its name. Raises RegistryError."""
        with naming_losses():
            return self._find(version)

    def follow(self, roles: Mapping[str, str | None]) -> list[str]:
        """Bring the aliases to these roles (alias to version); returns what had to be changed.

        Raises RegistryError.
        """
        changed = []
        with naming_losses():
            now = {alias: str(number) for alias, number in self._client.get_registered_model(LINE).aliases.items()}
            for alias, version in roles.items():
                known = None if version is None else self._find(version)
                due = None if known is None else known.number
                if now.get(alias) == due:
                    continue
                changed.append(f"{alias} is {version or 'nobody'}")
                if due is None:
                    self._client.delete_registered_model_alias(LINE, alias)
                else:
                    self._client.set_registered_model_alias(LINE, alias, due)
        return changed

    def tell(self, version: str, tag: str, value: str) -> None:
        """Note something about a version. Raises RegistryError."""
        with naming_losses():
            known = self._find(version)
            if known is not None:
                self._client.set_model_version_tag(LINE, known.number, tag, value)

    def fetch(self, version: str, into: Path) -> Path:
        """Copy a version's bundle into a new folder; the caller verifies it. Raises RegistryError."""
        with naming_losses():
            known = self._find(version)
            if known is None:
                raise RegistryError(f"{version} is not in the registry", expected="a published version")
            into.mkdir(parents=True, exist_ok=True)
            return Path(self._client.download_artifacts(known.run_id, _BUNDLE, str(into)))

    def drop_files(self, version: str) -> None:
        """Forget a version's bundle, keep everything else: it is in the archive. Raises RegistryError."""
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        with naming_losses():
            known = self._find(version)
            if known is not None and any(
                entry.path == _BUNDLE for entry in self._client.list_artifacts(known.run_id)
            ):
                uri = self._client.get_run(known.run_id).info.artifact_uri
                get_artifact_repository(uri, tracking_uri=self.url).delete_artifacts(_BUNDLE)

    def put_files_back(self, version: str, folder: Path) -> None:
        """Bring a version's bundle back. Raises RegistryError."""
        with naming_losses():
            known = self._find(version)
            if known is not None:
                self._client.log_artifacts(known.run_id, str(folder), _BUNDLE)

    def _prepare_line(self) -> None:
        from mlflow.exceptions import MlflowException

        try:
            self._client.create_registered_model(LINE, description="Wafer inspection models of this line.")
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise

    def _run_of(self, told: Published) -> str:
        """The run that carries a version's figures and files; the one of an attempt that was cut short, if any."""
        runs = self._client.search_runs([self._experiment], f"tags.`{HASH_TAG}` = '{told.bundle_hash}'")
        if runs:
            return str(runs[0].info.run_id)
        tags = {**told.tags, VERSION_TAG: told.version, HASH_TAG: told.bundle_hash}
        return str(self._client.create_run(self._experiment, tags=tags, run_name=told.version).info.run_id)

    def _find(self, version: str) -> Known | None:
        found = self._client.search_model_versions(f"name = '{LINE}' and tags.`{VERSION_TAG}` = '{version}'")
        if not found:
            return None
        whole: Any = self._client.get_model_version(LINE, found[0].version)
        return Known(
            version=version,
            number=str(whole.version),
            run_id=str(whole.run_id),
            source=str(whole.source),
            description=str(whole.description or ""),
            tags=dict(whole.tags),
            aliases=tuple(sorted(whole.aliases)),
        )


def flat(content: Any, prefix: str = "") -> dict[str, Any]:
    """Nested objects to dotted names; lists are left out: they are in the files."""
    found: dict[str, Any] = {}
    for name, value in content.items():
        if isinstance(value, dict):
            found |= flat(value, f"{prefix}{name}.")
        elif isinstance(value, str | int | float) and not isinstance(value, bool):
            found[f"{prefix}{name}"] = value
    return found


def _same(known: Known, told: Published) -> Known:
    found = known.tags.get(HASH_TAG)
    if found != told.bundle_hash:
        raise RegistryError(
            f"the registry holds another {told.version}", expected=told.bundle_hash[:16], found=str(found)[:16]
        )
    return known


@contextmanager
def naming_losses() -> Iterator[None]:
    """Whatever MLflow raises is RegistryError."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except (MlflowException, OSError) as error:
        found = " ".join(str(error).split())[:300]
        raise RegistryError("the model registry failed", expected="an answer", found=found) from error
