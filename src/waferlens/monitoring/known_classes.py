"""Classes that people named, by their examples, and which of them explains a crowd of images.

The history holds every known class at its usual rate, so a crowd is either new or a known class that grew. An
image looks like the class of its nearest example, if that is as near as nine in ten of the class's own examples
are to each other. With c of n images of the window and b of h of the history looking like a class, it grew by g
= (c / n) / (b / h), and explains a crowd of k images within r of a place when some example lies there and, j of
the history within r,

    P(NB(j + 1, h / (h + g n)) >= k) >= 0.001

A class that is merely the nearest one, or lies elsewhere, explains nothing. Knows no record.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from scipy.spatial.distance import cdist
from scipy.stats import nbinom

Floats = npt.NDArray[np.float64]

_LEAST_CHANCE = 1e-3


class KnownClasses:
    """Examples of named classes, and how common each is in the history."""

    def __init__(self, places: Mapping[str, Floats], history: Floats) -> None:
        """places: (m, C) by name; a class of fewer than two examples cannot be told and is left out.

        history: (h, C).
        """
        self._places = {name: own for name, own in places.items() if len(own) > 1}
        self._reach = {name: _spread(own) for name, own in self._places.items()}
        self._history = history
        self._usual = self._alike(history)

    def explaining(self, centre: Floats, radius: float, num_members: int, window: Floats) -> str:
        """The class that explains so many images within ``radius`` of ``centre`` (C,) best; "" when none does.

        window: (n, C) places of the images among which they are.
        """
        best, most, num = "", _LEAST_CHANCE, len(self._history)
        inside = int((np.linalg.norm(self._history - centre, axis=1) <= radius).sum())
        for name, num_alike in self._alike(window).items():
            if not (np.linalg.norm(self._places[name] - centre, axis=1) <= radius).any():
                continue
            grown = max(1.0, num_alike * num / (len(window) * (self._usual[name] + 0.5)))
            chance = float(nbinom.sf(num_members - 1, inside + 1, num / (num + grown * len(window))))
            if chance >= most:
                best, most = name, chance
        return best

    def _alike(self, images: Floats) -> dict[str, int]:
        """How many images (n, C) look like each class."""
        if not self._places or not len(images):
            return dict.fromkeys(self._places, 0)
        names = list(self._places)
        nearest = np.stack([cdist(images, self._places[name]).min(axis=1) for name in names], axis=1)
        best = nearest.argmin(axis=1)
        belongs = nearest[np.arange(len(images)), best] <= np.array([self._reach[name] for name in names])[best]
        counts = np.bincount(best[belongs], minlength=len(names))
        return {name: int(count) for name, count in zip(names, counts, strict=True)}


def _spread(places: Floats) -> float:
    apart = cdist(places, places)
    np.fill_diagonal(apart, np.inf)
    return float(np.quantile(apart.min(axis=1), 0.9))
