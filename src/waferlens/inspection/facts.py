"""What the use case must know of a bundle besides its network: how images are read, what scores mean, colours."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from waferlens.bundle.contents import load_config, load_reference, load_thresholds
from waferlens.decision.thresholds import Scores, Thresholds, p_values
from waferlens.errors import NotFound
from waferlens.images.options import ImageOptions
from waferlens.inspection.heatmap import HeatScale, heat_scale_of


@dataclass(frozen=True, kw_only=True)
class ModelFacts:
    """One model. thresholds: those of its bundle. normal_scores: (n,) of held-out normals, for p-values."""

    version: str
    product: str
    images: ImageOptions
    thresholds: Thresholds
    normal_scores: Scores
    scale: HeatScale
    bundle: Path

    def p_value(self, score: float) -> float:
        """How often a normal image scores as high, in (0, 1]."""
        return float(p_values(np.asarray([score]), self.normal_scores)[0])


def load_facts(bundle: Path) -> ModelFacts:
    """The facts of a bundle whose hashes were verified. Raises BundleError."""
    config, thresholds, reference = load_config(bundle), load_thresholds(bundle), load_reference(bundle)
    return ModelFacts(
        version=f"{config.name}-{config.version}",
        product=str(config.recipe.get("name", "default")),
        images=config.images,
        thresholds=thresholds,
        normal_scores=reference.scores if thresholds.score_name == "score" else reference.reconstruction_errors,
        scale=heat_scale_of(bundle),
        bundle=bundle,
    )


class KnownModels:
    """The facts of every model that the service has loaded, and the band that holds for each now."""

    def __init__(self, first: ModelFacts) -> None:
        self._facts = {first.version: first}
        self._bands: dict[str, Thresholds] = {}
        self._lock = threading.Lock()

    def add(self, facts: ModelFacts) -> None:
        """A model that images may go to from now on."""
        with self._lock:
            self._facts[facts.version] = facts

    def versions(self) -> set[str]:
        """Every version that images may go to."""
        return set(self._facts)

    def knows(self, version: str) -> bool:
        """Whether images may go to this version."""
        return version in self._facts

    def of(self, version: str) -> ModelFacts:
        """The facts of a version. Raises NotFound."""
        if version not in self._facts:
            raise NotFound("this model is not loaded", found=version)
        return self._facts[version]

    def of_or_running(self, version: str) -> ModelFacts:
        """The facts of a version; where it is loaded no more, of the first model: images are read alike."""
        return self._facts.get(version) or next(iter(self._facts.values()))

    def scale_of(self, version: str) -> HeatScale | None:
        """The colour scale of a version; None where it is loaded no more."""
        facts = self._facts.get(version)
        return None if facts is None else facts.scale

    def thresholds_of(self, version: str) -> Thresholds:
        """The thresholds that decide now: those of the bundle, or the band that an engineer set."""
        return self._bands.get(version) or self.of(version).thresholds

    def set_band(self, version: str, review: float | None, reject: float | None) -> None:
        """Decide with these two thresholds from now on; with None, with those of the bundle again."""
        with self._lock:
            if review is None or reject is None:
                self._bands.pop(version, None)
            else:
                self._bands[version] = replace(self.of(version).thresholds, review=review, reject=reject)
