"""Freed memory is kept inside, and given back at the end."""

from __future__ import annotations

import ctypes
import resource
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import resource
from pathlib import Path
import numpy as np
from models.memory import memory_kept

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        np.ones(1 << 21)  # 16 MiB, freed at once
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() >> 20

faults()
outside, before = faults(), resident()
with memory_kept():
    faults()
    inside = faults()
    blocks = [np.ones(1 << 17) for _ in range(100)]  # 100 MiB
    del blocks
    kept = resident()
after, again = resident(), faults()
print(outside, inside, again, before, kept, after)
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="needs glibc")
def test_kept_inside_and_given_back_at_the_end():
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    outside, inside, again, before, kept, after = map(int, done.stdout.split())
    pages = 20 * (16 << 20) // resource.getpagesize()
    assert inside < pages / 100, "a block was asked for anew"
    assert kept > before + 80 and after < before + 20, "MiB"
    if outside > pages / 2:  # without huge pages
        assert again > pages / 2
