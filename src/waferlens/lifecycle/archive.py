"""Versions that nobody uses rest in a store of blobs, file by file by their hashes, and come back on demand.

Files that several versions share are kept once. What comes back is compared with its hash twice: by the store, and
by the manifest. The order of every step is such that a kill leaves the files in one of the two places, or in both.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from waferlens.bundle.manifest import FILE_NAME, SIGNATURE, sha256_of
from waferlens.bundle.signature import verify_trusted
from waferlens.errors import BundleError, IllegalMove
from waferlens.lifecycle.registry import Registry
from waferlens.lifecycle.rollout import Because, Rollout
from waferlens.lifecycle.states import LEGAL, State, check_move
from waferlens.lifecycle.versions import Version
from waferlens.storage.blobs import BlobStore, sync_folder
from waferlens.storage.model_versions import StoredVersion

KEEP_WARM = 5
"""Of the newest versions, ready in HOME/bundles."""


class Archive:
    """Takes versions out of ``HOME/bundles`` and brings them back."""

    def __init__(
        self, bundles: Path, store: BlobStore, rollout: Rollout, registry: Registry, public_key: Path | None
    ) -> None:
        self._bundles, self._store = bundles, store
        self._rollout, self._registry, self._public_key = rollout, registry, public_key

    def due(self, keep: int = KEEP_WARM) -> list[str]:
        """Versions beyond the ``keep`` newest that nobody uses, oldest first. Raises DatabaseLost."""
        here = sorted(
            (each for each in self._rollout.versions() if each.state != State.ARCHIVED),
            key=lambda each: Version.parse(each.version),
        )
        return [each.version for each in here[: max(0, len(here) - keep)] if _is_idle(each)]

    def put_away(self, version: str, why: Because) -> None:
        """Archive a version.

        Raises IllegalMove for what is in use, BundleError when it is not what was registered.
        """
        stored = self._rollout.find(version)
        folder = self._bundles / version
        if stored.state != State.ARCHIVED:
            check_move(version, None if stored.state is None else State(stored.state), State.ARCHIVED)
            if stored.slot is not None:
                raise IllegalMove(f"{version} is in use", expected="no role", found=stored.slot)
            self._verify(stored, folder)
            self._rollout.archive(version, self._store_files(folder), why)
        # Only now, when the record says where the files are, may they go; a kill before this is made good here.
        shutil.rmtree(folder, ignore_errors=True)
        self._registry.drop_files(version)
        self._registry.tell(version, "waferlens.archive", self._rollout.find(version).archive or "")

    def bring_back(self, version: str, why: Because) -> Path:
        """The folder of an archived version, whole and verified. Raises BlobMissing, BundleError, IllegalMove."""
        stored, folder = self._rollout.find(version), self._bundles / version
        if stored.state != State.ARCHIVED or stored.archive is None:
            raise IllegalMove(
                f"{version} is not archived", expected="an archived version", found=str(stored.state)
            )
        if not folder.exists():
            staging = self._bundles / f".restoring-{version}"
            shutil.rmtree(staging, ignore_errors=True)
            files: dict[str, str] = json.loads(self._store.get(stored.archive))
            for name, digest in files.items():
                path = staging / name
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("wb") as file:
                    file.write(self._store.get(digest))
                    os.fsync(file.fileno())
            self._verify(stored, staging)
            staging.replace(folder)
            sync_folder(self._bundles)
        self._verify(stored, folder)
        self._registry.put_files_back(version, folder)
        self._registry.tell(version, "waferlens.archive", "")
        self._rollout.restore(version, why)
        return folder

    def verify(self, version: str) -> str:
        """Check a version where it is: in its folder, or file by file in the archive; says which.

        Raises BundleError, BlobMissing.
        """
        stored = self._rollout.find(version)
        if stored.state != State.ARCHIVED:
            self._verify(stored, self._bundles / version)
            return "in its folder"
        files: dict[str, str] = json.loads(self._store.get(stored.archive or ""))
        for digest in files.values():
            self._store.get(digest)
        if files.get(FILE_NAME) != stored.bundle_hash:
            raise BundleError(f"the archive holds another {version}", expected=str(stored.bundle_hash)[:16])
        return "in the archive"

    def _verify(self, stored: StoredVersion, folder: Path) -> None:
        """A folder is the very bundle that was registered: by its hashes, its key, and the record."""
        verify_trusted(folder, self._public_key)
        found = sha256_of(folder / FILE_NAME)
        if found != stored.bundle_hash:
            raise BundleError(
                f"{folder} is not what was registered as {stored.version}",
                expected=f"manifest {str(stored.bundle_hash)[:16]}",
                found=found[:16],
            )

    def _store_files(self, folder: Path) -> str:
        names = [*read_files(folder), FILE_NAME, *((SIGNATURE,) if (folder / SIGNATURE).exists() else ())]
        files = {name: self._store.put((folder / name).read_bytes()) for name in names}
        return self._store.put(json.dumps(files, sort_keys=True).encode())


def read_files(folder: Path) -> list[str]:
    """The files that a bundle's manifest lists."""
    return sorted(json.loads((folder / FILE_NAME).read_text(encoding="utf-8"))["files"])


def _is_idle(stored: StoredVersion) -> bool:
    state = State(stored.state or State.REGISTERED)
    return stored.slot is None and State.ARCHIVED in LEGAL[state]
