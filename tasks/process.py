"""What Luigi starts must not outlive Luigi: a stage whose parent was killed would go on writing."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from types import TracebackType
from typing import Any


class DieWithParent:
    """Luigi's `task_process_context`: asks Linux to kill this process when its parent dies (PR_SET_PDEATHSIG).

    Used only around a run() in a process of its own (`--workers 2` and above); elsewhere it does nothing.
    """

    def __init__(self, process: Any) -> None:
        self.process = process

    def __enter__(self) -> None:
        if self.process.use_multiprocessing:
            die_with_parent(self.process._parent_pid)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None


def die_with_parent(parent: int) -> None:
    """Have the kernel send SIGKILL to this process when `parent` ends; end at once if it already has."""
    if sys.platform.startswith("linux"):
        set_parent_death_signal = 1
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)
