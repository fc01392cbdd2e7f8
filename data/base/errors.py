"""The exceptions of data/: failures that the user can mend."""

from __future__ import annotations

import errno
import signal
from collections.abc import Sequence
from pathlib import Path

from data.base.words import visible


class Told(Exception):
    """A failure whose text is the whole message. It is given as lines; no text from outside can add another one."""

    def __init__(self, *lines: object) -> None:
        super().__init__(*map(visible, lines))

    def __str__(self) -> str:
        return "\n".join(self.args)


class DataError(Told):
    """Expected failure. Its text is the whole message: what was found, what was expected, what to do."""


class ContentError(DataError):
    """The content is at fault, not the reading of it: its CRC differs, or it is absurdly large."""


def refusal(error: OSError, place: Path) -> str:
    """What the operating system refused, where, and what mends it. `place`: where it was, if the error does not say."""
    full = "make room (gc lists what no longer counts)"
    locked = "set [paths] artifacts in luigi.cfg to a folder that you may write to"
    advice = {
        errno.ENOSPC: full,
        errno.EDQUOT: full,
        errno.EFBIG: "the system allows no file as large (ulimit -f)",
        errno.EROFS: locked,
        errno.EACCES: locked,
        errno.EPERM: locked,
    }
    mend = advice.get(error.errno or 0)
    return f"{error.filename or place}: {error.strerror or error}" + (
        f"; {mend}, then run again" if mend else ""
    )


def listed(texts: Sequence[str], shown: int = 10, between: str = ", ") -> str:
    """The first few, and how many more there are; on one line, whatever characters are in them."""
    more = f"; and {len(texts) - shown:,} more" if len(texts) > shown else ""
    return between.join(map(visible, texts[:shown])) + more


class ModelError(Told):
    """Expected failure. Its text is the whole message: what was found, what was expected, what to do."""


def ending(exitcode: int) -> str:
    """How a process ended, in words: `was ended by SIGKILL`."""
    return (
        f"was ended by {signal.Signals(-exitcode).name}"
        if exitcode < 0
        else f"ended with exit code {exitcode}"
    )
