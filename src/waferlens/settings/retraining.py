"""The limits of a retraining: which images, how suspicious, how good. One TOML file beside the recipe."""

from __future__ import annotations

import tomllib
from pathlib import Path

from pydantic import BaseModel, ValidationError

from waferlens.errors import OptionsError
from waferlens.lifecycle.extraction import ExtractOptions
from waferlens.lifecycle.gate import GateOptions
from waferlens.lifecycle.poisoning import PoisonOptions


class RetrainingLimits(BaseModel, frozen=True, extra="forbid"):
    """Every limit; the defaults are the case study's."""

    extract: ExtractOptions = ExtractOptions()
    poison: PoisonOptions = PoisonOptions()
    gate: GateOptions = GateOptions()


def load_limits(path: Path | None, days: float) -> RetrainingLimits:
    """The limits in ``path``, or the defaults. days: of images, unless the file says. Raises OptionsError."""
    try:
        content = {} if path is None else tomllib.loads(path.read_text(encoding="utf-8"))
        content["extract"] = {"days": days} | content.get("extract", {})
        return RetrainingLimits.model_validate(content)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise OptionsError(f"{path} cannot be read", expected="a TOML file", found=str(error)) from error
    except ValidationError as error:
        first = error.errors()[0]
        entry = ".".join(map(str, first["loc"]))
        raise OptionsError(
            f"{path}: {entry}", expected=first["msg"].lower(), found=repr(first["input"])
        ) from error
