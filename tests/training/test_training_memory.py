"""The allocator keeps what a training step frees."""

import subprocess
import sys

import pytest

# Twenty arrays of 40 MB, one after the other: what a training step does with its activations.
CHURN = """
import resource, sys
import numpy as np
from waferlens.training.memory import keep_freed_memory
kept = keep_freed_memory() if sys.argv[1] == "keep" else None
np.ones(10_000_000, np.float32)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    np.ones(10_000_000, np.float32)
sys.stdout.write(f"{kept} {resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before}")
"""


def churn(how):
    done = subprocess.run(
        [sys.executable, "-c", CHURN, how], capture_output=True, text=True, check=True, timeout=60
    )
    kept, faults = done.stdout.split()
    return kept, int(faults)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the GNU C library's allocator")
def test_kept_memory_is_not_faulted_in_again():
    told, faults = churn("keep")
    _, default_faults = churn("default")
    assert told == "True"
    assert faults < 0.5 * default_faults
