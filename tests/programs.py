"""Programs of the system that some tests run for real."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest


def haproxy() -> str:
    """Where HAProxy is; a machine without it skips the test, and says so."""
    program = shutil.which("haproxy") or "/usr/sbin/haproxy"
    if not Path(program).exists():
        pytest.skip("HAProxy is missing: install the package haproxy")
    return program


def program(name: str, package: str) -> str:
    """Where a program is; a machine without it skips the test, and says which package has it."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is missing: install the package {package}")
    return found
