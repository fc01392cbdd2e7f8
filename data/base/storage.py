"""Files on storage that may fail for a moment, such as a network's: a read is retried before it ends the run."""

from __future__ import annotations

import errno
import io
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from data.base.errors import DataError

_NAMES = (
    *("EIO", "EREMOTEIO", "ESTALE", "ETIMEDOUT", "EAGAIN", "EBUSY", "ENOMEM", "ENOBUFS", "EMFILE", "ENFILE"),
    *("ENETDOWN", "ENETUNREACH", "ENETRESET", "EHOSTDOWN", "EHOSTUNREACH"),
    *("ECONNRESET", "ECONNABORTED", "ECONNREFUSED", "ENOTCONN", "ESHUTDOWN"),
)
PASSING = frozenset(getattr(errno, name) for name in _NAMES if hasattr(errno, name))
"""What a disk, a network or a short machine says and may not say again; none of it is about the file's content."""

PAUSES = (0.1, 1.0, 3.0)  # seconds before each further try

_Result = TypeVar("_Result")


def open_file(path: Path, opener: Callable[[str, int], int] | None = None) -> io.BufferedReader:
    """Open a file to read; opening and reads are retried while the storage fails.

    DataError, from here or from any read, if it still can't be read: its content is then unknown.
    `opener`: as for `open`.
    """
    return io.BufferedReader(persist(path, lambda: _File(path, opener=opener)))


class _File(io.FileIO):
    """Only reads are retried; seeking does not touch the disk."""

    def readinto(self, buffer: Any) -> int:
        return persist(Path(os.fsdecode(self.name)), lambda: os.readv(self.fileno(), [buffer]))  # type: ignore[arg-type]

    read = io.RawIOBase.read  # type: ignore[assignment]  # FileIO's own ones do not go through readinto
    readall = io.RawIOBase.readall


def read_at(path: Path, handle: int, offset: int, length: int) -> bytes:
    """`length` bytes at `offset` of an open file, fewer only where it ends; any number of threads may call it at once.

    `path` is named in the DataError if it can't be read.
    """
    pieces: list[bytes] = []
    while length and (piece := persist(path, partial(os.pread, handle, length, offset))):
        pieces.append(piece)
        offset, length = offset + len(piece), length - len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def persist(path: Path, attempt: Callable[[], _Result]) -> _Result:
    """What `attempt` returns, tried again while the storage of `path` fails. DataError where it fails for good."""
    for pause in (*PAUSES, None):
        try:
            return attempt()
        except OSError as error:
            if pause is None or error.errno not in PASSING:
                raise DataError(_refusal(path, error)) from error
        time.sleep(pause)
    raise AssertionError("the last try returns or raises")


def _refusal(path: Path, error: OSError) -> str:
    if error.errno == errno.ENOENT and os.path.islink(path):
        return f"{path}: is a link to {os.readlink(path)}, which does not exist"
    if error.errno in PASSING:
        tries = f"{len(PAUSES) + 1} times in {sum(PAUSES):g} s"
        advice = f", {tries}; mend the disk or the network below it, then run the same again"
    else:
        advice = "; let this user read it, then run again" if error.errno == errno.EACCES else ""
    return f"{path}: can't be read: {error.strerror}{advice}"
