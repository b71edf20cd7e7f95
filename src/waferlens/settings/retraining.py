"""The limits of a retraining: which images, how suspicious, how good. One TOML file beside the recipe."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ValidationError

from waferlens.lifecycle.extraction import ExtractOptions
from waferlens.lifecycle.gate import GateOptions
from waferlens.lifecycle.poisoning import PoisonOptions
from waferlens.settings.checked import read_toml, wrong_entry


class RetrainingLimits(BaseModel, frozen=True, extra="forbid"):
    """Every limit; the defaults are the case study's."""

    extract: ExtractOptions = ExtractOptions()
    poison: PoisonOptions = PoisonOptions()
    gate: GateOptions = GateOptions()


def load_limits(path: Path | None, days: float) -> RetrainingLimits:
    """The limits in ``path``, or the defaults. days: of images, unless the file says. Raises OptionsError."""
    content = {} if path is None else read_toml(path)
    told = content.setdefault("extract", {})
    if isinstance(told, dict):
        told.setdefault("days", days)
    try:
        return RetrainingLimits.model_validate(content)
    except ValidationError as error:
        raise wrong_entry(error, content, "the command line" if path is None else str(path)) from error
