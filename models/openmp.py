"""How long OpenMP's idle threads spin before they sleep: read once, when torch loads OpenMP."""

from __future__ import annotations

import os


def spin_briefly() -> None:
    """Set it to a fraction of a millisecond, unless the environment sets it; call this before torch is imported.

    Waking threads is slow, and a training batch has thousands of parallel regions: 500 to 600 samples a second on two
    cores if they sleep at once; 750 if they first spin 10,000 turns. But other processes on the cores starve while they
    spin: two trainings at once make 400 each asleep, 225 so, and 36 to 150 with GNU OpenMP's default of 300,000 turns.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"  # other OpenMPs only know this
        os.environ.setdefault("GOMP_SPINCOUNT", "10000")
