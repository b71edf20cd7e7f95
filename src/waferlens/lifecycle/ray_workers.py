"""Scores images on the nodes of a Ray cluster. The only module that knows Ray.

Every node has the bundle under the same path, and verifies it there. A node that dies takes its tasks with it,
and Ray gives them to another; what was scored before is in the record.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from waferlens.errors import EngineFailed
from waferlens.lifecycle.isolated import Said

_BATCH = 16
_RETRIES = 5
_LOADED: dict[str, Any] = {}
"""Of a worker process: its scorer, opened once."""


class RayWorkers:
    """See ``replay.Workers``."""

    def __init__(self, address: str, bundle: Path, public_key: Path | None) -> None:
        """address: ``HOST:PORT`` of the cluster's head. Raises ConnectionError, ModuleNotFoundError."""
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing leaves the building
        import ray

        self._ray = ray
        ray.init(address=address, log_to_driver=False, configure_logging=False)
        self._task = ray.remote(num_cpus=1, max_retries=_RETRIES, retry_exceptions=False)(_score_batch)
        self._told = (str(bundle.absolute()), None if public_key is None else str(public_key.absolute()))

    def score(self, images: Sequence[bytes]) -> Iterable[Said]:
        """One answer an image, in their order. Raises EngineFailed when no node is left to score a batch."""
        batches = [list(images[start : start + _BATCH]) for start in range(0, len(images), _BATCH)]
        pending = [self._task.remote(*self._told, batch) for batch in batches]
        try:
            answers = self._ray.get(pending)
        except self._ray.exceptions.RayError as error:
            raise EngineFailed("the cluster did not score a batch", found=str(error)[:300]) from error
        return [Said(**told) for answer in answers for told in answer]

    def close(self) -> None:
        """Leave the cluster; it goes on."""
        self._ray.shutdown()


def _score_batch(bundle: str, public_key: str | None, images: list[bytes]) -> list[dict[str, Any]]:
    from waferlens.errors import ImageError
    from waferlens.lifecycle.isolated import inspector_of

    score = _LOADED.get(bundle)
    if score is None:
        score = _LOADED[bundle] = inspector_of(Path(bundle), None if public_key is None else Path(public_key))
    found = []
    for image in images:
        try:
            found.append(score(image))
        except ImageError:
            found.append({"failure": "image"})
    return found
