"""The moment for work that can wait: an image is with the engine, and its own thread only waits for the answer.

Pictures are drawn then. Drawn at any other moment they would take the interpreter from an image that is being
decoded or recorded, and every millisecond of that is in the answer's time.
"""

from __future__ import annotations

import threading
from collections.abc import Callable


class Lull:
    """Says when an image goes to the engine."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._num_begun = 0

    def begins(self) -> None:
        """An image goes to the engine now."""
        with self._changed:
            self._num_begun += 1
            self._changed.notify_all()

    def look_again(self) -> None:
        """Whoever waits asks its ``or_when`` again."""
        with self._changed:
            self._changed.notify_all()

    def wait(self, seconds: float, or_when: Callable[[], bool]) -> None:
        """Sleep until the next image goes to the engine, but no longer than ``seconds`` or until ``or_when``."""
        with self._changed:
            seen = self._num_begun
            self._changed.wait_for(lambda: self._num_begun != seen or or_when(), seconds)
