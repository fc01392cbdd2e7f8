"""Names of temporary files and folders: which process made them, and whether it is still alive.

Such a name ends in -HOST-PROCESS-NANOSECONDS. A name that begins with .tmp- is being written beside its
final name. A writer of any version may have been killed, so its leftovers must be recognised.
"""

from __future__ import annotations

import math
import os
import re
import socket
import time
from pathlib import Path

WRITER = r"-.+-\d+-\d{16,}"
"""What temporary names end in, as a regular expression."""

_LEFT = re.compile(rf"\..+{WRITER}")


def writer() -> str:
    """HOST-PROCESS-NANOSECONDS of this process and moment."""
    return f"{socket.gethostname()}-{os.getpid()}-{time.time_ns()}"


def temporary_name(final: Path, kind: str = "tmp") -> Path:
    """Where to build `final`: a name beside it that says which process is building."""
    return final.with_name(f".{kind}-{final.name}-{writer()}")


def is_left(path: Path) -> bool:
    """Whether this is a temporary name whose process has ended."""
    return bool(_LEFT.fullmatch(path.name)) and not is_alive(path)


def is_alive(path: Path) -> bool:
    """Whether the process that made this temporary file or folder may still use it; on another host, for a day."""
    try:
        owner, pid, born = path.name.rsplit("-", 2)
        number, made = int(pid), int(born) / 1e9
    except ValueError:
        return False
    if not owner.endswith(f"-{socket.gethostname()}"):
        try:
            return time.time() - path.lstat().st_mtime < 86_400
        except FileNotFoundError:  # its owner has just removed it
            return False
    return lives(number, made)


def lives(pid: int, made: float = math.inf) -> bool:
    """Whether the process that had this number at `made` (seconds since 1970; unknown: any with it) still runs."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    return _started(pid) < made + 2


def _started(pid: int) -> float:
    """When a process began, in seconds of the epoch; 0 where the system does not say (then it counts as the owner).
    Infinity for one that has ended and only waits for its parent, as orphans in a container may do for ever."""
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        if state in "ZX":
            return math.inf
        ticks = int(fields[18])
        lines = Path("/proc/stat").read_text().splitlines()
        boot = next(int(line.split()[1]) for line in lines if line.startswith("btime"))
    except (OSError, ValueError, IndexError, StopIteration):
        return 0.0
    return boot + ticks / os.sysconf("SC_CLK_TCK")
