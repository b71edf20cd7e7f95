"""What the environment says. Read when asked, never on import."""

from __future__ import annotations

import os
from pathlib import Path

from waferlens.errors import OptionsError


def cache_folder() -> Path:
    """Where packed images are kept: ``WAFERLENS_CACHE``, else the user's cache folder."""
    chosen = os.environ.get("WAFERLENS_CACHE")
    if chosen:
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "waferlens"


def num_workers() -> int:
    """Processes for decoding and drawing: ``WAFERLENS_WORKERS``, else the cores that this process may use.

    Raises OptionsError when ``WAFERLENS_WORKERS`` is not a positive whole number.
    """
    chosen = os.environ.get("WAFERLENS_WORKERS")
    if chosen:
        if not chosen.isascii() or not chosen.isdigit() or int(chosen) < 1:
            raise OptionsError(
                "the environment variable WAFERLENS_WORKERS", expected="a whole number >= 1", found=repr(chosen)
            )
        return int(chosen)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
