"""A whole study of probability of detection: which defects are planted at which sizes, and what became of each.

Knows neither images nor detectors: trials come in as found or missed.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

from pydantic import BaseModel, Field

from waferlens.evaluation.pod import fit_pod
from waferlens.evaluation.pod_curve import PodCurve
from waferlens.images.planting import SIZE_LIMITS_PX, PlantKind, PlantSpec
from waferlens.records import Estimate

Alarm = Literal["review", "reject"]
"""From which threshold on a defect counts as found."""

STEP = 2**0.5
"""From one size of a ladder to the next."""

SMALLEST_PX: Mapping[PlantKind, float] = MappingProxyType(
    {
        PlantKind.BLOTCH: 2.0,
        PlantKind.SCRATCH: 6.0,
        PlantKind.PASTED: 4.0,
        PlantKind.MOVED: 4.0,
        PlantKind.ERASED: 4.0,
        PlantKind.BENT: 8.0,
    }
)
"""Where the ladder of each kind begins."""

SIZE_NAMES: Mapping[PlantKind, str] = MappingProxyType(
    {
        PlantKind.BLOTCH: "diameter",
        PlantKind.SCRATCH: "length",
        PlantKind.PASTED: "side",
        PlantKind.MOVED: "side",
        PlantKind.ERASED: "side",
        PlantKind.BENT: "diameter",
    }
)
"""What the size of each kind is called."""


class PodOptions(BaseModel, frozen=True, extra="forbid"):
    """What is planted."""

    num_sizes: int = Field(9, ge=3, le=9, description="sizes of each ladder, each 1.41 times the one before")
    contrasts: tuple[float, ...] = Field(
        (0.1, 0.2, 0.4), min_length=1, description="of blotches and scratches, share of full scale"
    )

    def ladder(self, kind: PlantKind) -> tuple[float, ...]:
        """Sizes in pixels, ascending."""
        largest = SIZE_LIMITS_PX[1]
        sizes = (round(SMALLEST_PX[kind] * STEP**step, 1) for step in range(self.num_sizes))
        return tuple(min(size, largest) for size in sizes)

    def series(self) -> tuple[tuple[PlantSpec, ...], ...]:
        """The defects of each curve: one kind and one contrast at every size of its ladder."""
        return tuple(
            tuple(PlantSpec(kind=kind, size_px=size, contrast=contrast) for size in self.ladder(kind))
            for kind in PlantKind
            for contrast in (self.contrasts if kind.has_contrast else (None,))
        )


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One planted defect. group: of its image. is_found: None where the defect could not be planted visibly."""

    spec: PlantSpec
    group: Hashable
    is_found: bool | None


@dataclass(frozen=True, kw_only=True)
class PodSeries:
    """The curve of one kind and contrast; None when it could be planted at fewer than two sizes."""

    kind: PlantKind
    contrast: float | None
    num_not_planted: int
    curve: PodCurve | None

    @property
    def name(self) -> str:
        """Such as 'scratch, 20 %'."""
        return str(self.kind) if self.contrast is None else f"{self.kind}, {100 * self.contrast:g} %"

    @property
    def size_name(self) -> str:
        """What its size is called."""
        return SIZE_NAMES[self.kind]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "kind": str(self.kind),
            "contrast": self.contrast,
            "size_is": self.size_name,
            "num_not_planted": self.num_not_planted,
            "curve": None if self.curve is None else self.curve.as_dict(),
        }


@dataclass(frozen=True, kw_only=True)
class PodStudy:
    """alarm, threshold, score_name: what counts as found. source: which normal images were used, in words.

    num_normals: of which num_planted, those that raise no alarm as they are, were planted on; num_groups of them.
    false_call_rate: alarms among the num_normals, unplanted.
    """

    alarm: Alarm
    threshold: float
    score_name: str
    source: str
    num_normals: int
    num_planted: int
    num_groups: int
    false_call_rate: Estimate
    series: tuple[PodSeries, ...]
    seed: int

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "alarm": self.alarm,
            "threshold": self.threshold,
            "score_name": self.score_name,
            "source": self.source,
            "num_normals": self.num_normals,
            "num_planted": self.num_planted,
            "num_groups": self.num_groups,
            "false_call_rate": self.false_call_rate.as_dict(),
            "seed": self.seed,
            "series": [series.as_dict() for series in self.series],
        }


def series_of(trials: Sequence[Trial], *, seed: int) -> PodSeries:
    """The curve of the trials of one kind and contrast, at least one."""
    planted = [trial for trial in trials if trial.is_found is not None]
    sizes = [trial.spec.size_px for trial in planted]
    curve = None
    if len(set(sizes)) > 1:
        found = [bool(trial.is_found) for trial in planted]
        curve = fit_pod(sizes, found, [trial.group for trial in planted], seed=seed)
    first = trials[0].spec
    return PodSeries(
        kind=first.kind,
        contrast=first.contrast,
        num_not_planted=len(trials) - len(planted),
        curve=curve,
    )
