"""Options from TOML: one way to read a file, and one way to say which entry of it is wrong."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from waferlens.errors import OptionsError


def read_toml(path: Path) -> dict[str, Any]:
    """What is in the file, unchecked. Raises OptionsError where there is none, or it is no TOML."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise OptionsError(f"{path} is not TOML", found=str(error)) from error
    except (OSError, UnicodeDecodeError) as error:
        raise OptionsError(f"{path} cannot be read", expected="a TOML file", found=str(error)) from error


def wrong_entry(error: ValidationError, content: Any, name: str) -> OptionsError:
    """What to raise for options that do not fit: the first entry that is wrong, what it may be and what it is.

    content: what was checked. name: what it is called for its reader, such as its file.
    """
    first = error.errors()[0]
    entry = _entry_of(first, content)
    where = f"{name}: {entry}" if entry else name
    if first["type"] == "union_tag_invalid":
        kinds, kind = first["ctx"]["expected_tags"], first["ctx"]["tag"]
        return OptionsError(f"{where}.kind", expected=kinds, found=repr(kind))
    if first["type"] == "value_error":  # a rule over several entries: its message says it all
        return OptionsError(f"{where}: {first['ctx']['error']}")
    if first["type"] == "extra_forbidden":
        return OptionsError(f"{name}: unknown entry {entry}", found=repr(first["input"]))
    # One message for each kind of value that the entry may have.
    expected = [each["msg"].lower() for each in error.errors() if _entry_of(each, content) == entry]
    return OptionsError(where, expected="; or ".join(expected), found=repr(first["input"]))


def _entry_of(error: ErrorDetails, content: Any) -> str:
    """What the entry is called in the file; a location also holds the kind that failed."""
    parts = []
    for part in error["loc"]:
        try:
            content = content[part]
        except (KeyError, IndexError, TypeError):
            if not (error["type"] == "missing" and part == error["loc"][-1]):
                continue
        parts.append(str(part))
    return ".".join(parts)
