"""What docs/synthetic-fab.md promises: its example runs, and its tables name what there is."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

import pytest

from waferlens.images.synth.defects import DEFAULT_RANGES, DefectKind, DefectOptions
from waferlens.images.synth.optics import OpticsOptions
from waferlens.images.synth.plans import PRESETS
from waferlens.images.synth.process import ProcessOptions, StageOptions
from waferlens.images.synth.wafer import WaferOptions

PAGE = (Path(__file__).parents[2] / "docs" / "synthetic-fab.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("options", [StageOptions, ProcessOptions, OpticsOptions, DefectOptions, WaferOptions])
def test_every_parameter_is_in_the_table(options: type) -> None:
    assert f"`{options.__name__}`" in PAGE
    for field in options.model_fields:
        assert f"`{field}`" in PAGE


@pytest.mark.parametrize("kind", list(DefectKind))
def test_every_kind_stands_with_its_default_ranges(kind: DefectKind) -> None:
    (row,) = (line for line in PAGE.splitlines() if re.match(rf"\| {kind}\b", line))
    *_, size_um, contrast = (cell.strip() for cell in row.strip("|").split("|"))
    limits = DEFAULT_RANGES[kind]
    assert tuple(map(float, size_um.split(" to "))) == limits.size_um
    assert tuple(map(float, contrast.split(" to "))) == limits.contrast


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_every_preset_stands_with_its_counts(name: str) -> None:
    row = " | ".join(f"{count:,}" for count in PRESETS[name].model_dump().values())
    assert f"| `{name}` | {row} |" in PAGE


@pytest.mark.slow
def test_the_example_runs(tmp_path: Path) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    with contextlib.chdir(tmp_path):
        exec(compile(example, "docs/synthetic-fab.md", "exec"), {})
    assert (tmp_path / "data" / "novel" / "manifest.csv").is_file()
    assert (tmp_path / "packed" / "pixels.npy").is_file()
