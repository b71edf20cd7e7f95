"""``waferlens data synth``: the synthetic fab as a data set on disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pydantic import ValidationError

from waferlens.images.synth.fab import FabOptions, SyntheticFab
from waferlens.images.synth.plans import Counts, plan_dataset, preset
from waferlens.images.synth.writing import write_mvtec, write_packed
from waferlens.settings.checked import wrong_entry
from waferlens.settings.environment import num_workers


def synthesise(
    out: Path,
    *,
    preset_name: str,
    seed: int,
    overrides: dict[str, int | None],
    stage: dict[str, float | None],
    packed: bool,
    count: Callable[[int, int], None],
) -> int:
    """Write a data set of the synthetic fab to ``out`` (new or empty); returns the number of images.

    overrides: counts of ``Counts`` to change. stage: entries of ``StageOptions`` to change. packed: the training
    normals alone, in one array, instead of an MVTec-style folder.
    """
    counted = {**preset(preset_name).model_dump(), **{name: n for name, n in overrides.items() if n is not None}}
    staged = {"stage": {name: value for name, value in stage.items() if value is not None}}
    try:
        counts, options = Counts.model_validate(counted), FabOptions.model_validate(staged)
    except ValidationError as error:
        raise wrong_entry(error, counted | staged, "synthetic fab") from error
    fab = SyntheticFab(options, seed)
    done, total = 0, counts.train if packed else counts.total

    def progress(num_more: int) -> None:
        nonlocal done
        done += num_more
        count(done, total)

    if packed:
        write_packed(fab, counts.train, out, workers=num_workers(), progress=progress)
        return counts.train
    plan = plan_dataset(counts, fab.layout.num_points)
    return write_mvtec(fab, plan, out, workers=num_workers(), progress=progress)
