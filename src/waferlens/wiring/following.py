"""A running service follows the rollout in the record: the champion, the canary, and what must be warm.

Any process may move a model; every service on the record sees it here within half a second. A model that cannot be
opened is alarmed and asked for again at the next look: what runs goes on.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from waferlens.engines.fleet import Fleet
from waferlens.errors import BundleError, EngineError
from waferlens.inspection.facts import KnownModels, load_facts
from waferlens.inspection.ports import Watcher
from waferlens.lifecycle.roles import Roles
from waferlens.lifecycle.rollout import Rollout
from waferlens.wiring.trusted import verify_configured

FOLLOW_SECONDS = 0.5


class Following:
    """Brings a fleet to the roles of the record."""

    def __init__(
        self, bundles: Path, fleet: Fleet, models: KnownModels, rollout: Rollout, watcher: Watcher
    ) -> None:
        """bundles: the folder of registered versions."""
        self._bundles = bundles
        self._fleet, self._models, self._rollout, self._watcher = fleet, models, rollout, watcher
        self._broken: set[str] = set()
        self._looking = threading.Lock()

    def follow(self) -> Roles:
        """Look once, and change what must change; the champion first. Raises DatabaseLost."""
        with self._looking:
            return self._follow(self._rollout.roles())

    def _follow(self, roles: Roles) -> Roles:
        if roles.champion is None:
            return roles  # nobody rolls out here: the service runs the bundle that it was started with
        champion = roles.champion.version
        if champion != self._fleet.model_version and self._know(champion):
            self._try(champion, lambda: self._fleet.swap(self._bundles / champion))
        canary = roles.challenger.version if roles.challenger is not None and roles.canary_share > 0 else None
        previous = None if roles.previous is None else roles.previous.version
        for version in (canary, previous):
            if version is not None and version not in self._fleet.warm_versions and self._know(version):
                self._warm(version)
        is_ready = canary in self._fleet.warm_versions
        self._fleet.set_canary(canary if is_ready else None, roles.canary_share)
        self._fleet.keep(version for version in (canary, previous) if version is not None)
        return roles

    def _know(self, version: str) -> bool:
        """The facts of a model, verified, before the first image goes to it."""

        def know() -> None:
            verify_configured(self._bundles / version)
            self._models.add(load_facts(self._bundles / version))

        return self._models.knows(version) or self._try(version, know)

    def _warm(self, version: str) -> None:
        self._try(version, lambda: self._fleet.warm({version: self._bundles / version}))

    def _try(self, version: str, action: Callable[[], object]) -> bool:
        try:
            action()
        except (BundleError, EngineError, OSError) as error:
            if version not in self._broken:  # said once, not twice a second
                self._broken.add(version)
                self._watcher.alarm("rollout", f"{version} cannot be served: {error}")
            return False
        self._broken.discard(version)
        return True
