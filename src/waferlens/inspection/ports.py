"""What the use case asks of the world: something that infers, something that watches. Both are given to it."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from waferlens.records import DecisionKind, Inference, Pixels


class InferencePool(Protocol):
    """A loaded model that many threads may ask at once."""

    @property
    def ready(self) -> bool:
        """Whether an image sent now would be inferred."""

    @property
    def model_version(self) -> str:
        """``NAME-VERSION`` of the bundle that new images go to."""

    def infer(self, pixels: Pixels, deadline: float) -> Inference:
        """Canonical pixels (256, 256) to the detector's answer, before ``deadline`` (time.monotonic, seconds).

        Raises Overloaded at once when there is no room, DeadlineMissed, EngineFailed.
        """

    def swap(self, bundle: Path) -> None:
        """Go over to another bundle without losing an image. Raises BundleError, EngineError: the old stays."""

    def close(self) -> None:
        """Infer no more."""


class Router(Protocol):
    """Several models: which one decides on a wafer."""

    def engine_for(self, wafer_id: str) -> InferencePool:
        """The engines that this wafer's images go to."""


class Watcher(Protocol):
    """Hears what happens; must be quick and must not raise."""

    def stage(self, name: str, seconds: float, began_ns: int | None = None) -> None:
        """A stage of one image took so long. began_ns: since 1970; None for one that ends now."""

    def decided(self, kind: DecisionKind, score: float | None, product: str) -> None:
        """An inspection was answered."""

    def alarm(self, failure: str, detail: str) -> None:
        """Something went wrong that a person should hear of."""


class NobodyWatching:
    """Hears nothing."""

    def stage(self, name: str, seconds: float, began_ns: int | None = None) -> None:
        """See ``Watcher.stage``."""

    def decided(self, kind: DecisionKind, score: float | None, product: str) -> None:
        """See ``Watcher.decided``."""

    def alarm(self, failure: str, detail: str) -> None:
        """See ``Watcher.alarm``."""
