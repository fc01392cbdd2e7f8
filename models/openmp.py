"""How long OpenMP's idle threads spin before they sleep: read once, when torch loads OpenMP."""

from __future__ import annotations

import os


def spin_briefly() -> None:
    """Ask for a fraction of a millisecond, unless the environment says something; call it before torch is imported.

    Waking threads is slow, and a training batch has thousands of parallel regions: asleep at once, 500 to 600 samples
    a second on two cores; after 10,000 turns, 750. But whoever shares the cores starves while they spin: two trainings
    at once make 400 each asleep, 225 so, and 36 to 150 with GNU OpenMP's own 300,000 turns.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"  # other OpenMPs know this alone
        os.environ.setdefault("GOMP_SPINCOUNT", "10000")
