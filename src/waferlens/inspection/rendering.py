"""Draws the pictures of inspections after they were answered: within a second, or at once when somebody asks.

What a killed process or a lost database left undrawn is drawn again from the original: the detector is
deterministic, so the pictures are the same.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial

from waferlens.errors import BlobMissing, Conflict, DatabaseLost, NotFound, StorageError, WaferlensError
from waferlens.images.formats import read_image
from waferlens.inspection.facts import KnownModels, ModelFacts
from waferlens.inspection.lull import Lull
from waferlens.inspection.pictures import PictureMaker
from waferlens.inspection.ports import InferencePool, Watcher
from waferlens.records import Inference, Pixels
from waferlens.storage.database import Database
from waferlens.storage.inspections import find_rendering, not_yet_rendered
from waferlens.storage.recorder import Recorder
from waferlens.storage.stored import DAY_MS, Rendering, StoredInspection, clock_ms

_LOG = logging.getLogger(__name__)
_MAX_PENDING = 128  # half a megabyte each; what does not fit is drawn later from the original
_WAIT_SECONDS = 2.0
_HOLD_SECONDS = 0.1
_INFER_SECONDS = 5.0
_LOOK_BACK_MS = DAY_MS
_REPAIR_EVERY_SECONDS = 2.0
_REPAIR_AT_ONCE = 20


@dataclass(frozen=True, kw_only=True)
class _Job:
    """asked: somebody waits for the picture. drawn: it is there, or was given up."""

    inspection_id: str
    facts: ModelFacts
    pixels: Pixels
    inference: Inference
    queued: float
    asked: threading.Event = field(default_factory=threading.Event)
    drawn: threading.Event = field(default_factory=threading.Event)


class Renderer:
    """A thread that draws, and the way to ask for what it drew."""

    def __init__(
        self, pool: InferencePool, models: KnownModels, recorder: Recorder, database: Database, watcher: Watcher
    ) -> None:
        """``start`` begins to draw, ``close`` ends."""
        self._pool, self._models, self._recorder = pool, models, recorder
        self._database, self._watcher = database, watcher
        self._queue: queue.Queue[_Job | None] = queue.Queue(_MAX_PENDING)
        self._pending: dict[str, _Job] = {}
        self._makers: dict[str, PictureMaker] = {}
        self.lull = Lull()
        self._missed = threading.Event()
        self._missed.set()  # whatever an earlier process left behind
        self._closing = threading.Event()
        self._threads = [
            threading.Thread(target=self._draw_for_ever, name="renderer", daemon=True),
            threading.Thread(target=self._repair_for_ever, name="repair", daemon=True),
        ]

    def start(self) -> None:
        """Begin to draw."""
        for thread in self._threads:
            thread.start()

    def draw_later(self, inspection_id: str, facts: ModelFacts, pixels: Pixels, inference: Inference) -> None:
        """Draw soon. Never blocks: what finds no room is drawn from the original later."""
        job = _Job(
            inspection_id=inspection_id,
            facts=facts,
            pixels=pixels,
            inference=inference,
            queued=time.monotonic(),
        )
        self._pending[inspection_id] = job
        try:
            self._queue.put_nowait(job)
        except queue.Full:
            self._pending.pop(inspection_id)
            self._missed.set()

    def heatmap_of(self, inspection: StoredInspection) -> bytes:
        """The PNG of an inspection's heatmap, waiting for it or drawing it now.

        Raises NotFound where nothing was inferred, Conflict where the model is loaded no more, EngineError.
        """
        try:
            return self._recorder.get_blob(self._rendering_of(inspection).heatmap)
        except BlobMissing:  # pictures are not synced one by one: a pulled plug takes the last ones
            return self._recorder.get_blob(self._draw_again(inspection).heatmap)

    def reconstruction_of(self, inspection: StoredInspection) -> bytes:
        """The PNG of what was expected; as ``heatmap_of``."""
        try:
            return self._recorder.get_blob(self._rendering_of(inspection).reconstruction)
        except BlobMissing:
            return self._recorder.get_blob(self._draw_again(inspection).reconstruction)

    def num_pending(self) -> int:
        """Inspections whose pictures are not drawn yet."""
        return len(self._pending)

    def close(self) -> None:
        """Draw what waits, then end."""
        self._closing.set()
        self.lull.look_again()
        if self._threads[0].is_alive():
            self._queue.put(None)
            for thread in self._threads:
                thread.join()

    def _rendering_of(self, inspection: StoredInspection) -> Rendering:
        if inspection.score is None:
            raise NotFound("there is no picture: nothing was inferred", found=inspection.reason)
        pending = self._pending.get(inspection.id)
        if pending is not None:
            pending.asked.set()
            self.lull.look_again()
            pending.drawn.wait(_WAIT_SECONDS)
        found = None
        with contextlib.suppress(DatabaseLost), self._database.reading() as connection:
            found = find_rendering(connection, inspection.id)
        return found or self._draw_again(inspection)

    def _draw_for_ever(self) -> None:
        while (job := self._queue.get()) is not None:
            self._wait_for_a_lull(job)
            try:
                rendering = self._draw(job.facts, job.pixels, job.inference, job.inspection_id)
                self._watcher.stage("heatmap", time.monotonic() - job.queued)
                self._recorder.submit_rendering(rendering).add_done_callback(
                    partial(self._drawn, job.inspection_id)
                )
            except Exception as error:  # it is drawn again from the original
                _LOG.warning("pictures of %s wait: %s", job.inspection_id, error)
                self._missed.set()
                self._pending.pop(job.inspection_id).drawn.set()

    def _drawn(self, inspection_id: str, written: Future[str]) -> None:
        if isinstance(written.exception(), StorageError):
            self._missed.set()
        self._pending.pop(inspection_id).drawn.set()

    def _wait_for_a_lull(self, job: _Job) -> None:
        """Also when no image is there: the next one may come while the picture is being drawn."""
        left = job.queued + _HOLD_SECONDS - time.monotonic()
        if left > 0 and not self._closing.is_set():
            self.lull.wait(left, or_when=self._hurries)

    def _hurries(self) -> bool:
        """Somebody waits for a picture, this one or one behind it."""
        return self._closing.is_set() or any(job.asked.is_set() for job in list(self._pending.values()))

    def _draw(self, facts: ModelFacts, pixels: Pixels, inference: Inference, inspection_id: str) -> Rendering:
        maker = self._makers.get(facts.version)
        if maker is None:
            maker = self._makers[facts.version] = PictureMaker(facts.scale)
        heatmap, reconstruction = (
            self._recorder.put_blob(png, durable=False)
            for png in (maker.heatmap_png(inference.heatmap), maker.reconstruction_png(inference, pixels))
        )
        return Rendering(inspection_id=inspection_id, heatmap=heatmap, reconstruction=reconstruction)

    def _draw_again(self, inspection: StoredInspection) -> Rendering:
        if inspection.model_version != self._pool.model_version:
            raise Conflict(
                "the picture was not drawn in its time and cannot be now",
                expected=f"model {inspection.model_version}",
                found=f"model {self._pool.model_version}",
            )
        facts = self._models.of(inspection.model_version)
        pixels = read_image(self._recorder.get_blob(inspection.original), facts.images, name="original")
        inference = self._pool.infer(pixels, time.monotonic() + _INFER_SECONDS)
        rendering = self._draw(facts, pixels, inference, inspection.id)
        written = self._recorder.submit_rendering(rendering)
        if isinstance(written.exception(timeout=_INFER_SECONDS), DatabaseLost):
            self._missed.set()  # the picture is there all the same
        return rendering

    def _repair_for_ever(self) -> None:
        while not self._closing.wait(_REPAIR_EVERY_SECONDS):
            if self._missed.is_set() and not self._pending:
                try:
                    self._repair()
                except (WaferlensError, OSError) as error:
                    _LOG.warning("undrawn pictures wait: %s", error)

    def _repair(self) -> None:
        """Draw a few of those that are missing in the newest day; older ones are drawn when asked for."""
        self._missed.clear()
        now_ms = clock_ms()
        try:
            with self._database.reading() as connection:
                found = not_yet_rendered(
                    connection,
                    since_ms=now_ms - _LOOK_BACK_MS,
                    until_ms=now_ms + 1,
                    limit=_REPAIR_AT_ONCE,
                )
        except StorageError:
            self._missed.set()
            raise
        for inspection in found:
            if inspection.model_version != self._pool.model_version or inspection.id in self._pending:
                continue
            try:
                self._draw_again(inspection)
            except BlobMissing as error:
                self._watcher.alarm("original", f"{inspection.id}: {error}")
                continue
            except WaferlensError:
                self._missed.set()
                raise
            self._missed.set()  # there may be more
