"""The streams that a command prints to: no text and no reader can make it end in a traceback."""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Callable
from typing import Any

from data.base.words import CONTROLS, escape

UNREAD = (errno.EPIPE, errno.EIO)
"""The reader of a pipe is gone, as `| head -1` is after a line; a terminal is gone."""


class Printed:
    """A text stream that shows control characters instead of sending them, and survives the loss of its reader."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace", line_buffering=True)

    def write(self, text: str) -> int:
        self._attempt(lambda: self.stream.write(CONTROLS.sub(escape, text)))
        return len(text)

    def flush(self) -> None:
        self._attempt(self.stream.flush)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def _attempt(self, action: Callable[[], object]) -> None:
        """After a failure all that is printed goes nowhere. Where more than the reader is gone, as on a full disk, a
        command whose output is lost ends; what stages say of themselves is not worth their work."""
        try:
            action()
        except OSError as error:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.stream.fileno())
            os.close(nowhere)
            if self.stream.name == "<stdout>" and error.errno not in UNREAD:
                raise SystemExit(f"error: what is printed can't be written: {error.strerror}") from None


def raw(stream: Any) -> Any:
    """The stream itself, for output that moves a terminal's cursor on purpose."""
    return stream.stream if isinstance(stream, Printed) else stream


def install() -> None:
    """Once for a command's process."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:  # closed: the next file that is opened would get its number, and all that is printed
            os.open(os.devnull, os.O_RDWR)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if not isinstance(stream, Printed):
            setattr(sys, name, Printed(stream or os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")))
