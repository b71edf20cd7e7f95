"""Everything a report says, handed over in one piece. Computes nothing and draws nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from waferlens.errors import DataError
from waferlens.evaluation.exploration import ExplorationData
from waferlens.evaluation.novel_defects import NovelDefects
from waferlens.evaluation.pod_study import PodStudy
from waferlens.evaluation.robustness import Robustness
from waferlens.evaluation.scored import ScoredImages
from waferlens.records import Estimate


@dataclass(frozen=True, kw_only=True)
class ReportContent:
    """The input of `report.write_report`.

    title: heading. detector: what the bundle answered on the test set. baselines: by name, scored on the
    same images in the same order. metrics: `summary.metrics_for` of the detector, under
    ``detector.method``, and of each baseline under its name. exploration: the images before any model.

    history: one mapping an epoch with `plots_data.HISTORY_KEYS`; empty when there is none.
    review_threshold, reject_threshold: the bundle's, on the calibrated score; thresholds_policy: how they
    were set, in a sentence. data_facts: counts, splits, preprocessing, by name. baseline_notes: what the
    reader must know, such as where k was cut. provenance: seed, commit, data fingerprint, versions, command.
    novel_defects: each type held out, clusters and map of the latents; None leaves the section out.
    latency_ms: of one image, if measured, and latency_note: on which machine.
    robustness: the detector on disturbed images, if that was asked for. pod: on planted defects, if asked for.
    ablation: `summary.metrics_for` of the detector with steps of its score left out, by what is left.

    Raises DataError when metrics are missing or a baseline scored other images.
    """

    title: str
    detector: ScoredImages
    metrics: Mapping[str, Mapping[str, Any]]
    exploration: ExplorationData
    baselines: Mapping[str, ScoredImages] = field(default_factory=dict)
    history: Sequence[Mapping[str, float]] = ()
    review_threshold: float | None = None
    reject_threshold: float | None = None
    thresholds_policy: str = ""
    data_facts: Mapping[str, str] = field(default_factory=dict)
    baseline_notes: Sequence[str] = ()
    provenance: Mapping[str, str] = field(default_factory=dict)
    latency_ms: Estimate | None = None
    latency_note: str = ""
    novel_defects: NovelDefects | None = None
    seed: int = 0
    robustness: Robustness | None = None
    pod: PodStudy | None = None
    ablation: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        missing = {self.detector.method, *self.baselines} - set(self.metrics)
        if missing:
            raise DataError(
                "a method has no metrics", expected="metrics of every method", found=f"none of {missing}"
            )
        for name, baseline in self.baselines.items():
            if baseline.names != self.detector.names:
                raise DataError(
                    f"baseline {name} scored other images than the detector",
                    expected=f"the same {self.detector.num_images} images in the same order",
                    found=f"{baseline.num_images} images",
                )
