"""What an inspector may see beside an image: a normal one, similar defects, the neighbours on the wafer.

Of an item that hides its score only the normal image is told: the rest would tell what the model thinks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from waferlens.records import DecisionKind
from waferlens.review.queue import Look
from waferlens.review.similarity import SettledImages, Similar
from waferlens.storage.database import Database
from waferlens.storage.inspections import points_of_wafer
from waferlens.storage.review_verdicts import newest_settlements
from waferlens.storage.reviewed import newest_passed
from waferlens.storage.stored import StoredInspection

_AMONG_PASSED = 5_000


@dataclass(frozen=True, kw_only=True)
class Neighbour:
    """Another point of the same wafer, as it was inspected last. disposition: what people settled, else None."""

    inspection_id: str
    inspection_point: int
    decision: DecisionKind
    disposition: DecisionKind | None


@dataclass(frozen=True, kw_only=True)
class Context:
    """What stands beside an image. normal: the nearest one; confirmed: whether a person settled that it is normal.

    normal is None where there is none; similar and neighbours are empty where the score is hidden.
    """

    normal: str | None
    confirmed: bool
    similar: tuple[Similar, ...]
    neighbours: tuple[Neighbour, ...]


class ContextOfLooks:
    """Finds what stands beside an image."""

    def __init__(self, database: Database, images: SettledImages) -> None:
        self._database, self._images = database, images

    def of(self, look: Look, *, num_similar: int = 6, num_neighbours: int = 8) -> Context:
        """The context of a look. Raises DatabaseLost."""
        inspection = look.inspection
        normal, confirmed = self._normal(inspection)
        if look.hides_score:
            return Context(normal=normal, confirmed=confirmed, similar=(), neighbours=())
        return Context(
            normal=normal,
            confirmed=confirmed,
            similar=tuple(self._alike(inspection, DecisionKind.REJECT, num_similar)),
            neighbours=tuple(self._neighbours(inspection, num_neighbours)),
        )

    def _normal(self, inspection: StoredInspection) -> tuple[str | None, bool]:
        """The most similar image that a person passed; else the newest that the model passed at the same point."""
        nearest = self._alike(inspection, DecisionKind.PASS, 1)
        if nearest:
            return nearest[0].image.inspection_id, True
        with self._database.reading() as connection:
            found = newest_passed(connection, inspection.product, inspection.inspection_point, among=_AMONG_PASSED)
        return found, False

    def _alike(self, inspection: StoredInspection, disposition: DecisionKind, count: int) -> list[Similar]:
        if inspection.latent is None:
            return []
        found = self._images.similar(
            np.frombuffer(inspection.latent, dtype="<f4"),
            inspection.model_version,
            disposition,
            product=inspection.product,
            count=count + 1,
        )
        return [each for each in found if each.image.inspection_id != inspection.id][:count]

    def _neighbours(self, inspection: StoredInspection, count: int) -> list[Neighbour]:
        """The points whose numbers are nearest, by number."""
        with self._database.reading() as connection:
            points = points_of_wafer(connection, inspection.wafer_id)
            others = [point for point in points if point.inspection_point != inspection.inspection_point]
            here = inspection.inspection_point
            nearest = sorted(others, key=lambda point: abs(point.inspection_point - here))[:count]
            settled = newest_settlements(connection, [point.id for point in nearest])
        return [
            Neighbour(
                inspection_id=point.id,
                inspection_point=point.inspection_point,
                decision=point.decision,
                disposition=settled[point.id].disposition if point.id in settled else None,
            )
            for point in sorted(nearest, key=lambda point: point.inspection_point)
        ]
