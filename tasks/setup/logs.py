"""What a person reads while stages run: expected failures in one line, Luigi's bookkeeping only at DEBUG."""

from __future__ import annotations

import logging
import re
import sys
import traceback
import warnings
from types import TracebackType

from luigi.task_register import TaskClassException

from data.base.errors import DataError, ModelError
from tasks.setup.user_errors import StageError

EXPECTED = (DataError, ModelError, StageError)
BOOKKEEPING = (
    "Informed scheduler",
    "Worker %s was stopped",
    "Worker Worker(",
    "Done scheduling tasks",
    "Running Worker with",
    "Loaded ",
    "logging configured",
    "[pid %s] Worker %s running",
    "[pid %s] Worker %s done",
)


class OneLine(logging.Filter):
    """For Luigi's logger, which prints every failure of a run() with its traceback."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Shorten an expected failure to its message (the traceback goes to DEBUG) and a good run's summary to a line,
        so that what the last stage says stands at the end; hide bookkeeping."""
        message = str(record.msg)
        if record.levelno <= logging.INFO and message.startswith(BOOKKEEPING):
            return logging.getLogger(record.name).isEnabledFor(logging.DEBUG)
        if "Luigi Execution Summary" in message and "This progress looks :)" in message:
            ran = re.search(r"\* (\d+) ran successfully", message)
            stages = "stage" if ran and ran[1] == "1" else "stages"
            record.msg = (
                f"done: {ran[1]} {stages} ran" if ran else "nothing to do: every artifact is complete"
            )
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, EXPECTED):
            trace = "".join(traceback.format_exception(error))
            task = record.args[-1] if isinstance(record.args, tuple) and record.args else ""
            name = getattr(task, "task_family", "")
            record.msg, record.args = "%s failed: %s", (name or "stage", str(error))
            record.exc_info = record.exc_text = None
            logging.getLogger(record.name).debug("%s", trace)
        return True


def _one_line(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Ctrl-C, and a stage's name that is not there (Luigi's own suggestion), end in a line, not in a traceback."""
    if issubclass(kind, KeyboardInterrupt):
        print(
            "interrupted; what is finished is kept, and the same command goes on from there", file=sys.stderr
        )
    elif issubclass(kind, TaskClassException):
        print("error:", ", ".join(str(error).split("\n")).replace(":,", ":"), file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, trace)


def install() -> None:
    """Once for Luigi's logger, and for what Luigi's command line does not catch."""
    sys.excepthook = _one_line
    # Luigi 3.8 reads default-scheduler-host and its kin in [core], and then warns that nobody does.
    warnings.filterwarnings("ignore", "The configuration contains the parameter 'default_scheduler_")
    logger = logging.getLogger("luigi-interface")
    if not any(isinstance(known, OneLine) for known in logger.filters):
        logger.addFilter(OneLine())
