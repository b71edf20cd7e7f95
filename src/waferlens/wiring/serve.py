"""``waferlens serve`` without its HTTP: bundle, record and use case put together."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from waferlens.engines.fleet import Fleet
from waferlens.errors import BundleError, Conflict, OptionsError
from waferlens.inspection.facts import KnownModels, ModelFacts, load_facts
from waferlens.inspection.failsafe import FailSafe
from waferlens.inspection.ports import InferencePool
from waferlens.inspection.rendering import Renderer
from waferlens.inspection.service import InspectionService
from waferlens.lifecycle.rollout import Rollout
from waferlens.monitoring.metrics import ServiceMetrics
from waferlens.monitoring.record_metrics import RecordGauges
from waferlens.settings.service import ServiceSettings, bundles_folder
from waferlens.storage.histories import newest_band
from waferlens.storage.journal import Journal
from waferlens.storage.recorder import Recorder
from waferlens.wiring.following import Following
from waferlens.wiring.guardrails import Guard
from waferlens.wiring.record import Record, open_journal, open_record
from waferlens.wiring.record_figures import RecordFigures
from waferlens.wiring.review import Review, open_review
from waferlens.wiring.rollout_figures import RolloutFigures
from waferlens.wiring.settled import SettledEscapes
from waferlens.wiring.trusted import verify_configured


@dataclass(frozen=True, kw_only=True)
class Service:
    """A running service; doors for machines and people are built on it."""

    record: Record
    settings: ServiceSettings
    pool: InferencePool
    models: KnownModels
    inspections: InspectionService
    renderer: Renderer
    recorder: Recorder
    journal: Journal
    metrics: ServiceMetrics
    review: Review
    figures: RecordFigures
    rollout: Rollout
    following: Following | None
    guard: Guard

    def swap(self, bundle: Path) -> str:
        """Go over to another bundle; its version. Raises BundleError, EngineError: the old one stays.

        Conflict where a rollout decides what is served.
        """
        champion = self.rollout.roles().champion
        if champion is not None and self.following is not None:
            raise Conflict("the rollout decides what is served", expected=f"its champion, {champion.version}")
        verify_configured(bundle)
        facts = load_facts(bundle)
        if facts.version == self.pool.model_version:  # its thresholds would decide on the old one's scores
            raise BundleError("this version runs already", expected="another version", found=facts.version)
        self.models.add(facts)
        self._follow_band(facts.version)
        self.pool.swap(bundle)
        self.metrics.running(facts.version)
        return facts.version

    def follow_bands(self) -> None:
        """Take over bands that another process set. Raises DatabaseLost."""
        for version in self.pool.warm_versions if isinstance(self.pool, Fleet) else (self.pool.model_version,):
            self._follow_band(version)

    def follow_rollout(self) -> None:
        """Serve what the rollout in the record says, also when another process moved it. Raises DatabaseLost."""
        if self.following is not None:
            before = self.models.versions()
            self.following.follow()
            for version in self.models.versions() - before:
                self._follow_band(version)
            self.metrics.running(self.pool.model_version)

    def close(self) -> None:
        """Finish what was begun, then end every thread."""
        self.inspections.close()
        self.renderer.close()
        self.recorder.close()
        self.pool.close()
        self.record.database.close()

    def _follow_band(self, version: str) -> None:
        with self.record.database.reading() as connection:
            band = newest_band(connection, version)
        if band is not None:
            self.models.set_band(version, band.review_threshold, band.reject_threshold)


def start_service(facts: ModelFacts, record: Record, settings: ServiceSettings, pool: InferencePool) -> Service:
    """The use case over a pool that has loaded the bundle of these facts. Raises DatabaseLost, OSError."""
    metrics, journal = ServiceMetrics(), open_journal(record.home)
    models = KnownModels(facts)
    review = open_review(record, settings.review, settings.num_points())
    review.begin()
    recorder = Recorder(record.database, record.blobs, journal, review.admitting.admit)
    renderer = Renderer(pool, models, recorder, record.database, metrics)
    renderer.start()
    inspections = InspectionService(
        FailSafe(
            pool, models, settings.known_products(), renderer.lull, pool if isinstance(pool, Fleet) else None
        ),
        recorder,
        journal,
        record.database,
        renderer,
        metrics,
        settings.inspection,
    )
    metrics.gauge(
        "waferlens_journal_waiting", "Inspections and images that wait for the record.", journal.num_waiting
    )
    metrics.gauge("waferlens_images_inside", "Images that are being inspected now.", inspections.num_inside)
    metrics.gauge("waferlens_queue_depth", "Images that wait for a free engine.", lambda: _waiting(pool))
    metrics.gauge(
        "waferlens_pictures_pending", "Inspections whose pictures are not drawn yet.", renderer.num_pending
    )
    metrics.begin_products(list(settings.products))
    metrics.watch_machine(record.home)
    metrics.gauge("waferlens_ready", "Whether an image sent now would be inferred.", lambda: float(pool.ready))
    rollout = Rollout(record.database, record.audit)
    guard = Guard(record.database, rollout, metrics, settings.guardrails, SettledEscapes(record.database))
    following = None
    if isinstance(pool, Fleet):
        following = Following(bundles_folder(record.home), pool, models, rollout, metrics)
    service = Service(
        record=record,
        settings=settings,
        pool=pool,
        models=models,
        inspections=inspections,
        renderer=renderer,
        recorder=recorder,
        journal=journal,
        metrics=metrics,
        review=review,
        figures=RecordFigures(
            record.database,
            review,
            RecordGauges(metrics.registry),
            RolloutFigures(record.database, rollout, guard),
        ),
        rollout=rollout,
        following=following,
        guard=guard,
    )
    service.follow_bands()
    service.follow_rollout()
    metrics.running(pool.model_version)
    return service


def _waiting(pool: InferencePool) -> float:
    """Servers keep queues of their own and tell them themselves."""
    return float(getattr(pool, "num_waiting", 0))


def bundle_to_serve(home: Path, told: Path | None) -> Path:
    """The champion of the home's rollout where it has one, else the bundle that was given.

    Raises OptionsError when there is neither.
    """
    record = open_record(home)
    champion = Rollout(record.database, record.audit).roles().champion
    record.database.close()
    if champion is not None:
        return bundles_folder(home) / champion.version
    if told is None:
        raise OptionsError("nothing to serve", expected="--bundle, or a champion of the rollout")
    return told


def resolve_bundle(home: Path, name: str) -> Path:
    """A bundle in ``bundles_folder``: the only place that one is loaded from at run time. Raises BundleError."""
    folder = bundles_folder(home).resolve()
    bundle = (folder / name).resolve()
    if bundle.parent != folder or not bundle.is_dir():
        raise BundleError("no such bundle", expected="a folder in HOME/bundles", found=name)
    return bundle
