"""What Luigi starts must not outlive Luigi: a stage whose parent was killed would go on writing."""

from __future__ import annotations

import _thread
import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Any

INTERRUPTED = 128 + signal.SIGINT  # the exit code that shells give
STOPPED = 75  # sysexits.h's "try again": of a run that SIGTERM ended
STOPPED_LINE = "stopped by SIGTERM; what is finished is kept, and the same command goes on from there"
GRACE = 7.0  # seconds from SIGTERM to the end; clusters kill after 30, docker after 10


class Stopped(KeyboardInterrupt):
    """SIGTERM, which clusters send at a job's time limit. It ends what runs as Ctrl-C does."""


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
        """Ctrl-C reaches every process of a run; only the first one reports it."""
        if kind and issubclass(kind, KeyboardInterrupt) and self.process.use_multiprocessing:
            raise SystemExit(STOPPED if kind is Stopped else INTERRUPTED)


def die_with_parent(parent: int) -> None:
    """Have the kernel send SIGKILL to this process when `parent` ends; end at once if it already has."""
    if sys.platform.startswith("linux"):
        set_parent_death_signal = 1
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)


def careful_signals() -> None:
    """Let Ctrl-C and SIGTERM end a command where it can go on later, SIGTERM within GRACE seconds.

    They wait while a stage's process is forked: Python drops what is raised in the functions that it calls around a
    fork. A KeyboardInterrupt there was lost, and with it the release of the lock that all logging takes: the run hung.
    They also wait while a process is spawned: one that was sent half of its task ends in a traceback.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _raising(KeyboardInterrupt))
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _raising(Stopped))
        _end_in_time()
        os.register_at_fork(after_in_child=_end_in_time)


def _raising(kind: type[KeyboardInterrupt]) -> Callable[[int, FrameType | None], None]:
    from multiprocessing import popen_fork, popen_spawn_posix

    launches = (popen_fork.Popen._launch, popen_spawn_posix.Popen._launch)  # type: ignore[attr-defined]
    main, starting = os.getpid(), {launch.__code__ for launch in launches}

    def again(number: int) -> None:
        time.sleep(0.01)
        os.kill(main, number)

    def handle(number: int, frame: FrameType | None) -> None:
        while frame is not None and os.getpid() == main:
            if frame.f_code in starting:
                _thread.start_new_thread(again, (number,))
                return
            frame = frame.f_back
        if (
            kind is Stopped
        ):  # a second one, from the parent after the cluster's, would interrupt the first one's cleanup
            signal.signal(number, signal.SIG_IGN)
        raise kind

    return handle


def _end_in_time() -> None:
    """End this process GRACE seconds after a SIGTERM, whatever it does: it may be in a library that runs no Python.

    The system's handler writes the signal's number into a pipe at once, which a thread reads.
    """
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with suppress(ValueError):  # forked in another thread than the first
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        threading.Thread(target=_watch, args=(reading,), daemon=True).start()


def _watch(reading: int) -> None:
    while signal.SIGTERM not in os.read(reading, 64):
        pass
    time.sleep(GRACE)
    with suppress(OSError):
        os.write(2, f"{STOPPED_LINE}\n".encode())
    os._exit(STOPPED)
