"""The one exception of models/: something the user can mend."""

from __future__ import annotations

import signal


class ModelError(Exception):
    """Expected failure. Its text is the whole message: what was found, what was expected, what to do."""


def ending(exitcode: int) -> str:
    """How a process ended, in words: `was ended by SIGKILL`."""
    return (
        f"was ended by {signal.Signals(-exitcode).name}"
        if exitcode < 0
        else f"ended with exit code {exitcode}"
    )
