"""How a user's mistake ends: in one line and a non-zero exit code, never in a traceback."""

from __future__ import annotations

from typing import NoReturn

from luigi.cmdline_parser import CmdlineParser

from data.base import words
from data.base.errors import DataError, ModelError, Told


class StageError(Told):
    """Expected failure of a stage. Its text is the whole message: found, expected, what to do."""


EXPECTED = (DataError, ModelError, StageError)
"""Failures whose text is the whole message."""


class UsageError(ValueError):
    """A flag or a setting that can't be used, raised to a caller in Python (on a command line: see `refuse`)."""


def refuse(message: str) -> NoReturn:
    """End a command line with one line and exit code 1; raise UsageError for a caller in Python.

    Luigi parses flags outside its own error handling, so anything but SystemExit would print a traceback.
    """
    if CmdlineParser.get_instance() is not None:
        raise SystemExit(f"error: {words.visible(message)}")
    raise UsageError(words.visible(message))


def nearest(name: str, valid: list[str]) -> str:
    """'did you mean X?' where something in `valid` is close, else the whole list."""
    close = words.nearest(name, valid)
    return f"did you mean '{close}'?" if close else f"valid: {', '.join(sorted(valid))}"
