"""Plants defects of known size on normal images and asks a detector which of them it finds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from waferlens.decision.decide import decide
from waferlens.decision.intervals import exact_rate
from waferlens.decision.thresholds import Thresholds
from waferlens.engines.interface import Outputs
from waferlens.errors import DataError, ImageContentError
from waferlens.evaluation.pod_study import Alarm, PodOptions, PodStudy, Trial, series_of
from waferlens.images.planting import PlantSpec, plant
from waferlens.images.roi import Mask
from waferlens.records import DecisionKind, Pixels
from waferlens.training.schedule import seed_for
from waferlens.wiring.told import Told

_BATCH = 16
_ALARMS: dict[Alarm, tuple[DecisionKind, ...]] = {
    "review": (DecisionKind.REVIEW, DecisionKind.REJECT),
    "reject": (DecisionKind.REJECT,),
}

Infer = Callable[[Pixels], Outputs]


@dataclass(frozen=True, kw_only=True)
class Normals:
    """Normal images to plant on. source: which they are, in words.

    pixels: canonical (N, 256, 256). names, groups: of each; images of one group may have something in common.
    """

    pixels: Pixels
    names: tuple[str, ...]
    groups: tuple[str, ...]
    source: str

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True, kw_only=True)
class Judge:
    """Who finds, and what finding is: a decision of REVIEW or REJECT (alarm 'review'), or of REJECT alone."""

    infer: Infer
    thresholds: Thresholds
    alarm: Alarm

    def alarms(self, pixels: Pixels) -> npt.NDArray[np.bool_]:
        """(N,) bool of images (N, 256, 256). A score that is not finite is decided REVIEW, as in inspection."""
        scores: list[float] = []
        for start in range(0, len(pixels), _BATCH):
            outputs = self.infer(pixels[start : start + _BATCH])
            scores += getattr(outputs, self.thresholds.score_name).tolist()
        return np.asarray(
            [decide(score, self.thresholds).kind in _ALARMS[self.alarm] for score in scores], dtype=bool
        )


def measure_pod(
    judge: Judge,
    normals: Normals,
    *,
    within: Mask,
    seed: int,
    told: Told,
    options: PodOptions | None = None,
) -> PodStudy:
    """Plant every defect of the study once on every normal image that passes as it is, and see what is found.

    An image that raises an alarm unplanted would be "found" whatever was planted on it: it counts as a false call
    and gets nothing planted. within: (256, 256) bool, the region that is judged; defects lie inside.
    Raises DataError when no image is left.
    """
    all_specs = (options or PodOptions()).series()
    calls = judge.alarms(normals.pixels)
    clean = np.flatnonzero(~calls)
    if not len(clean):
        raise DataError(
            "nothing to plant on",
            expected=f"normal images below {judge.alarm.upper()} as they are",
            found=f"{len(calls)} images, all above",
        )
    total = len(clean) * sum(map(len, all_specs))
    told.say(
        f"{calls.sum()} of {len(calls)} normal images alarm as they are; planting {total:,} defects on the rest"
    )
    # With one group alone, such as a single wafer, images are the best there is to tell trials apart by.
    one_group = len({normals.groups[row] for row in clean}) == 1
    groups = [(normals.names if one_group else normals.groups)[row] for row in clean]
    series, done = [], 0
    for specs in all_specs:
        trials: list[Trial] = []
        for spec in specs:
            found = _found(judge, normals, clean, spec, within, seed)
            trials += [
                Trial(spec=spec, group=group, is_found=hit) for group, hit in zip(groups, found, strict=True)
            ]
            done += len(clean)
            told.count(done, total)
        series.append(series_of(trials, seed=seed))
    thresholds = judge.thresholds
    return PodStudy(
        alarm=judge.alarm,
        threshold=thresholds.review if judge.alarm == "review" else thresholds.reject,
        score_name=thresholds.score_name,
        source=normals.source,
        num_normals=len(calls),
        num_planted=len(clean),
        num_groups=len(set(groups)),
        false_call_rate=exact_rate(int(calls.sum()), len(calls)),
        series=tuple(series),
        seed=seed,
    )


def _found(
    judge: Judge,
    normals: Normals,
    clean: npt.NDArray[np.int64],
    spec: PlantSpec,
    within: Mask,
    seed: int,
) -> Sequence[bool | None]:
    """For each clean image whether the defect is found; None where none could be planted so that it shows.

    Each draw has the names of defect and image in its seed: it does not depend on what else is planted.
    """
    planted: Pixels = normals.pixels[clean]
    shows = np.ones(len(clean), dtype=np.bool_)
    for place, row in enumerate(clean):
        use = (str(spec.kind), str(spec.contrast), str(spec.size_px), normals.names[row])
        rng = np.random.default_rng(seed_for(seed, "pod", *use))
        try:
            planted[place] = plant(normals.pixels[row], spec, rng, within=within).image
        except ImageContentError:
            # Such as a moved patch of a blank image, which nobody could see: no trial, but counted.
            shows[place] = False
    alarms = iter(judge.alarms(planted[shows]).tolist())
    return [next(alarms) if is_shown else None for is_shown in shows]
