"""What the environment says. Read when asked, never on import."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """Where packed images are kept: ``WAFERLENS_CACHE``, else the user's cache folder."""
    chosen = os.environ.get("WAFERLENS_CACHE")
    if chosen:
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "waferlens"


def num_workers() -> int:
    """Processes for decoding and drawing: ``WAFERLENS_WORKERS``, else the cores that this process may use."""
    chosen = os.environ.get("WAFERLENS_WORKERS")
    if chosen:
        return max(1, int(chosen))
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
