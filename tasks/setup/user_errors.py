"""How a user's mistake ends: in one line and a non-zero exit code, never in a traceback."""

from __future__ import annotations

from typing import NoReturn

from luigi.cmdline_parser import CmdlineParser

from data.base import words


class StageError(Exception):
    """Expected failure of a stage. Its text is the whole message: found, expected, what to do."""


class UsageError(ValueError):
    """A flag or a setting that can't be used, met from Python (on the command line: see `refuse`)."""


def refuse(message: str) -> NoReturn:
    """End a command line with one line and exit code 1; raise UsageError for a caller in Python.

    Luigi parses flags outside its own error handling, so anything but SystemExit would print a traceback.
    """
    if CmdlineParser.get_instance() is not None or _parsing_command_line():
        raise SystemExit(f"error: {message}")
    raise UsageError(message)


def _parsing_command_line() -> bool:
    import sys

    doors = ("luigi", "luigi-deps-tree", "pipeline/__main__.py")
    importing = sys.argv[:1] == ["-m"]  # python -m pipeline, before its __main__ is found
    return importing or (bool(sys.argv) and sys.argv[0].endswith(doors))


def nearest(name: str, valid: list[str]) -> str:
    """'did you mean X?' where something in `valid` is close, else the whole list."""
    close = words.nearest(name, valid)
    return f"did you mean '{close}'?" if close else f"valid: {', '.join(sorted(valid))}"
