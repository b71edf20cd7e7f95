"""The doctor of data sets: reads everything, raises for nothing, and reports what it found.

A *problem* stops training or evaluation; a *warning* is something that a person should look at. Rendering
the report is the command line's work.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from waferlens.errors import DataError
from waferlens.images.filefacts import FileFacts, gather_facts, looks_like_12_bit
from waferlens.images.fingerprints import duplicate_groups
from waferlens.images.layouts import Dataset, survey
from waferlens.images.options import ImageOptions
from waferlens.records import ImageRef, Label

_POOL_PAYS_ABOVE = 256  # images; below, starting processes costs more than it saves


@dataclass(frozen=True, kw_only=True)
class DataReport:
    """What stands in a data set and what is wrong with it.

    counts: images by part and type, for example ``{"train": {"normal": 213}, "test": {"scratch": 10}}``.
    sizes, depths, formats: number of readable files by "width x height", bits a sample and file format.
    groups: distinct wafers (or files, where no wafer is known) by part.
    duplicates_inside, duplicates_across: names of images with the same pixels, in one part and in several.
    """

    root: str
    layout: str
    counts: dict[str, dict[str, int]]
    groups: dict[str, int]
    sizes: dict[str, int]
    depths: dict[str, int]
    formats: dict[str, int]
    num_masks: int
    num_unreadable: int
    duplicates_inside: tuple[tuple[str, ...], ...]
    duplicates_across: tuple[tuple[str, ...], ...]
    problems: tuple[str, ...]
    warnings: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Nothing stops the use of this data set."""
        return not self.problems

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"ok": self.ok, **{key: getattr(self, key) for key in self.__dataclass_fields__}}


def check_dataset(
    root: Path,
    options: ImageOptions,
    *,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> DataReport:
    """Read every image and mask below ``root`` with ``workers`` processes; ``progress(num_done,
    num_images)``.

    A folder that is no data set at all is a report with one problem.
    """
    try:
        dataset, layout_problems = survey(root)
    except DataError as error:
        dataset, layout_problems = Dataset(root=root, layout="plain", train=(), test=()), [str(error)]
    refs = (*dataset.train, *dataset.test)
    facts = _gather(refs, options, workers, progress)
    parts = {ref.name: "train" for ref in dataset.train} | {ref.name: "test" for ref in dataset.test}
    alike = duplicate_groups({fact.name: fact.sha256 for fact in facts if fact.sha256 is not None})
    across = tuple(names for names in alike if len({parts[name] for name in names}) > 1)
    inside = tuple(names for names in alike if names not in across)
    return DataReport(
        root=str(root),
        layout=dataset.layout,
        counts=_counts(dataset),
        groups={"train": _num_groups(dataset.train), "test": _num_groups(dataset.test)},
        sizes=_tally(f"{fact.width}x{fact.height}" for fact in facts if fact.width),
        depths=_tally(f"{fact.bits}" for fact in facts if fact.bits),
        formats=_tally(fact.format for fact in facts if fact.format),
        num_masks=sum(ref.mask is not None for ref in refs),
        num_unreadable=sum(fact.sha256 is None for fact in facts),
        duplicates_inside=inside,
        duplicates_across=across,
        problems=(
            *layout_problems,
            *(problem for fact in facts for problem in fact.problems),
            *(f"the same image stands in train and test: {' = '.join(names)}" for names in across),
        ),
        warnings=(
            *(warning for fact in facts for warning in fact.warnings),
            *_set_warnings(dataset, facts, options),
            *_shared_wafers(dataset),
            *(f"the same image stands twice: {' = '.join(names)}" for names in inside),
        ),
    )


def _gather(
    refs: Sequence[ImageRef],
    options: ImageOptions,
    workers: int,
    progress: Callable[[int, int], None] | None,
) -> list[FileFacts]:
    work = partial(gather_facts, options=options)
    facts: list[FileFacts] = []

    def collect(results: Iterable[FileFacts]) -> None:
        for fact in results:
            facts.append(fact)
            if progress is not None:
                progress(len(facts), len(refs))

    if workers <= 1 or len(refs) <= _POOL_PAYS_ABOVE:
        collect(map(work, refs))
        return facts
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        collect(pool.map(work, refs, chunksize=32))
    return facts


def _counts(dataset: Dataset) -> dict[str, dict[str, int]]:
    return {
        part: _tally(ref.defect_type or ref.label.value for ref in refs)
        for part, refs in (("train", dataset.train), ("test", dataset.test))
    }


def _tally(words: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(words).items()))


def _num_groups(refs: Sequence[ImageRef]) -> int:
    return len({ref.group for ref in refs})


def _shared_wafers(dataset: Dataset) -> list[str]:
    shared = sorted({ref.group for ref in dataset.train} & {ref.group for ref in dataset.test})
    if not shared:
        return []
    return [f"{len(shared)} groups stand in train and in test (figures are optimistic), as {shared[0]}"]


def _set_warnings(dataset: Dataset, facts: Sequence[FileFacts], options: ImageOptions) -> list[str]:
    """What only shows over the whole set."""
    found = [f"{path}: not an image of the layout; left aside" for path in dataset.ignored]
    suspects = [fact.name for fact in facts if looks_like_12_bit(fact)]
    num_wide = sum(fact.highest is not None for fact in facts)
    if suspects and len(suspects) == num_wide:
        found.append(
            f"all {num_wide} 16-bit images stay at or below 4095: expected bit_depth 12; found {options.bit_depth}"
        )
    for what, values in (
        ("sizes", {(fact.width, fact.height) for fact in facts if fact.width}),
        ("depths", {fact.bits for fact in facts if fact.bits}),
    ):
        if len(values) > 1:
            found.append(f"{len(values)} different {what} in one data set: {sorted(values, key=str)}")
    labels = {ref.label for ref in dataset.test}
    if dataset.test and not {Label.NORMAL, Label.DEFECTIVE} <= labels:
        found.append("test holds one class alone: rates over both classes are not defined")
    unmasked = sum(ref.label is Label.DEFECTIVE and ref.mask is None for ref in dataset.test)
    if unmasked:
        found.append(f"{unmasked} defective images without a mask: pixel metrics leave them out")
    return found
