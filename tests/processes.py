"""Processes seen from outside: whether they run, and what they started."""

from __future__ import annotations

import time
from pathlib import Path


def is_running(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:  # it ended, perhaps between the opening and the reading
        return False
    return stat.rsplit(")", 1)[1].split()[0] not in "ZX"


def have_ended(*pids: int, within: float = 20) -> bool:
    """Whether all of them end within `within` seconds: what was killed may run on until the kernel has seen to it."""
    end = time.monotonic() + within
    while any(map(is_running, pids)):
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def children(pid: int) -> list[int]:
    try:
        numbers = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [int(child) for child in numbers]


def descendants(pid: int) -> list[int]:
    return [below for child in children(pid) for below in (child, *descendants(child))]
