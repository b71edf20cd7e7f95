"""``waferlens bench serve``: posts images for a while and holds every answer to the record.

Closed loop (no rate): each connection posts when its last answer came. Open loop: an image is due every 1 / rate
seconds whether or not the one before was answered, and its time counts from when it was due, so that a
service that falls behind cannot hide it. Bounded in time; the images are sent in turn.
"""

from __future__ import annotations

import hashlib
import http.client
import math
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from waferlens.errors import DataError, RequestError
from waferlens.images.formats import SUFFIXES
from waferlens.storage.stored import clock_ms
from waferlens.web.client import Client

_POINTS = 200
_PAGE = 500


@dataclass(frozen=True, kw_only=True)
class Sent:
    """One image that was answered. seconds: until the answer, from when it was sent or due."""

    seconds: float
    sha256: str
    answer: dict[str, Any]


@dataclass(kw_only=True)
class Tally:
    """What happened so far; threads add to it."""

    answered: list[Sent] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


def bench_service(
    url: str, key: str, images: Path, *, rate: float | None, seconds: float, connections: int
) -> dict[str, Any]:
    """Load the service and compare; one object of figures. Raises DataError, RequestError."""
    files = _read_images(images)
    with Client(url, key) as client:
        client.get("/api/v1/model")
    tally, started = Tally(), time.monotonic()
    since_ms = clock_ms() - 60_000
    ends, turn = started + seconds, _Turn(rate, started)
    threads = [
        threading.Thread(target=_post, args=(url, key, files, ends, turn, tally), daemon=True)
        for _ in range(connections)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.monotonic() - started
    with Client(url, key) as client:
        lost = _lost(client, tally.answered, since_ms)
    return _figures(tally, took, lost)


class _Turn:
    """Hands out the number of the next image and when it is due."""

    def __init__(self, rate: float | None, started: float) -> None:
        self._rate, self._started, self._next = rate, started, 0
        self._lock = threading.Lock()
        self.run = uuid.uuid4().hex[:8]

    def take(self) -> tuple[int, float | None]:
        with self._lock:
            number = self._next
            self._next += 1
        return number, None if self._rate is None else self._started + number / self._rate


def _post(url: str, key: str, files: list[bytes], ends: float, turn: _Turn, tally: Tally) -> None:
    with Client(url, key) as client:
        _post_until(client, files, ends, turn, tally)


def _post_until(client: Client, files: list[bytes], ends: float, turn: _Turn, tally: Tally) -> None:
    while True:
        number, due = turn.take()
        if (due or time.monotonic()) >= ends:
            return
        if due is not None:
            time.sleep(max(0.0, due - time.monotonic()))
        data, begun = files[number % len(files)], due if due is not None else time.monotonic()
        path = f"/api/v1/inspect?wafer_id=BENCH-{turn.run}-{number // _POINTS}&inspection_point={number % _POINTS}"
        headers = {"Content-Type": "application/octet-stream", "Idempotency-Key": f"{turn.run}-{number}"}
        try:
            reply = client.ask("POST", path, data, headers)
        except (OSError, http.client.HTTPException) as error:
            tally.errors.append(repr(error))
            continue
        took = time.monotonic() - begun
        if reply.status == 200:
            sent = Sent(seconds=took, sha256=hashlib.sha256(data).hexdigest(), answer=reply.content)
            tally.answered.append(sent)
        else:
            tally.errors.append(f"{reply.status} {reply.content}"[:200])


def _lost(client: Client, answered: list[Sent], since_ms: int) -> int:
    """Answers that the record does not hold as they were given, with the image that was sent."""
    if not answered:
        return 0
    recorded = {entry["id"]: entry for entry in _recorded(client, since_ms, {s.answer["id"] for s in answered})}
    lost = 0
    for sent in answered:
        entry = recorded.get(sent.answer["id"]) or _ask_for(client, sent.answer["id"])
        same = entry is not None and all(
            entry[name] == sent.answer[name]
            for name in ("wafer_id", "inspection_point", "decision", "anomaly_score", "model_version")
        )
        lost += not (same and entry is not None and entry["original_sha256"] == sent.sha256)
    return lost


def _ask_for(client: Client, inspection_id: str) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = client.get(f"/api/v1/inspections/{inspection_id}")
    except RequestError:
        return None
    return found


def _recorded(client: Client, since_ms: int, wanted: set[str]) -> Iterator[dict[str, Any]]:
    """The inspections since a moment, page by page, until all that are wanted were seen."""
    before, missing = "", set(wanted)
    while missing:
        page = client.get(f"/api/v1/inspections?limit={_PAGE}&since_ms={since_ms}{before}")
        for entry in page["inspections"]:
            missing.discard(entry["id"])
            yield entry
        if page["next"] is None:
            return
        before = f"&before={page['next']}"


def _figures(tally: Tally, took: float, lost: int) -> dict[str, Any]:
    milliseconds = 1e3 * np.asarray([sent.seconds for sent in tally.answered])
    inference = np.asarray([sent.answer["inference_time_ms"] or math.nan for sent in tally.answered])
    overhead = milliseconds - inference
    overhead = overhead[np.isfinite(overhead)]

    def percentile(values: Any, share: float) -> float | None:
        return round(float(np.percentile(values, share)), 3) if len(values) else None

    decisions = [sent.answer["decision"] for sent in tally.answered]
    return {
        "p50_ms": percentile(milliseconds, 50),
        "p95_ms": percentile(milliseconds, 95),
        "p99_ms": percentile(milliseconds, 99),
        "max_ms": percentile(milliseconds, 100),
        "overhead_p50_ms": percentile(overhead, 50),
        "inference_p50_ms": percentile(inference[np.isfinite(inference)], 50),
        "images_per_second": round(len(tally.answered) / took, 2),
        "num_requests": len(tally.answered) + len(tally.errors),
        "num_errors": len(tally.errors),
        "num_lost": lost,
        "num_failed": sum(sent.answer["failure"] is not None for sent in tally.answered),
        "decisions": {kind: decisions.count(kind) for kind in sorted(set(decisions))},
        "first_errors": tally.errors[:5],
        "seconds": round(took, 2),
    }


def _read_images(folder: Path) -> list[bytes]:
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)[:1000]
    if not files:
        raise DataError(f"{folder}: no images to post", expected="PNG or TIFF files")
    return [path.read_bytes() for path in files]
