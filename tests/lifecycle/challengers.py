"""Challengers that behave badly, for a process of their own."""

from __future__ import annotations

import os
import time
from typing import Any


def score(image: bytes) -> dict[str, Any]:
    return {"decision": "PASS", "score": float(len(image)), "inference_ms": 1.0}


def a_good_one():
    return score


def one_that_hangs():
    def hang(image: bytes) -> dict[str, Any]:
        while image:
            time.sleep(60)
        return {}

    return hang


def one_that_burns():
    """Never answers, and never stops computing."""

    def burn(image: bytes) -> dict[str, Any]:
        while image:
            sum(range(100_000))
        return {}

    return burn


def one_that_crashes():
    def crash(image: bytes) -> dict[str, Any]:
        os._exit(3)

    return crash


def one_that_raises():
    def fail(image: bytes) -> dict[str, Any]:
        raise RuntimeError("no")

    return fail
