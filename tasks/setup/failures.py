"""The last line of a command that failed: which stage, and why, below whatever Luigi prints."""

from __future__ import annotations

import atexit
import os
import sys
from contextlib import suppress
from typing import Any

import luigi
from luigi import Event

from data.base.words import show
from tasks.setup.user_errors import EXPECTED, UsageError

MOST_BYTES = 4000  # of a line: a pipe takes that in one piece, even with several writers

_pipe: tuple[int, int] | None = None
"""To read from and to write into: with `--workers 2` stages fail in processes forked from the command's."""
_unfinished = ""
"""Why Luigi did not run everything where no stage failed, in its own words."""


def install() -> None:
    """Note what fails from now on, and print it as the last line of this process."""
    global _pipe
    if _pipe is not None:
        return
    _pipe = os.pipe()
    for end in _pipe:
        os.set_blocking(end, False)
    for event in (Event.FAILURE, Event.PROCESS_FAILURE, Event.TIMEOUT, Event.BROKEN_TASK):
        luigi.Task.event_handler(event)(lambda task, why: note(task.task_family, why))
    atexit.register(_print, os.getpid())


def note(what: str, why: Any) -> None:
    """`why`: an exception, or words."""
    if _pipe is not None:
        line = " ".join(f"{what} failed: {reason(why)}".split()).encode()[:MOST_BYTES]
        with suppress(BlockingIOError):  # full: the first few hundred failures are enough
            os.write(_pipe[1], line + b"\n")


def note_unfinished(why: str) -> None:
    """An empty `why`: something else has ended the run."""
    global _unfinished
    _unfinished = why


def reason(why: Any) -> str:
    """An expected failure's message; the name of the error before any other's."""
    if isinstance(why, (str, SystemExit, UsageError, *EXPECTED)):
        return str(why).removeprefix("error: ")
    return f"{type(why).__name__}: {why}" if str(why) else type(why).__name__


def noted() -> list[str]:
    """What has failed since the last call, a line each."""
    if _pipe is None:
        return []
    try:
        return list(dict.fromkeys(os.read(_pipe[0], 1 << 20).decode(errors="replace").splitlines()))
    except BlockingIOError:
        return []


def _print(pid: int) -> None:
    if os.getpid() != pid:  # forked from the command's process
        return
    lines = noted() or ([f"the run is not finished: {_unfinished}"] if _unfinished else [])
    if lines:
        show(f"error: {'; '.join(lines)}", file=sys.stderr)
