"""Python loads this by itself in every process of a run whose PYTHONPATH names this folder.

VQA_COUNT=FILE      FILE grows by one byte with every change that any of the processes makes below VQA_BELOW
VQA_KILL=N NUMBER WHOM   just before the N-th of these changes signal NUMBER is sent: to `main`, the process that began
                    the session, or to its `group`; FILE.at then says which change that was
VQA_READ=ERRNO N NAME    the first N reads of a file of that name fail, in each process, with the errno of that name
VQA_FLOCK=WHAT      flock does `nothing`, or fails with the errno of that name
"""

from __future__ import annotations

import os
import sys
from typing import Any

CHANGES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.truncate"}
WRITING = os.O_WRONLY | os.O_RDWR


class Counter:
    """An audit hook, called by the interpreter before it does what it reports."""

    def __init__(self, file: str, below: str, kill: str) -> None:
        self.file, self.below = file, below
        number, self.signal, self.whom = kill.split() if kill else ("0", "0", "")
        self.number, self.process, self.handle = int(number), 0, -1

    def __call__(self, event: str, words: tuple[Any, ...]) -> None:
        if event in CHANGES or (event == "open" and isinstance(words[2], int) and words[2] & WRITING):
            path = words[0]
            # rmtree names files relative to a folder that it has open.
            relative = event in ("os.remove", "os.rmdir") and words[1] != -1
            if isinstance(path, (str, os.PathLike)) and (relative or os.fspath(path).startswith(self.below)):
                self.count(f"{event} {path}")

    def count(self, what: str) -> None:
        if self.process != os.getpid():  # each process needs a description, and so an offset, of its own
            self.process = os.getpid()
            self.handle = os.open(self.file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        os.write(self.handle, b".")
        if os.lseek(self.handle, 0, os.SEEK_CUR) == self.number:
            with open(f"{self.file}.at", "w", encoding="utf-8") as file:
                file.write(what)
            main = os.getsid(0)
            (os.kill if self.whom == "main" else os.killpg)(main, int(self.signal))


def _break_flock(how: str) -> None:
    import errno
    import fcntl

    def flock(*_: Any) -> None:
        if how != "nothing":
            raise OSError(getattr(errno, how), os.strerror(getattr(errno, how)))

    fcntl.flock = flock


def _break_reads(how: str) -> None:
    import errno

    number, times, wanted = how.split()
    left = [int(times)]

    def broken(real: Any) -> Any:
        def read(handle: int, *words: Any) -> Any:
            if left[0] and os.readlink(f"/proc/self/fd/{handle}").endswith(f"/{wanted}"):
                left[0] -= 1
                raise OSError(getattr(errno, number), os.strerror(getattr(errno, number)))
            return real(handle, *words)

        return read

    os.readv, os.pread = broken(os.readv), broken(os.pread)


if "VQA_READ" in os.environ:
    _break_reads(os.environ["VQA_READ"])
if "VQA_COUNT" in os.environ:
    sys.addaudithook(
        Counter(os.environ["VQA_COUNT"], os.environ["VQA_BELOW"], os.environ.get("VQA_KILL", ""))
    )
if "VQA_FLOCK" in os.environ:
    _break_flock(os.environ["VQA_FLOCK"])
