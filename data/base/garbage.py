"""Python's garbage collector beside torch and torchvision, whose import makes half a million objects that stay."""

from __future__ import annotations

import atexit
import gc
import sys

COLLECT_AFTER = 10_000
"""New objects after which Python looks for garbage: with 3.11's own 700, that takes a fifth of torchvision's import."""


def collect_rarely() -> None:
    """For a process that is ours: look for garbage less often, and not at its end, when all of it goes anyway."""
    gc.set_threshold(COLLECT_AFTER, *gc.get_threshold()[1:])
    atexit.register(gc.freeze)


def give_back_memory() -> None:
    """After a stage: collect what holds on to itself, as trained models may, and free the memory that torch keeps on
    GPUs: a later stage's processes need it."""
    if torch := sys.modules.get("torch"):
        gc.collect()
        torch.cuda.empty_cache()  # does nothing on a GPU that this process has not used
        if not gc.get_freeze_count() and _process_is_ours() and sys.exception() is None:
            gc.freeze()  # torch and the like stay; to look through them after each stage takes a third of a second


def _process_is_ours() -> bool:
    return gc.get_threshold()[0] == COLLECT_AFTER
