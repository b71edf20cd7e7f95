"""Inspections made by hand, as the tests of the record make them."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "storage"))
