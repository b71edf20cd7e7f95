"""The use case of the line: every image answered, recorded before it is answered, never PASS by accident.

    decode ─ infer ─ decide ─ record ─ answer            while the detector works, the original is stored and
                                                         an earlier answer to the same request looked up

Knows neither HTTP nor SQL. Pictures are drawn after the answer (``rendering``).
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass

import numpy as np
from pydantic import BaseModel, Field

from waferlens.errors import Conflict, DatabaseLost, DuplicateRequest, Overloaded, RecordLost
from waferlens.inspection.failsafe import FailSafe, Judgement
from waferlens.inspection.ports import Watcher
from waferlens.inspection.rendering import Renderer
from waferlens.records import Pixels
from waferlens.storage.database import Database
from waferlens.storage.inspections import find_by_key
from waferlens.storage.journal import Journal
from waferlens.storage.recorder import Recorder
from waferlens.storage.stored import StoredInspection, clock_ms, latent_bytes, new_id


class ServiceOptions(BaseModel, frozen=True, extra="forbid"):
    """Bounds of one inspection. Seconds."""

    deadline_seconds: float = Field(0.5, gt=0, le=60, description="from the request to a decision; then REVIEW")
    record_seconds: float = Field(10.0, gt=0, le=60, description="for the record to become durable; then 503")
    max_waiting: int = Field(64, ge=1, le=4096, description="images inside at once; one more is refused with 503")


@dataclass(frozen=True, kw_only=True)
class InspectionRequest:
    """What a caller posts. arrived: time.monotonic at its first byte. transfer_ms: until its last."""

    data: bytes
    wafer_id: str
    inspection_point: int
    station: str
    product: str | None = None
    lot_id: str | None = None
    idempotency_key: str | None = None
    arrived: float
    transfer_ms: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Answered:
    """A durable inspection. place: ``database`` or ``journal``. replayed: it answers an earlier request again."""

    inspection: StoredInspection
    place: str
    replayed: bool = False


class InspectionService:
    """Inspects posted images. Many threads may call it at once."""

    def __init__(
        self,
        failsafe: FailSafe,
        recorder: Recorder,
        journal: Journal,
        database: Database,
        renderer: Renderer,
        watcher: Watcher,
        options: ServiceOptions,
    ) -> None:
        """Parts arrive built; ``close`` ends the one that is its own."""
        self._failsafe, self._recorder, self._journal = failsafe, recorder, journal
        self._database, self._renderer, self._watcher, self._options = database, renderer, watcher, options
        self._storing = ThreadPoolExecutor(max_workers=16, thread_name_prefix="originals")
        self._looking = ThreadPoolExecutor(max_workers=16, thread_name_prefix="earlier")
        self._counting = threading.Lock()
        self._num_inside = 0

    def inspect(self, request: InspectionRequest) -> Answered:
        """Evaluate the image and record it; or give the recorded answer to a retry of the same request.

        Raises Overloaded before any work, Conflict for an idempotency key of another request, RecordLost when the
        record is not durable: then nothing was answered, and the caller asks again.
        """
        if not self._enter():
            self._watcher.alarm("overloaded", "more images at once than there is room for")
            raise Overloaded("the service has no room for another image", expected="a retry in a moment")
        try:
            return self._inspect(request)
        finally:
            with self._counting:
                self._num_inside -= 1

    def num_inside(self) -> int:
        """Images that are being inspected now."""
        return self._num_inside

    def close(self) -> None:
        """Take no more originals."""
        self._storing.shutdown()
        self._looking.shutdown()

    def _enter(self) -> bool:
        with self._counting:
            has_room = self._num_inside < self._options.max_waiting
            self._num_inside += has_room
        return has_room

    def _inspect(self, request: InspectionRequest) -> Answered:
        original = self._storing.submit(self._recorder.put_blob, request.data)
        earlier = self._look_for_earlier(request)
        try:
            judged = self._failsafe.judge(
                request.data,
                product=request.product,
                point=request.inspection_point,
                deadline=request.arrived + self._options.deadline_seconds,
                wafer_id=request.wafer_id,
            )
        except Overloaded as error:
            original.cancel()
            if (answered := earlier()) is not None:
                return answered
            self._watcher.alarm("overloaded", str(error))
            raise
        if (answered := earlier()) is not None:
            return answered
        started = time.perf_counter()
        try:
            inspection = self._stored(request, judged, self._durable(original))
            place = self._durable(self._recorder.submit(inspection))
        except DuplicateRequest:
            return self._earlier(request) or self._refuse_duplicate(request)
        except RecordLost as error:
            self._watcher.alarm("record", str(error))
            raise
        self._tell(judged, inspection, time.perf_counter() - started)
        if judged.inference is not None and judged.pixels is not None:
            self._renderer.draw_later(inspection.id, judged.facts, judged.pixels, judged.inference)
        return Answered(inspection=inspection, place=place)

    def _durable(self, future: Future[str]) -> str:
        try:
            return future.result(timeout=self._options.record_seconds)
        except FutureTimeout as error:
            raise RecordLost(
                "the record did not become durable in time", expected=f"{self._options.record_seconds:g} s"
            ) from error

    def _look_for_earlier(self, request: InspectionRequest) -> Callable[[], Answered | None]:
        """Begin to look, if there is a key; what is returned waits for what ``_earlier`` finds."""
        if request.idempotency_key is None:
            return lambda: None
        return self._looking.submit(self._earlier, request).result

    def _earlier(self, request: InspectionRequest) -> Answered | None:
        """What is recorded for a retry. While the database is lost only the journal can be asked."""
        if request.idempotency_key is None:
            return None
        waiting = self._journal.find_by_key(request.station, request.idempotency_key)
        if waiting is not None:
            return self._same(request, waiting.request_hash, waiting, "journal")
        try:
            with self._database.reading() as connection:
                found = find_by_key(connection, request.station, request.idempotency_key)
        except DatabaseLost:
            return None
        return None if found is None else self._same(request, found[0], found[1], "database")

    def _same(
        self, request: InspectionRequest, recorded: str | None, inspection: StoredInspection, place: str
    ) -> Answered:
        if recorded != _hash_of(request):
            raise Conflict(
                "this idempotency key stands for another request", expected="a new key for a new image or point"
            )
        return Answered(inspection=inspection, place=place, replayed=True)

    def _refuse_duplicate(self, request: InspectionRequest) -> Answered:
        raise RecordLost(
            "another request with this idempotency key is being recorded", found=request.idempotency_key
        )

    def _stored(self, request: InspectionRequest, judged: Judgement, original: str) -> StoredInspection:
        inference, timings = judged.inference, {"transfer": request.transfer_ms} | judged.timings
        received_ms = clock_ms() - round(1e3 * (time.monotonic() - request.arrived))
        return StoredInspection(
            id=new_id(received_ms),
            received_ms=received_ms,
            wafer_id=request.wafer_id,
            inspection_point=request.inspection_point,
            product=request.product or judged.facts.product,
            lot_id=request.lot_id,
            station=request.station,
            decision=judged.decision.kind,
            confidence=judged.decision.confidence,
            reason=judged.decision.reason,
            failure=judged.failure,
            score=None if inference is None else inference.score,
            reconstruction_error=None if inference is None else inference.reconstruction_error,
            p_value=judged.p_value,
            review_threshold=judged.thresholds.review,
            reject_threshold=judged.thresholds.reject,
            score_name=judged.thresholds.score_name,
            model_version=judged.facts.version,
            original=original,
            num_bytes=len(request.data),
            inference_ms=judged.timings.get("inference"),
            timings={name: round(value, 3) for name, value in timings.items()},
            latent=None if inference is None else latent_bytes(inference.latent),
            brightness=None if judged.pixels is None else _brightness(judged.pixels),
            idempotency_key=request.idempotency_key,
            request_hash=None if request.idempotency_key is None else _hash_of(request),
        )

    def _tell(self, judged: Judgement, inspection: StoredInspection, record_seconds: float) -> None:
        for name, value in inspection.timings.items():
            # The body came first: its stage began with the request.
            began_ns = judged.began_ns.get(name, 1_000_000 * inspection.received_ms)
            self._watcher.stage(name, value / 1e3, began_ns)
        self._watcher.stage("record", record_seconds)
        self._watcher.decided(inspection.decision, inspection.score, inspection.product)
        if judged.failure is not None:
            self._watcher.alarm(judged.failure, str(judged.decision.reason))


def _brightness(pixels: Pixels) -> float:
    """Mean grey value as posted, of full scale: the detector takes it out, so the watch on the lamps needs it."""
    return float(pixels.mean()) / float(np.iinfo(pixels.dtype).max)


def _hash_of(request: InspectionRequest) -> str:
    told = (request.wafer_id, request.inspection_point, request.product, request.lot_id)
    return hashlib.sha256(repr(told).encode() + hashlib.sha256(request.data).digest()).hexdigest()
