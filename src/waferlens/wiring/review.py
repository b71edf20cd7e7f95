"""The review of a record, put together: queue, verdicts, classes, figures, similar images, atlas."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from waferlens.review.admission import Admission
from waferlens.review.admit import Admitting
from waferlens.review.atlas import Atlas
from waferlens.review.classes import Taxonomy
from waferlens.review.consequences import Consequences
from waferlens.review.context import ContextOfLooks
from waferlens.review.dataset import Exported, Table, export_dataset
from waferlens.review.draws import SECRET_BYTES, Draws
from waferlens.review.figures import Figures
from waferlens.review.known import KnownAnswers
from waferlens.review.labelling import Labelling
from waferlens.review.policy import ReviewOptions
from waferlens.review.ports import Clock, WallClock
from waferlens.review.queue import ReviewQueue
from waferlens.review.similarity import SettledImages
from waferlens.review.verdicts import Verdicts
from waferlens.storage.review_queue import review_secret
from waferlens.storage.reviewed import labelled_images
from waferlens.storage.stored import DAY_MS
from waferlens.wiring.record import Record


@dataclass(frozen=True, kw_only=True)
class Review:
    """Everything that the review's doors call."""

    options: ReviewOptions
    admitting: Admitting
    queue: ReviewQueue
    verdicts: Verdicts
    taxonomy: Taxonomy
    known: KnownAnswers
    figures: Figures
    context: ContextOfLooks
    atlas: Atlas
    labelling: Labelling
    clock: Clock

    def begin(self) -> int:
        """Give a new record its classes and admit what was recorded elsewhere; how many inspections were.

        Raises DatabaseLost.
        """
        self.taxonomy.begin_with(self.options.classes)
        return self.admitting.catch_up(self.clock.now_ms() - round(self.options.catch_up_days * DAY_MS))


def open_review(
    record: Record, options: ReviewOptions, num_points: Mapping[str, int | None], clock: Clock | None = None
) -> Review:
    """The review of a record. num_points: of a wafer, by product, where it is known. Raises DatabaseLost."""
    clock = clock or WallClock()
    database, audit = record.database, record.audit
    with database.writing() as connection:
        draws = Draws(review_secret(connection, os.urandom(SECRET_BYTES)))
    admission = Admission(draws, options)
    consequences = Consequences(admission, num_points)
    return Review(
        options=options,
        admitting=Admitting(database, admission),
        queue=ReviewQueue(database, admission, draws, options, clock),
        verdicts=Verdicts(database, audit, consequences, options, clock),
        taxonomy=Taxonomy(database, audit, clock),
        known=KnownAnswers(database, audit, clock),
        figures=Figures(database, clock),
        context=ContextOfLooks(database, SettledImages(database, options.similar_images)),
        atlas=Atlas(database),
        labelling=Labelling(database, audit, admission, consequences, clock),
        clock=clock,
    )


def export_labels(
    record: Record, out: Path, *, since_ms: int, until_ms: int, table: Table, actor: str
) -> Exported:
    """The settled images of a period as a data set, noted in the audit log.

    Raises DataError, StorageError, OSError.
    """
    with record.database.reading() as connection:
        labelled = list(labelled_images(connection, since_ms=since_ms, until_ms=until_ms))
    exported = export_dataset(labelled, record.blobs.get, out, table=table)
    record.audit.record(actor, "labels exported", exported.as_dict())
    return exported
