"""What Luigi starts must not outlive Luigi: a stage whose parent was killed would go on writing."""

from __future__ import annotations

import _thread
import ctypes
import os
import signal
import sys
import threading
import time
from types import FrameType, TracebackType
from typing import Any

INTERRUPTED = 128 + signal.SIGINT  # the exit code that shells give


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
        """Ctrl-C reaches every process of a run: what is to be said of it the first one says."""
        if kind is KeyboardInterrupt and self.process.use_multiprocessing:
            raise SystemExit(INTERRUPTED)


def die_with_parent(parent: int) -> None:
    """Have the kernel send SIGKILL to this process when `parent` ends; end at once if it already has."""
    if sys.platform.startswith("linux"):
        set_parent_death_signal = 1
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)


def careful_ctrl_c() -> None:
    """Put a handler of Ctrl-C that waits while a stage's process is forked in the place of Python's own.

    Python drops what is raised in the functions that it calls around a fork. A KeyboardInterrupt there was lost, and
    with it the release of the lock that all logging takes: the run hung.
    """
    from multiprocessing.popen_fork import Popen

    main, forking = os.getpid(), Popen._launch.__code__  # type: ignore[attr-defined]

    def again() -> None:
        time.sleep(0.01)
        os.kill(main, signal.SIGINT)

    def interrupt(number: int, frame: FrameType | None) -> None:
        while frame is not None and os.getpid() == main:
            if frame.f_code is forking:
                _thread.start_new_thread(again, ())
                return
            frame = frame.f_back
        raise KeyboardInterrupt

    in_main = threading.current_thread() is threading.main_thread()
    if in_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, interrupt)
