"""What the review asks of the world: the time. It is given to it, so that a lapsed claim can be seen in a test."""

from __future__ import annotations

from typing import Protocol

from waferlens.storage.stored import clock_ms


class Clock(Protocol):
    """Tells the time."""

    def now_ms(self) -> int:
        """Milliseconds since 1970 UTC."""


class WallClock:
    """The machine's own."""

    def now_ms(self) -> int:
        """See ``Clock.now_ms``."""
        return clock_ms()
