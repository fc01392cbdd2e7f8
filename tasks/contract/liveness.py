"""Whose temporary files these are, and whether that process still lives."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path


def temporary_name(final: Path) -> Path:
    """A folder to build in, beside `final`; its name says which process builds there."""
    return final.parent / f".tmp-{final.name}-{socket.gethostname()}-{os.getpid()}-{time.time_ns()}"


def is_alive(folder: Path) -> bool:
    """May the process that made this temporary file or folder still use it? (Of another host: for a day, yes.)"""
    try:
        owner, pid, born = folder.name.rsplit("-", 2)
        number, made = int(pid), int(born) / 1e9
    except ValueError:
        return False
    if not owner.endswith(f"-{socket.gethostname()}"):
        try:
            return time.time() - folder.lstat().st_mtime < 86_400
        except FileNotFoundError:  # its owner has just removed it
            return False
    return lives(number, made)


def lives(pid: int, made: float) -> bool:
    """Is there still the process that had this number at `made` (seconds since 1970)?"""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    return _started(pid) <= made + 2


def _started(pid: int) -> float:
    """When a process began, in seconds of the epoch; 0 where the system does not say (then it counts as the owner).
    Infinity for one that has ended and only waits for its parent, as orphans in a container may do for ever."""
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        if state in "ZX":
            return float("inf")
        ticks = int(fields[18])
        lines = Path("/proc/stat").read_text().splitlines()
        boot = next(int(line.split()[1]) for line in lines if line.startswith("btime"))
    except (OSError, ValueError, IndexError, StopIteration):
        return 0.0
    return boot + ticks / os.sysconf("SC_CLK_TCK")
