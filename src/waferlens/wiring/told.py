"""How a job tells its caller what it is doing. A terminal shows bars; a script may ignore it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from waferlens.training.loop import Watcher


@dataclass(frozen=True, kw_only=True)
class Told:
    """say: one line of progress. count: things done, of how many. watch: after every training step."""

    say: Callable[[str], None]
    count: Callable[[int, int], None]
    watch: Watcher


SILENT = Told(say=lambda _: None, count=lambda _done, _total: None, watch=lambda _: None)
"""For the processes that share a job: one of them speaks."""
