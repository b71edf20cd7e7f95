"""``waferlens replay``, ``waferlens rollout shadow`` and ``compare``: a challenger on what the record holds."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from waferlens.errors import StorageError
from waferlens.lifecycle.comparison import comparison_report
from waferlens.lifecycle.isolated import opener_of, step_aside
from waferlens.lifecycle.replay import (
    LocalWorkers,
    Replayed,
    ShadowOptions,
    Source,
    Workers,
    replay,
    shadow_once,
)
from waferlens.lifecycle.roles import Roles
from waferlens.settings.environment import bundle_key, num_workers
from waferlens.settings.service import load_service_settings
from waferlens.storage.challenger_scores import compared
from waferlens.storage.stored import DAY_MS, clock_ms
from waferlens.wiring.lifecycle import Life
from waferlens.wiring.settled import defective_between
from waferlens.wiring.trusted import verify_configured

_IMAGE_SECONDS = 30.0
Count = Callable[[int, int], None]


def replay_version(
    life: Life, version: str, *, days: float, ray: str | None, num: int | None, count: Count
) -> Replayed:
    """Score the last days of the record with a registered version, on every core or on a Ray cluster's nodes.

    num: processes; None for one a core. Raises NotFound, BundleError, StorageError.
    """
    life.rollout.find(version)
    bundle = life.bundles / version
    verify_configured(bundle)
    now_ms = clock_ms()
    workers: Workers
    if ray is None:
        workers = LocalWorkers(opener_of(bundle, bundle_key()), num or num_workers(), seconds=_IMAGE_SECONDS)
    else:
        from waferlens.lifecycle.ray_workers import RayWorkers

        workers = RayWorkers(ray, bundle, bundle_key())
    try:
        source = Source(database=life.record.database, blobs=life.record.blobs)
        since_ms = now_ms - round(days * DAY_MS)
        return replay(source, version, workers, since_ms=since_ms, until_ms=now_ms, count=count)
    finally:
        workers.close()


def run_shadow(life: Life, *, until: Callable[[], bool], say: Callable[[str], None]) -> int:
    """Score what comes with whichever version is challenger, until told to stop; how many images.

    Runs when nobody else wants the processor. A record that is lost is waited for.
    """
    step_aside()
    options = load_service_settings(life.record.home).shadow
    source = Source(database=life.record.database, blobs=life.record.blobs)
    running: tuple[str, LocalWorkers] | None = None
    num = 0
    try:
        while not until():
            found = 0
            try:
                version, since_ms = _challenger(life.rollout.roles())
                if running is not None and running[0] != version:
                    running[1].close()
                    running = None
                if version is not None:
                    running = running or (version, _workers(life.bundles, version, options))
                    found = shadow_once(source, version, running[1], since_ms, options)
                    num += found
            except StorageError as error:
                say(str(error))
            if not found:
                time.sleep(options.poll_seconds)
    finally:
        if running is not None:
            running[1].close()
    return num


def compare_version(life: Life, version: str, *, days: float) -> dict[str, Any]:
    """Champion and version on the images that both scored. Raises NotFound, DatabaseLost."""
    life.rollout.find(version)
    now_ms = clock_ms()
    since_ms = now_ms - round(days * DAY_MS)
    with life.record.database.reading() as connection:
        images = compared(connection, version, since_ms=since_ms, until_ms=now_ms + 1)
        defective = defective_between(connection, since_ms=since_ms, until_ms=now_ms + 1)
    return {"version": version, "days": days, **comparison_report(images, defective)}


def _challenger(roles: Roles) -> tuple[str | None, int]:
    """The version that is tried, and since when."""
    if roles.challenger is None:
        return None, 0
    return roles.challenger.version, roles.challenger.changed_ms


def _workers(bundles: Path, version: str, options: ShadowOptions) -> LocalWorkers:
    opener = opener_of(bundles / version, bundle_key())
    return LocalWorkers(opener, 1, seconds=options.image_seconds)
