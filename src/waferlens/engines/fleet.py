"""Several models ready in one service: the champion that decides, and those that may have to at any moment.

    infer ─► the champion's engines                       an image of a wafer in the canary's share ─► the canary's

Which model is champion is one reference: going over to another that is warm takes no time and drops nothing,
because the engines of the one before go on until every image that could have asked them has its answer.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from waferlens.engines.interface import AnyPixels, TimedEngine
from waferlens.errors import EngineError
from waferlens.records import Inference

_LONGEST_DEADLINE_SECONDS = 60.0
Open = Callable[[Path], TimedEngine]


@dataclass(frozen=True)
class _Canary:
    version: str
    engine: TimedEngine
    share: float


class Fleet:
    """Answers as an ``EnginePool`` does, with whichever model is champion. Shared between threads."""

    def __init__(self, open_engine: Open, champion: TimedEngine) -> None:
        """open_engine: verifies a bundle, opens and warms its engines. champion: opened already."""
        self._open = open_engine
        self._changing = threading.Lock()
        self._champion = champion
        self._canary: _Canary | None = None
        self._warm: dict[str, TimedEngine] = {champion.model_version: champion}
        self._leaving: list[tuple[float, TimedEngine]] = []

    @property
    def ready(self) -> bool:
        """Whether an image that came now would be answered."""
        return self._champion.ready

    @property
    def model_version(self) -> str:
        """Of the champion."""
        return self._champion.model_version

    @property
    def warm_versions(self) -> tuple[str, ...]:
        """Models that answer at once when they are asked."""
        return tuple(self._warm)

    def infer(self, pixels: AnyPixels, deadline: float) -> Inference:
        """The champion's answer; see ``EnginePool.infer``."""
        return self._champion.infer(pixels, deadline)

    def engine_for(self, wafer_id: str) -> TimedEngine:
        """The engines that decide on a wafer: the canary's for its share, else the champion's."""
        canary = self._canary
        if canary is not None and in_share(wafer_id, canary.version, canary.share):
            return canary.engine
        return self._champion

    def swap(self, bundle: Path) -> None:
        """The bundle's model is champion from now on; the one before stays warm.

        Raises BundleError or EngineError: the old one goes on.
        """
        with self._changing:
            self._champion = self._warmed(bundle)

    def warm(self, bundles: Mapping[str, Path]) -> list[str]:
        """Have these models ready, by version; returns those that had to be opened.

        Raises BundleError, EngineError.
        """
        opened = []
        for version, bundle in bundles.items():
            with self._changing:
                if version not in self._warm:
                    self._warmed(bundle)
                    opened.append(version)
        return opened

    def set_canary(self, version: str | None, share: float = 0.0) -> None:
        """Let a warm model decide on a share of wafers; None: no other than the champion decides.

        Raises EngineError for one that is not warm.
        """
        with self._changing:
            if version is None or share <= 0:
                self._canary = None
            elif version not in self._warm:
                raise EngineError(f"{version} is not ready", expected=" or ".join(self._warm))
            else:
                self._canary = _Canary(version, self._warm[version], share)

    def keep(self, versions: Iterable[str]) -> None:
        """Let every other model go, but not the champion, and none before its last image has its answer."""
        with self._changing:
            wanted = {*versions, self._champion.model_version}
            if self._canary is not None:
                wanted.add(self._canary.version)
            now = time.monotonic()
            for version in [each for each in self._warm if each not in wanted]:
                self._leaving.append((now + _LONGEST_DEADLINE_SECONDS, self._warm.pop(version)))
            due = [engine for ends, engine in self._leaving if ends <= now]
            self._leaving = [(ends, engine) for ends, engine in self._leaving if ends > now]
        for engine in due:
            engine.close()

    def close(self) -> None:
        """Answer what waits, and let everything go."""
        with self._changing:
            self._canary = None
            engines = [*self._warm.values(), *(engine for _, engine in self._leaving)]
            self._warm, self._leaving = {}, []
        for engine in engines:
            engine.close()

    def _warmed(self, bundle: Path) -> TimedEngine:
        """The engines of a bundle; those that are ready already.

        The bundle's name is looked at, then its files. Engines that are ready no more, because a server has let
        the version go, are opened anew.
        """
        known = self._warm.get(bundle.name)
        if known is not None and known.ready:
            return known
        engine = self._open(bundle)
        known = self._warm.get(engine.model_version)
        if known is not None and known.ready:
            engine.close()
            return known
        if known is not None:
            self._leaving.append((time.monotonic() + _LONGEST_DEADLINE_SECONDS, known))
        self._warm[engine.model_version] = engine
        return engine


def in_share(wafer_id: str, version: str, share: float) -> bool:
    """Whether a wafer belongs to a canary: by a hash of both, so that one wafer has one model, always.

    Another canary takes other wafers: no tool or lot is tried on again and again.
    """
    digest = hashlib.sha256(f"{version}\0{wafer_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") < share * 2**64
