"""Classes that people named, by their examples, and to which of them a crowd of images belongs."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from scipy.spatial.distance import cdist

Floats = npt.NDArray[np.float64]


class KnownClasses:
    """Examples of named classes, and to which of them a crowd belongs."""

    def __init__(self, places: Mapping[str, Floats]) -> None:
        """places: (m, C) by name; a class of fewer than two examples cannot be told and is left out."""
        self._places = {name: own for name, own in places.items() if len(own) > 1}
        self._reach = {name: _spread(own) for name, own in self._places.items()}

    def of(self, places: Floats, least_share: float) -> str:
        """The class that holds at least this share of a crowd (n, C); "" when none does.

        An image belongs to the class of its nearest example, if that is no farther than nine in ten of the
        class's own examples lie from each other.
        """
        if not self._places or not len(places):
            return ""
        names = list(self._places)
        nearest = np.stack([cdist(places, self._places[name]).min(axis=1) for name in names], axis=1)
        best = nearest.argmin(axis=1)
        belongs = nearest[np.arange(len(places)), best] <= np.array([self._reach[name] for name in names])[best]
        counts = np.bincount(best[belongs], minlength=len(names))
        return names[int(counts.argmax())] if counts.max() >= least_share * len(places) else ""


def _spread(places: Floats) -> float:
    apart = cdist(places, places)
    np.fill_diagonal(apart, np.inf)
    return float(np.quantile(apart.min(axis=1), 0.9))
