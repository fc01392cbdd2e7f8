"""A command watched from outside: what it said, how it ended, and the memory that it took at its peak."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

MIB = 1 << 20

# Starts the command and reports on it. A process counts as its own the memory of the one that it was forked from, so
# this small one stands between a test's process, which may have torch in it, and the command.
BETWEEN = """
import os, sys
number = os.posix_spawnp(sys.argv[2], sys.argv[2:], os.environ)
_, status, usage = os.wait4(number, 0)
with open(sys.argv[1], "w") as file:
    print(os.waitstatus_to_exitcode(status), usage.ru_maxrss, file=file)
"""


class Watched(NamedTuple):
    """peak: bytes of resident memory of the largest process among the command and its children, by the system."""

    code: int
    output: str
    peak: int


def watched(words: list[str], folder: Path, environment: dict[str, str]) -> Watched:
    """Run a command to its end."""
    with tempfile.NamedTemporaryFile("r") as report, tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", BETWEEN, report.name, *words],
            cwd=folder,
            env=environment,
            stdout=said,
            stderr=said,
            start_new_session=True,
        )
        try:
            process.wait()
        finally:
            if process.returncode is None:  # the test's own time is up
                os.killpg(process.pid, 9)
                process.wait()
        said.seek(0)
        output, found = said.read(), report.read().split()
        assert found, output
        return Watched(int(found[0]), output, int(found[1]) * 1024)


def pipeline(folder: Path, *words: str, **extra: str) -> Watched:
    """`python -m pipeline ...` in a folder."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"} | extra
    return watched([sys.executable, "-m", "pipeline", *words], folder, environment)


def contents(folder: Path) -> dict[str, tuple[int, int]]:
    """Name, size and time of everything below a folder that is no folder: equal if nothing was touched."""
    found = {str(path.relative_to(folder)): path.lstat() for path in folder.rglob("*") if not path.is_dir()}
    return {name: (entry.st_size, entry.st_mtime_ns) for name, entry in found.items()}
