"""A run in steps, each done once: its result is a file that appears whole, and a killed run goes on behind it."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from waferlens.errors import LifecycleError
from waferlens.storage.blobs import write_durably

Result = dict[str, Any]


class Steps:
    """The steps of one run in a folder of its own.

    told: what the run depends on; another run needs another folder.
    """

    def __init__(self, folder: Path, told: Result, say: Callable[[str], None]) -> None:
        """Raises LifecycleError when the folder holds a run that was told something else."""
        self.folder, self._say = folder, say
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "run.json"
        content = json.dumps(told, sort_keys=True, indent=2) + "\n"
        if not path.exists():
            write_durably(path, content.encode())
        elif path.read_text(encoding="utf-8") != content:
            raise LifecycleError(
                f"{folder} holds another run", expected="the same options, or another --run", found=_name(path)
            )

    def done(self, name: str) -> Result | None:
        """The result of a step that is done."""
        path = self.folder / f"{name}.json"
        return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else None

    def run(self, name: str, step: Callable[[], Result]) -> Result:
        """Do a step, or give the result that it had."""
        before = self.done(name)
        if before is not None:
            self._say(f"{name}: done before")
            return before
        self._say(f"{name} ...")
        started = time.perf_counter()
        result = step() | {"step": name}
        result["seconds"] = round(time.perf_counter() - started, 3)
        write_durably(self.folder / f"{name}.json", (json.dumps(result, indent=2) + "\n").encode())
        return result


def _name(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]
