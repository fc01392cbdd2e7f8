"""What living runs need: each notes its artifacts and its unfinished work in a file, and `gc` leaves these alone.

The file is .work/.run-HOST-PROCESS-NANOSECONDS with a path a line. It goes when its process ends; after a kill the
name tells that the process is dead, and the next run removes it.
"""

from __future__ import annotations

import atexit
import os
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import Any

from luigi import Event

from data.base.temporary import is_alive, writer
from tasks.contract.flagged import Flagged
from tasks.contract.stage import Stage
from tasks.library.inventory import run_notes, work_of
from tasks.setup import settings

_notes: dict[Path, tuple[Path, FileIO, set[str]]] = {}
"""By artifacts folder: this run's file, the same opened, and the paths that stand in it."""


def install() -> None:
    """Note what Luigi finds that a run must build or read, before it looks whether that is there."""

    @Flagged.event_handler(Event.DEPENDENCY_DISCOVERED)
    def _(task: Any, needed: Any) -> None:
        note(task, needed)

    @Stage.event_handler(Event.START)
    def _(stage: Stage) -> None:
        note(stage, *stage.upstream.values())


def note(*tasks: Any) -> None:
    """Add the paths of these stages to this run's file. A full disk will stop the stage itself."""
    stages = [task for task in tasks if isinstance(task, Stage)]
    note_paths(*(path for stage in stages for path in (stage.path, *work_of(stage))))


def note_paths(*needed: Path) -> None:
    """Add paths below the artifacts folder to this run's file."""
    base = settings.artifacts_folder()
    paths = {os.path.relpath(path, base) for path in needed}
    with suppress(OSError):
        _, file, known = _notes.get(base) or _begin(base)
        file.write("".join(f"{path}\n" for path in sorted(paths - known)).encode())
        os.utime(file.fileno())  # a sign of life for other machines
        known |= paths


def _begin(base: Path) -> tuple[Path, FileIO, set[str]]:
    for left in run_notes():
        if not is_alive(left):
            left.unlink(missing_ok=True)
    pid = os.getpid()
    path = base / ".work" / f".run-{writer()}"
    path.parent.mkdir(parents=True, exist_ok=True)
    _notes[base] = path, path.open("ab", buffering=0), set()
    atexit.register(_end, path, pid)
    return _notes[base]


def _end(path: Path, pid: int) -> None:
    if os.getpid() == pid:  # not in what was forked from the run
        with suppress(OSError):
            path.unlink(missing_ok=True)


def needed_by_others() -> dict[Path, str]:
    """What runs in other live processes have noted: {path: 'process 12 on HOST'}."""
    base = settings.artifacts_folder()
    own = _notes[base][0] if base in _notes else None
    needed: dict[Path, str] = {}
    for file in run_notes():
        if file != own and is_alive(file):
            host, pid, _ = file.name.removeprefix(".run-").rsplit("-", 2)
            with suppress(FileNotFoundError):  # it has just ended
                lines = file.read_text(encoding="utf-8").splitlines()
                needed |= {base / line: f"process {pid} on {host}" for line in lines}
    return needed
