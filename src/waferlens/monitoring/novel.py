"""A kind of defect that nobody has named, found among the images that do not pass, as they come.

Those images are mostly overkill and known defects; both have a history. A new kind shows as *too many images
that are alike*: around an image of the last hours, the k nearest of that window (one a wafer) lie within a
radius r; the history has j of its h images within r of the same place, and

    chance = P(NB(j + 1, h / (h + n)) >= k)          n: images of the window, NB: negative binomial

(what so many more images bring when j of h is all that is known of their rate) is how surprising the crowd is.
The least over several k is the image's; when it falls below what the false-alarm budget leaves for one image,
the crowd is an alarm. Windows of several lengths find the frequent soon and the rare in days. A crowd that a
named class explains (``known_classes``) is that class growing, and says so.

Nearness is Euclidean among the first principal components of the history, each divided by its own deviation.
Legend: h images of history, n of the window, D columns, C components. Knows no record.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, Field
from scipy.spatial.distance import cdist
from scipy.stats import nbinom

from waferlens.errors import DataError
from waferlens.monitoring.known_classes import KnownClasses
from waferlens.records import FloatArray

Floats = npt.NDArray[np.float64]
Texts = npt.NDArray[np.str_]

_LOOKED_AT = 200
"""Nearest images among which one a wafer is taken."""


class NovelOptions(BaseModel, frozen=True, extra="forbid"):
    """How a crowd becomes an alarm."""

    false_alarms_per_month: float = Field(
        0.05,
        gt=0,
        le=100,
        description="budget of false novel alarms, were images independent; simulated, three times more",
    )
    images_per_month: int = Field(120_000, ge=100, description="that do not pass, of all products")
    windows: tuple[int, ...] = Field((240, 800, 4000), min_length=1, description="last images that are compared")
    crowds: tuple[int, ...] = Field(
        (4, 5, 6, 7, 8, 10, 12, 15, 18, 22, 27, 32), min_length=1, description="sizes k of a crowd, in wafers"
    )
    num_components: int = Field(40, ge=2, le=64, description="principal components of latents and appearance")
    least_history: int = Field(500, ge=50, description="images of history before anything is said")

    def chance(self) -> float:
        """What one crowd may have, all its sizes together: an image counts once for each window."""
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

    members: ids, the middle one first. wafers: distinct. first_ms, raised_ms: of the first member and of the
    alarm. expected: images that the history would have put there. known: name of the class that it belongs to,
    "" if none. centre: (D,) and radius, in the space of ``Space``.
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
    """Where images are compared: mean (D,), and axes (D, C) along which the history has deviation 1."""

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
        _, sizes, vectors = np.linalg.svd(cut - cut.mean(axis=0), full_matrices=False)
        spread = np.maximum(sizes[:num_components] / np.sqrt(len(values)), 1e-3)
        axes = vectors[:num_components].T / deviation[:, None] / spread
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
        self._history = self.space.place(history.looks)
        places = {name: self.space.place(looks) for name, looks in (known or {}).items()}
        self._classes = KnownClasses(places, self._history)
        self._window: Doubtful | None = None
        self._placed = np.empty((0, self.options.num_components))
        self._told: list[_Told] = []

    def see(self, images: Doubtful) -> list[Crowd]:
        """More images, none older than those seen before; the crowds that became too large with them."""
        if not len(images):
            return []
        self._extend(images)
        first_new = len(self._placed) - len(images)
        to_history = np.sort(cdist(self._placed[first_new:], self._history), axis=1)
        to_window = cdist(self._placed[first_new:], self._placed)
        found: list[Crowd] = []
        for row in range(len(images)):
            found += self._around(first_new + row, to_window[row], to_history[row])
        return self._distinct(found)

    def _extend(self, images: Doubtful) -> None:
        keep, placed = max(self.options.windows), self.space.place(images.looks)
        if self._window is None:
            self._window, self._placed = images, placed
            return
        joined = {n: np.concatenate([v[-keep:], getattr(images, n)]) for n, v in vars(self._window).items()}
        self._window, self._placed = Doubtful(**joined), np.concatenate([self._placed[-keep:], placed])

    def _around(self, index: int, to_window: Floats, to_history: Floats) -> list[Crowd]:
        """The most surprising crowd around one new image, if any is surprising enough."""
        assert self._window is not None
        best: tuple[float, float, npt.NDArray[np.intp], float, int] | None = None
        for length in self.options.windows:
            start = max(0, index + 1 - length)
            if start == 0 and index + 1 < length / 2 and length > min(self.options.windows):
                continue  # a shorter window says the same
            nearest = _one_a_wafer(to_window[start : index + 1], self._window.wafers[start : index + 1])
            sizes = np.array([k for k in self.options.crowds if k <= len(nearest)], dtype=np.intp)
            if not len(sizes):
                continue
            radii = to_window[start + nearest[sizes - 1]]
            inside = np.searchsorted(to_history, radii, side="right")
            num = index + 1 - start
            expected = (1 + inside) / len(to_history) * num
            # Given j of h within r, the count among n more is negative binomial: j + 1 successes, chance h / (h
            # + n).
            chances = nbinom.sf(sizes - 1, inside + 1, len(to_history) / (len(to_history) + num)) * len(sizes)
            least = int(chances.argmin())
            if chances[least] < self.options.chance() and (best is None or chances[least] < best[0]):
                members = start + nearest[: sizes[least]]
                best = (float(chances[least]), float(radii[least]), members, float(expected[least]), start)
        return [] if best is None else [self._crowd(index, *best)]

    def _crowd(
        self, index: int, chance: float, radius: float, members: npt.NDArray[np.intp], expected: float, start: int
    ) -> Crowd:
        assert self._window is not None
        return Crowd(
            members=tuple(map(str, self._window.ids[members])),
            wafers=tuple(map(str, self._window.wafers[members])),
            first_ms=int(self._window.at_ms[members].min()),
            raised_ms=int(self._window.at_ms[index]),
            expected=expected,
            chance=chance,
            known=self._classes.explaining(
                self._placed[index], radius, len(members), self._placed[start : index + 1]
            ),
            centre=self._placed[index],
            radius=radius,
        )

    def _distinct(self, crowds: list[Crowd]) -> list[Crowd]:
        """The most surprising of those that overlap, and none that goes on with one that was told already."""
        kept: list[Crowd] = []
        for crowd in sorted(crowds, key=lambda each: each.chance):
            known = next((told for told in self._told if told.goes_on(crowd)), None)
            if known is not None:
                known.members.update(crowd.members)
                continue
            self._told.append(_Told(crowd.centre, crowd.radius, set(crowd.members)))
            kept.append(crowd)
        return kept


@dataclass
class _Told:
    """A crowd that was told, and all images that were ever seen in it."""

    centre: Floats
    radius: float
    members: set[str]

    def goes_on(self, crowd: Crowd) -> bool:
        """Whether that crowd is this one: they share an image, or lie as near as either is wide."""
        near = float(np.linalg.norm(crowd.centre - self.centre)) < 2 * max(self.radius, crowd.radius)
        return near or not self.members.isdisjoint(crowd.members)


def _one_a_wafer(distances: Floats, wafers: Texts) -> npt.NDArray[np.intp]:
    """Rows of the nearest image of each of the nearest wafers, nearest first."""
    num = min(len(distances), _LOOKED_AT)
    rows = np.argpartition(distances, num - 1)[:num] if num < len(distances) else np.arange(num)
    rows = rows[np.argsort(distances[rows], kind="stable")]
    _, first = np.unique(wafers[rows], return_index=True)
    return np.asarray(rows[np.sort(first)])
