"""The novel-defect watch over the record: doubtful images are described once, and crowds of them told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from waferlens.errors import DataError, StorageError, WaferlensError
from waferlens.images.formats import read_image
from waferlens.inspection.inspector import Inspector
from waferlens.monitoring.appearance import describe
from waferlens.monitoring.novel import Crowd, Doubtful, NovelWatch
from waferlens.monitoring.options import WatchOptions
from waferlens.storage.alarms import AlarmKind, Finding, alarms_of
from waferlens.storage.database import Database
from waferlens.storage.stored import DAY_MS, HOUR_MS
from waferlens.storage.watched import add_appearances, doubtful_rows, newest_model
from waferlens.wiring.record import Record

WATCHED_DAYS = 7.0
_AT_ONCE = 50
_MOST_KEPT = 500


@dataclass(frozen=True, kw_only=True)
class NovelFound:
    """crowds: novel and of known classes. num_history, num_watched: doubtful images. num_described: just now.

    num_undescribed: whose original is lost or cannot be described; they are not watched.
    """

    model_version: str
    num_history: int
    num_watched: int
    num_described: int
    num_undescribed: int
    crowds: list[Crowd]
    findings: list[Finding]


def describe_doubtful(
    record: Record, inspector: Inspector, since_ms: int, until_ms: int, count: Callable[[int, int], None]
) -> tuple[int, int]:
    """Describe the doubtful images of a period that are not yet; how many were, and how many cannot be.

    Infers each original again: the detector is deterministic, and heatmaps are kept as pictures only. Runs
    beside the service, never in it. Raises DatabaseLost.
    """
    with record.database.reading() as connection:
        version = f"{inspector.config.name}-{inspector.config.version}"
        rows = [row for row in doubtful_rows(connection, version, since_ms, until_ms) if row[4] is None]
    num_done = num_lost = 0
    for start in range(0, len(rows), _AT_ONCE):
        looks = []
        for row in rows[start : start + _AT_ONCE]:
            try:
                pixels = read_image(record.blobs.get(str(row[3])), inspector.config.images, name=str(row[0]))
                heatmap = inspector.inspect_pixels(pixels, str(row[0])).inference.heatmap
            except (StorageError, WaferlensError):
                num_lost += 1
                continue
            looks.append((str(row[0]), describe(pixels, heatmap).astype("<f4").tobytes()))
        with record.database.writing() as connection:
            add_appearances(connection, looks)
        num_done += len(looks)
        count(min(start + _AT_ONCE, len(rows)), len(rows))
    return num_done, num_lost


def find_novel(
    database: Database, options: WatchOptions, until_ms: int, described: tuple[int, int] = (0, 0)
) -> NovelFound:
    """Crowds among the last week's doubtful images, against those of the time before.

    Raises DataError while the history is too short, DatabaseLost.
    """
    since_ms, watched_ms = (
        round(until_ms - options.look_back_days * DAY_MS),
        round(until_ms - WATCHED_DAYS * DAY_MS),
    )
    with database.reading() as connection:
        version = newest_model(connection)
        rows = [] if version is None else doubtful_rows(connection, version, since_ms, until_ms)
        open_alarms = [
            a for a in alarms_of(connection, only_open=True, limit=_MOST_KEPT) if a.kind is AlarmKind.NOVEL
        ]
    known_rows = [row for row in rows if row[4] is not None]
    if version is None or not known_rows:
        raise DataError("no doubtful image is described", expected="images that did not pass", found="none")
    every = _doubtful(known_rows)
    # A young record has no week to spare: its first images are the history then.
    num_history = max(int((every.at_ms < watched_ms).sum()), min(options.novel.least_history, len(every)))
    watch = NovelWatch(every.take(slice(0, num_history)), _classes(known_rows), options.novel)
    watched = every.take(slice(num_history, None))
    crowds: list[Crowd] = []
    for hour in np.unique(watched.at_ms // HOUR_MS):
        crowds += watch.see(watched.take(watched.at_ms // HOUR_MS == hour))
    return NovelFound(
        model_version=version,
        num_history=num_history,
        num_watched=len(watched),
        num_described=described[0],
        num_undescribed=described[1],
        crowds=crowds,
        findings=[_finding(crowd, [(a.key, a.detail) for a in open_alarms], version) for crowd in crowds],
    )


def _doubtful(rows: Sequence[Any]) -> Doubtful:
    return Doubtful(
        ids=np.array([row[0] for row in rows]),
        wafers=np.array([row[1] for row in rows]),
        at_ms=np.array([row[2] for row in rows], dtype=np.int64),
        looks=np.stack([np.frombuffer(row[4], dtype="<f4") for row in rows]).astype(np.float32),
    )


def _classes(rows: Sequence[Any]) -> dict[str, np.ndarray[Any, np.dtype[np.float32]]]:
    """The newest images of every class that people named."""
    found: dict[str, list[bytes]] = {}
    for row in reversed(rows):
        if row[5] and len(found.setdefault(str(row[5]), [])) < _MOST_KEPT:
            found[str(row[5])].append(row[4])
    return {
        name: np.stack([np.frombuffer(look, dtype="<f4") for look in looks]).astype(np.float32)
        for name, looks in found.items()
    }


def _finding(crowd: Crowd, open_alarms: Sequence[tuple[str, dict[str, Any]]], version: str) -> Finding:
    """One alarm for one crowd, also when a later run draws it a little differently: they share images."""
    key = next(
        (name for name, detail in open_alarms if set(detail.get("members", ())) & set(crowd.members)),
        f"{version}/{crowd.members[0]}",
    )
    what = f"more of the known class {crowd.known}" if crowd.known else "a kind of defect that nobody has named"
    return Finding(
        kind=AlarmKind.NOVEL,
        key=key,
        title=f"{what}: {len(crowd.members)} images alike on {len(set(crowd.wafers))} wafers,"
        f" {crowd.expected:.1f} were to be expected",
        detail={
            "members": list(crowd.members),
            "wafers": list(crowd.wafers),
            "expected": crowd.expected,
            "chance": crowd.chance,
            "known": crowd.known,
        },
        onset_ms=crowd.first_ms,
        at_ms=crowd.raised_ms,
    )
