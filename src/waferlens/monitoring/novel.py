"""A kind of defect that nobody has named, found among the images that do not pass, as they come.

Those images are mostly overkill and known defects; both have a history. A new kind shows as *too many images that are
alike*: around an image of the last hours, the k nearest of that window (one a wafer) lie within a radius r; the
history has a share s within r of the same place, so s times the window's wafers were to be expected there, and

    chance = P(Poisson(s m) >= k)          m: images of the window, s: (1 + history within r) / (1 + history)

is how surprising the crowd is. The least over several k is the image's; when it falls below what the false-alarm
budget leaves for one image, the crowd is an alarm. Windows of several lengths find the frequent soon and the rare in
days. A crowd most of whose images fit a named class is that class growing, and says so.

Nearness is Euclidean after each column was divided by its deviation over the history. Legend: h images of history, n of the window, D columns. Knows no record.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, Field
from scipy.spatial import cKDTree
from scipy.stats import poisson

from waferlens.errors import DataError
from waferlens.records import FloatArray

Floats = npt.NDArray[np.float64]
Texts = npt.NDArray[np.str_]


class NovelOptions(BaseModel, frozen=True, extra="forbid"):
    """How a crowd becomes an alarm."""

    false_alarms_per_month: float = Field(0.5, gt=0, le=100, description="budget of false novel alarms")
    images_per_month: int = Field(120_000, ge=100, description="that do not pass, of all products")
    windows: tuple[int, ...] = Field((300, 1200, 5000), min_length=1, description="last images that are compared")
    crowds: tuple[int, ...] = Field((6, 9, 14, 21), min_length=1, description="sizes k of a crowd, in wafers")
    num_components: int = Field(12, ge=2, le=64, description="principal components of latents and appearance")
    least_history: int = Field(500, ge=50, description="images of history before anything is said")
    known_share: float = Field(0.5, gt=0, le=1, description="of a crowd within a class, for the crowd to be it")

    def chance(self) -> float:
        """What one test may have. Neighbouring tests say nearly the same: each image counts once for each window."""
        return self.false_alarms_per_month / (self.images_per_month * len(self.windows))


@dataclass(frozen=True, kw_only=True)
class Doubtful:
    """Images that did not pass, oldest first. ids, wafers: (n,). at_ms: (n,). looks: (n, D), finite."""

    ids: Texts
    wafers: Texts
    at_ms: npt.NDArray[np.int64]
    looks: FloatArray

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, rows: slice | npt.NDArray[np.intp] | npt.NDArray[np.bool_]) -> Self:
        """Some of them."""
        return type(self)(**{name: values[rows] for name, values in vars(self).items()})


@dataclass(frozen=True, kw_only=True)
class Crowd:
    """Too many images that are alike.

    members: ids, the middle one first. wafers: distinct. first_ms, raised_ms: of the first member and of the alarm.
    expected: images that the history would have put there. known: name of the class that it belongs to, "" if none.
    centre: (D,) and radius, in the space of ``Space``.
    """

    members: tuple[str, ...]
    wafers: tuple[str, ...]
    first_ms: int
    raised_ms: int
    expected: float
    chance: float
    known: str
    centre: Floats
    radius: float


@dataclass(frozen=True, kw_only=True)
class Space:
    """Where images are compared: mean (D,) and deviation (D,), then axes (D, C) scaled by 1/deviation."""

    mean: Floats
    axes: Floats

    @classmethod
    def learn(cls, looks: FloatArray, num_components: int) -> Self:
        """From the history (h, D). Raises DataError for fewer rows than columns kept."""
        if len(looks) <= num_components:
            raise DataError("too few images to compare by", expected=f"> {num_components}", found=str(len(looks)))
        values = looks.astype(np.float64)
        mean, deviation = values.mean(axis=0), np.maximum(values.std(axis=0), 1e-6)
        cut = np.clip((values - mean) / deviation, -5, 5)
        _, _, vectors = np.linalg.svd(cut - cut.mean(axis=0), full_matrices=False)
        axes = vectors[:num_components].T / deviation[:, None]
        return cls(mean=mean, axes=np.asarray(axes, dtype=np.float64))

    def place(self, looks: FloatArray) -> Floats:
        """(n, D) to (n, C)."""
        return np.asarray((looks - self.mean) @ self.axes, dtype=np.float64)


class NovelWatch:
    """Takes images in the order of time and tells crowds. What it learned is the history it was built with."""

    def __init__(
        self, history: Doubtful, known: Mapping[str, FloatArray] | None = None, options: NovelOptions | None = None
    ) -> None:
        """history: images of a time before. known: examples (m, D) of each named class.

        Raises DataError when the history is shorter than ``least_history``.
        """
        self.options = options or NovelOptions()
        if len(history) < self.options.least_history:
            raise DataError(
                "the history of doubtful images is too short",
                expected=f"{self.options.least_history} or more images that did not pass",
                found=str(len(history)),
            )
        self.space = Space.learn(history.looks, self.options.num_components)
        placed = self.space.place(history.looks)
        self._history, self._num_history = cKDTree(placed), len(placed)
        self._known = {name: cKDTree(self.space.place(looks)) for name, looks in (known or {}).items() if len(looks)}
        self._all_known = self._known | {}
        self._window: Doubtful | None = None
        self._placed = np.empty((0, self.options.num_components))
        self._told: list[tuple[Floats, float, int]] = []

    def see(self, images: Doubtful) -> list[Crowd]:
        """More images, none older than those seen before; the crowds that became too large with them."""
        if not len(images):
            return []
        self._extend(images)
        assert self._window is not None
        found: list[Crowd] = []
        for length in self.options.windows:
            start = max(0, len(self._window) - length - len(images))
            found += self._crowds(start, len(self._window) - len(images))
        return self._distinct(found)

    def _extend(self, images: Doubtful) -> None:
        placed, keep = self.space.place(images.looks), max(self.options.windows)
        if self._window is None:
            self._window, self._placed = images, placed
            return
        joined = {
            name: np.concatenate([values[-keep:], getattr(images, name)])
            for name, values in vars(self._window).items()
        }
        self._window, self._placed = Doubtful(**joined), np.concatenate([self._placed[-keep:], placed])

    def _crowds(self, start: int, first_new: int) -> list[Crowd]:
        """Around each new image, among those from ``start`` on."""
        assert self._window is not None
        places, wafers = self._placed[start:], self._window.wafers[start:]
        most = min(len(places), 3 * max(self.options.crowds))
        tree = cKDTree(places)
        distances, rows = tree.query(self._placed[first_new:], k=most)
        if most == 1:
            return []
        found = []
        for index in range(len(distances)):
            crowd = self._surprise(distances[index], rows[index], wafers)
            if crowd is None:
                continue
            chance, radius, members, expected = crowd
            found.append(self._told_as(start + members, self._placed[first_new + index], radius, expected, chance))
        return found

    def _surprise(
        self, distances: Floats, rows: npt.NDArray[np.intp], wafers: Texts
    ) -> tuple[float, float, npt.NDArray[np.intp], float] | None:
        _, first = np.unique(wafers[rows], return_index=True)
        order = np.sort(first)  # the nearest image of each wafer, nearest first
        sizes = [k for k in self.options.crowds if k <= len(order)]
        best = None
        for k in sizes:
            radius = float(distances[order[k - 1]])
            centre = self._placed_of(rows[0], wafers)
            inside = self._history.query_ball_point(centre, radius, return_length=True)
            expected = (1 + inside) / (1 + self._num_history) * len(wafers)
            chance = float(poisson.sf(k - 1, expected)) * len(sizes)
            if best is None or chance < best[0]:
                best = (chance, radius, rows[order[:k]], expected)
        return best if best is not None and best[0] < self.options.chance() else None

    def _placed_of(self, row: int, wafers: Texts) -> Floats:
        return np.asarray(self._placed[len(self._placed) - len(wafers) + row])

    def _told_as(
        self, members: npt.NDArray[np.intp], centre: Floats, radius: float, expected: float, chance: float
    ) -> Crowd:
        assert self._window is not None
        return Crowd(
            members=tuple(map(str, self._window.ids[members])),
            wafers=tuple(map(str, self._window.wafers[members])),
            first_ms=int(self._window.at_ms[members].min()),
            raised_ms=int(self._window.at_ms[-1]),
            expected=expected,
            chance=chance,
            known=self._class_of(self._placed[members]),
            centre=centre,
            radius=radius,
        )

    def _class_of(self, places: Floats) -> str:
        """The class whose examples most of these are nearest to, and no farther than its own lie apart."""
        votes: dict[str, int] = {}
        for place in places:
            best, least = "", np.inf
            for name, tree in self._known.items():
                distance = float(tree.query(place)[0])
                if distance < least and distance <= self._spread(name):
                    best, least = name, distance
            votes[best] = votes.get(best, 0) + 1
        name, num = max(((n, v) for n, v in votes.items() if n), key=lambda each: each[1], default=("", 0))
        return name if num >= self.options.known_share * len(places) else ""

    def _spread(self, name: str) -> float:
        """Nine in ten examples of the class have their nearest other within this."""
        tree = self._known[name]
        if tree.n < 2:
            return 0.0
        apart = tree.query(tree.data, k=2)[0][:, 1]
        return float(np.quantile(apart, 0.9))

    def _distinct(self, crowds: list[Crowd]) -> list[Crowd]:
        """The most surprising of those that overlap, and none that was told already."""
        kept: list[Crowd] = []
        for crowd in sorted(crowds, key=lambda each: each.chance):
            near = [
                float(np.linalg.norm(crowd.centre - centre)) < max(radius, crowd.radius) * 2
                for centre, radius, _ in self._told
            ]
            if not any(near):
                self._told.append((crowd.centre, crowd.radius, crowd.raised_ms))
                kept.append(crowd)
        return kept
