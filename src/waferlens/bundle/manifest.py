"""The manifest of a bundle: what belongs to it, byte for byte, and where it came from."""

from __future__ import annotations

import hashlib
import json
import platform
import subprocess
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from waferlens.errors import BundleError

FILE_NAME = "manifest.json"
SIGNATURE = "manifest.sig"
"""Beside the manifest where a bundle was signed; see ``waferlens.bundle.signature``."""

_LIBRARIES = (
    "waferlens", "torch", "numpy", "scipy", "lightning-fabric", "onnx", "onnxruntime", "openvino", "nncf",
)  # fmt: skip


def write_manifest(bundle: Path, provenance: dict[str, Any]) -> None:
    """Hash every file under ``bundle`` and write manifest.json beside them, replacing an older one.

    The signature of an older one goes: whoever changes a bundle must have it signed again.
    """
    files = {path.relative_to(bundle).as_posix(): sha256_of(path) for path in _files(bundle)}
    content = {"files": files, "provenance": provenance}
    temporary = bundle / (FILE_NAME + ".tmp")
    temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    temporary.replace(bundle / FILE_NAME)
    (bundle / SIGNATURE).unlink(missing_ok=True)  # it was of the older manifest


def read_manifest(bundle: Path) -> dict[str, Any]:
    """manifest.json as it stands. Raises BundleError where there is none."""
    path = bundle / FILE_NAME
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BundleError(
            f"{bundle} is not a bundle", expected="a folder with a readable manifest.json", found=str(error)
        ) from error
    if not isinstance(content, dict) or not isinstance(content.get("files"), dict):
        raise BundleError(f"{path} is not a manifest", expected="an object with 'files'")
    return content


def verify_bundle(bundle: Path) -> dict[str, Any]:
    """The manifest, once every listed file was found and has its hash and no other file is present.

    Raises BundleError naming the first files that are missing, altered or unknown.
    """
    content = read_manifest(bundle)
    listed: dict[str, str] = content["files"]
    present = {path.relative_to(bundle).as_posix(): path for path in _files(bundle)}
    missing = sorted(set(listed) - set(present))
    unknown = sorted(set(present) - set(listed))
    altered = [name for name, path in present.items() if name in listed and sha256_of(path) != listed[name]]
    for what, names in (("missing", missing), ("altered", altered), ("not listed", unknown)):
        if names:
            raise BundleError(
                f"{bundle} is not what was saved",
                expected="every file as its manifest lists it",
                found=f"{what}: {', '.join(names[:5])}"
                + (f" and {len(names) - 5} more" if len(names) > 5 else ""),
            )
    return content


def provenance(data_fingerprint: str, seed: int, command: str) -> dict[str, Any]:
    """Where a bundle comes from: data, code, libraries, machine, and the command as it was typed. No host name."""
    return {
        "data_fingerprint": data_fingerprint,
        "seed": seed,
        "command": command,
        "git_commit": _git_commit(),
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        "libraries": dict(_versions(_LIBRARIES)),
    }


def sha256_of(path: Path) -> str:
    """Hex digest of a file, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _files(bundle: Path) -> Iterable[Path]:
    """Every file but manifest, signature and what lies in hidden folders: checkpoints of an unfinished run."""
    skipped = {bundle / FILE_NAME, bundle / (FILE_NAME + ".tmp"), bundle / SIGNATURE}
    for path in sorted(bundle.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(bundle).parts[:-1])
        if path.is_file() and path not in skipped and not hidden:
            yield path


def _versions(names: Iterable[str]) -> Iterable[tuple[str, str]]:
    for name in names:
        try:
            yield name, version(name)
        except PackageNotFoundError:
            continue


def _git_commit() -> str | None:
    """The commit of the code that runs, when it runs from a checkout; '-dirty' when files were changed.

    None for an installed package, also when it is installed inside somebody's own repository.
    """
    if _git("ls-files", "--error-unmatch", Path(__file__).name) is None:
        return None
    return _git("describe", "--always", "--dirty", "--abbrev=40", "--match=")


def _git(*arguments: str) -> str | None:
    here = Path(__file__).resolve().parent
    try:
        ended = subprocess.run(
            ["git", *arguments], cwd=here, capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return ended.stdout.strip() or None
