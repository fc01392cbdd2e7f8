"""The exceptions of data/: what the user can mend."""

from __future__ import annotations

import errno
import signal
from collections.abc import Sequence
from pathlib import Path


class DataError(Exception):
    """Expected failure. Its text is the whole message: what was found, what was expected, what to do."""


class ContentError(DataError):
    """What was read is at fault, not the reading: damaged by its CRC, or absurdly large."""


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
    return between.join(text if text.isprintable() else repr(text) for text in texts[:shown]) + more


class ModelError(Exception):
    """Expected failure. Its text is the whole message: what was found, what was expected, what to do."""


def ending(exitcode: int) -> str:
    """How a process ended, in words: `was ended by SIGKILL`."""
    return (
        f"was ended by {signal.Signals(-exitcode).name}"
        if exitcode < 0
        else f"ended with exit code {exitcode}"
    )
