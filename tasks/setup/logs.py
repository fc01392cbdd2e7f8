"""What a person reads while stages run: expected failures in one line, Luigi's bookkeeping only at DEBUG."""

from __future__ import annotations

import logging
import re
import sys
import traceback
import warnings
from types import TracebackType

from tasks.setup import failures
from tasks.setup.user_errors import EXPECTED

UNPLANNED = re.compile(r"Will not run (\w+).* due to error in (complete|deps)\(\) method:\n(.*)", re.DOTALL)
OURS = re.compile(r"^(?:SystemExit: error|(?:data|models|tasks)\.[\w.]+): ", re.MULTILINE)
"""Where the last line of a traceback names an error whose text is the whole message."""
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
        if "Luigi Execution Summary" in message:
            _shorten_summary(record, message)
        if unplanned := UNPLANNED.match(message):
            _shorten_unplanned(record, *unplanned.groups())
        error = record.exc_info[1] if record.exc_info else None
        if error and message == "Uncaught exception in luigi":
            failures.note("luigi", error)
        if isinstance(error, EXPECTED):
            trace = "".join(traceback.format_exception(error))
            task = record.args[-1] if isinstance(record.args, tuple) and record.args else ""
            name = getattr(task, "task_family", "")
            record.msg, record.args = "%s failed: %s", (name or "stage", str(error))
            record.exc_info = record.exc_text = None
            logging.getLogger(record.name).debug("%s", trace)
        return True


def _shorten_summary(record: logging.LogRecord, message: str) -> None:
    """A good run's to a line; of another, why it is not finished is kept for the last line."""
    if "This progress looks :)" not in message:
        why = re.search(r"This progress looks :[(|] because (.*)", message)
        failures.note_unfinished(why[1] if why else "see above")
        return
    failures.noted()  # what failed has succeeded since
    ran = re.search(r"\* (\d+) ran successfully", message)
    stages = "stage" if ran and ran[1] == "1" else "stages"
    record.msg = f"done: {ran[1]} {stages} ran" if ran else "nothing to do: every artifact is complete"


def _shorten_unplanned(record: logging.LogRecord, name: str, method: str, trace: str) -> None:
    """A stage whose complete() or requires() failed: Luigi has the traceback in its message."""
    ours = list(OURS.finditer(trace))
    why = trace[ours[-1].end() :] if ours else trace.rstrip().rpartition("\n")[2]
    if ours:
        record.msg, record.args = "%s failed: %s", (name, why.strip())
        logging.getLogger(record.name).debug("%s", trace)
    if method == "complete":  # of the other Luigi tells by an event
        failures.note(name, why)


def _one_line(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Ctrl-C ends in a line, not in a traceback."""
    if issubclass(kind, KeyboardInterrupt):
        print(
            "interrupted; what is finished is kept, and the same command goes on from there", file=sys.stderr
        )
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
