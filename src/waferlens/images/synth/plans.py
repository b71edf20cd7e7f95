"""What a synthetic data set holds: which images of which wafers, and with which defects. Draws and writes nothing.

Training, test and novel images come from wafers of their own, so no split ever shares one, and the test set stays
the same however many training images are asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from math import gcd
from types import MappingProxyType

from pydantic import BaseModel, Field

from waferlens.errors import OptionsError
from waferlens.images.synth.defects import KNOWN_KINDS, NOVEL_KINDS, DefectKind

WAFERS_PER_PART = 100_000
"""Wafer numbers 0.. train, 100,000.. test, 200,000.. novel."""

_FEWEST_WAFERS = 24


class Part(StrEnum):
    """Which part of a data set an image belongs to."""

    TRAIN = "train"
    TEST = "test"
    NOVEL = "novel"


@dataclass(frozen=True, slots=True)
class PlannedImage:
    """One image to be made; kind is None for a normal one."""

    part: Part
    wafer: int
    point: int
    kind: DefectKind | None


class Counts(BaseModel, frozen=True, extra="forbid"):
    """How many images a data set holds."""

    train: int = Field(ge=0, description="Normal images to learn from.")
    test_normal: int = Field(ge=0, description="Normal images to evaluate on.")
    per_known: int = Field(ge=0, description="Defective images of each known kind.")
    novel_normal: int = Field(ge=0, description="Normal images that stand beside the novel kinds.")
    per_novel: int = Field(ge=0, description="Defective images of each novel kind.")

    @property
    def total(self) -> int:
        """All images of the data set."""
        known, novel = self.per_known * len(KNOWN_KINDS), self.per_novel * len(NOVEL_KINDS)
        return self.train + self.test_normal + known + self.novel_normal + novel


PRESETS: Mapping[str, Counts] = MappingProxyType(
    {
        "demo": Counts(train=320, test_normal=60, per_known=12, novel_normal=40, per_novel=12),
        "case-study": Counts(train=2000, test_normal=1000, per_known=40, novel_normal=200, per_novel=40),
    }
)


def preset(name: str) -> Counts:
    """The counts of a preset; change some with ``.model_copy(update=...)``."""
    if name not in PRESETS:
        raise OptionsError("preset of the synthetic fab", expected=f"one of {', '.join(PRESETS)}", found=name)
    return PRESETS[name]


def plan_dataset(counts: Counts, num_points: int) -> Iterator[PlannedImage]:
    """Every image of a data set, lazily: train, then test, then novel. num_points: of one wafer."""
    yield from plan_training(counts.train, num_points)
    yield from _plan_part(Part.TEST, counts.test_normal, KNOWN_KINDS, counts.per_known, num_points)
    yield from _plan_part(Part.NOVEL, counts.novel_normal, NOVEL_KINDS, counts.per_novel, num_points)


def plan_training(num: int, num_points: int) -> Iterator[PlannedImage]:
    """num normal images to learn from, lazily."""
    return _plan_part(Part.TRAIN, num, (), 0, num_points)


def _plan_part(
    part: Part, num_normal: int, kinds: tuple[DefectKind, ...], per_kind: int, num_points: int
) -> Iterator[PlannedImage]:
    """Normals first, then kind by kind; neighbours in this order lie on different wafers and sites."""
    total = num_normal + len(kinds) * per_kind
    for index, (wafer, point) in enumerate(_spread(part, total, num_points)):
        kind = None if index < num_normal else kinds[(index - num_normal) // per_kind]
        yield PlannedImage(part, wafer, point, kind)


def _spread(part: Part, total: int, num_points: int) -> Iterator[tuple[int, int]]:
    """Distinct (wafer, point) pairs, dealt wafer by wafer like cards, points far apart.

    At least 24 wafers are used where there are so many images: a detector must learn how wafers differ, and a
    split by wafer needs wafers.
    """
    num_wafers = max(-(-total // num_points), min(_FEWEST_WAFERS, total))
    if num_wafers > WAFERS_PER_PART:
        raise OptionsError(
            f"number of images of the {part} part",
            expected=f"at most {WAFERS_PER_PART * num_points}",
            found=str(total),
        )
    first, step = list(Part).index(part) * WAFERS_PER_PART, _golden_step(num_points)
    for index in range(total):
        turn, wafer = divmod(index, max(num_wafers, 1))
        yield first + wafer, (wafer + turn) * step % num_points


def _golden_step(num_points: int) -> int:
    """A step near the golden section that visits every point once before it comes back."""
    step = max(1, round(0.618 * num_points))
    while gcd(step, num_points) != 1:
        step -= 1
    return step
