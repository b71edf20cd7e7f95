"""What exporter and client of the Triton server agree on: names of tensors, and versions as the numbers it wants.

Triton's PyTorch backend finds tensors by the position at the end of their names; the Python backend takes any
name. Its versions are whole numbers, so ``v2.3.1`` becomes 2003001. Every answer of the server carries that
number, and with it the version of the bundle that gave it, also while one version replaces another.
"""

from __future__ import annotations

import re

from waferlens.engines.interface import Outputs
from waferlens.errors import BundleError

INPUT = "pixels__0"
"""(B, 1, 256, 256) uint8 or float32, as the bundle's exports take it."""

OUTPUTS = tuple(f"{name}__{index}" for index, name in enumerate(Outputs._fields))
"""The five outputs in the order of every export. Scores and errors come as (B, 1)."""


def version_number(version: str) -> int:
    """``v2.3.1`` as 2003001. Raises BundleError for another form, for v0.0.0 and for parts above 999."""
    found = re.fullmatch(r"v(\d{1,4})\.(\d{1,3})\.(\d{1,3})", version)
    parts = map(int, found.groups()) if found else (0, 0, 0)
    number = sum(part * unit for part, unit in zip(parts, (10**6, 1000, 1), strict=True))
    if number == 0:
        raise BundleError(
            "this version cannot be served by Triton",
            expected="v{major}.{minor}.{patch}, above v0.0.0",
            found=version,
        )
    return number
