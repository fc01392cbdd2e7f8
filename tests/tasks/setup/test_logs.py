"""What a person sees of a failure."""

from __future__ import annotations

import logging

from data.base.errors import DataError
from tasks.setup.logs import OneLine


def record(message, *args, error=None):
    info = (type(error), error, None) if error else None
    return logging.LogRecord(
        "luigi-interface", logging.ERROR if error else logging.INFO, "", 0, message, args, info
    )


def test_an_expected_failure_is_one_line():
    one = record("[pid %s] Worker %s failed    %s", 1, "w", None, error=DataError("no such file; give --x"))
    assert OneLine().filter(one)
    assert one.getMessage() == "stage failed: no such file; give --x" and one.exc_info is None


def test_an_unexpected_failure_keeps_its_traceback():
    one = record("[pid %s] Worker %s failed    %s", 1, "w", None, error=ZeroDivisionError())
    assert OneLine().filter(one) and one.exc_info


def test_luigis_bookkeeping_is_for_debugging(monkeypatch):
    logging.getLogger("luigi-interface").setLevel(logging.INFO)
    assert not OneLine().filter(record("Informed scheduler that task   %s   has status   %s", "t", "DONE"))
    assert OneLine().filter(record("built %s", "x"))
