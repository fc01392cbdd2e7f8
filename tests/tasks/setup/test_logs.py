"""What a person sees of a failure."""

from __future__ import annotations

import logging

from data.base.errors import DataError
from data.base.words import Lines
from tasks.setup import logs
from tasks.setup.logs import OneLine, Visible


def record(message, *args, error=None):
    info = (type(error), error, None) if error else None
    return logging.LogRecord(
        "luigi-interface", logging.ERROR if error else logging.INFO, "", 0, message, args, info
    )


def test_an_expected_failure_is_one_line():
    failure = record(
        "[pid %s] Worker %s failed    %s", 1, "w", None, error=DataError("no such file; give --x")
    )
    assert OneLine().filter(failure)
    assert failure.getMessage() == "stage failed: no such file; give --x" and failure.exc_info is None


def test_an_unexpected_failure_keeps_its_traceback():
    failure = record("[pid %s] Worker %s failed    %s", 1, "w", None, error=ZeroDivisionError())
    assert OneLine().filter(failure) and failure.exc_info


def test_luigis_bookkeeping_is_for_debugging(monkeypatch):
    logging.getLogger("luigi-interface").setLevel(logging.INFO)
    assert not OneLine().filter(record("Informed scheduler that task   %s   has status   %s", "t", "DONE"))
    assert OneLine().filter(record("built %s", "x"))


def test_what_is_logged_makes_no_lines_but_those_that_are_meant():
    logged = record("%s left out\n%s", "a\nERROR: b\x1b[1m.jpg", Lines("two", "lines"))
    logged.pathname = __file__
    assert (
        Visible().filter(logged)
        and logged.getMessage() == r"a\nERROR: b\u001b[1m.jpg left out" + "\ntwo\nlines"
    )
    luigis = record("%s", "Traceback\n  ...")
    luigis.pathname = logs.LUIGIS + "/worker.py"
    assert Visible().filter(luigis) and luigis.getMessage() == "Traceback\n  ..."
