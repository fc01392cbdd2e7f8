"""A command watched from outside: what it said, how it ended, and the memory that it took at its peak."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

MIB = 1 << 20


class Watched(NamedTuple):
    """peak: bytes that the largest process among the command and its descendants had taken at once.

    Pages of libraries, mapped from their files, are not counted: they are the system's to drop, and how many are mapped
    depends on how the files came into its cache. Of a torch just installed it can be 250 MB more than later.
    """

    code: int
    output: str
    peak: int


def watched(words: list[str], folder: Path, environment: dict[str, str]) -> Watched:
    """Run a command to its end."""
    with tempfile.NamedTemporaryFile("r") as report, tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", __file__, report.name, *words],
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
        output, figures = said.read(), report.read().split()
        assert figures, output
        return Watched(int(figures[0]), output, int(figures[1]))


def _watch(report: str, words: list[str]) -> None:
    """Run in a process between a test's and the command's: starts the command and reports on it."""
    number, peak = os.posix_spawnp(words[0], words, os.environ), 0
    while True:
        ended, status, usage = os.wait4(number, os.WNOHANG)
        if ended:
            break
        peak = max(peak, *map(_taken, _with_descendants(number)))
        time.sleep(0.005)  # a core writes some 10 MB in this time
    with open(report, "w") as file:
        # Without /proc, or ended at once: with the libraries' pages.
        print(os.waitstatus_to_exitcode(status), peak or usage.ru_maxrss * 1024, file=file)


def _with_descendants(number: int) -> list[int]:
    try:
        threads = os.listdir(f"/proc/{number}/task")
        children = "".join(Path(f"/proc/{number}/task/{thread}/children").read_text() for thread in threads)
    except OSError:  # it has just ended
        return [number]
    return [number, *(other for child in children.split() for other in _with_descendants(int(child)))]


def _taken(number: int) -> int:
    """Bytes of a process's memory that no file backs, shared memory included."""
    try:
        lines = Path(f"/proc/{number}/status").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(("RssAnon:", "RssShmem:")))


def pipeline(folder: Path, *words: str, **extra: str) -> Watched:
    """`python -m pipeline ...` in a folder."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"} | extra
    return watched([sys.executable, "-m", "pipeline", *words], folder, environment)


def contents(folder: Path) -> dict[str, tuple[int, int]]:
    """Name, size and time of everything below a folder that is not a folder: equal if nothing was touched."""
    entries = {str(path.relative_to(folder)): path.lstat() for path in folder.rglob("*") if not path.is_dir()}
    return {name: (entry.st_size, entry.st_mtime_ns) for name, entry in entries.items()}


if __name__ == "__main__":
    _watch(sys.argv[1], sys.argv[2:])
