"""What a person reads while stages run: expected failures in one line, Luigi's bookkeeping only at DEBUG."""

from __future__ import annotations

import logging
import re
import sys
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

import luigi

from data.base.words import Lines, show, visible
from tasks.setup import failures
from tasks.setup.process import STOPPED, STOPPED_LINE, Stopped
from tasks.setup.user_errors import EXPECTED

UNPLANNED = re.compile(r"Will not run (\w+).* due to error in (complete|deps)\(\) method:\n(.*)", re.DOTALL)
OURS = re.compile(r"^(?:SystemExit: error|(?:data|models|tasks)\.[\w.]+): ", re.MULTILINE)
"""Where the last line of a traceback names an error whose text is the whole message."""
LUIGIS = str(Path(luigi.__file__).parent)
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


_last_words: Callable[[], list[str]] | None = None


def end_with(words: Callable[[], list[str]]) -> None:
    """Let these lines, asked for then, take the place of Luigi's summary of a run in which all is done."""
    global _last_words
    _last_words = words


class Visible(logging.Filter):
    """No text among a record's arguments adds lines of its own."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple) and not record.pathname.startswith(LUIGIS):  # it logs tracebacks so
            record.args = tuple(visible(arg) if isinstance(arg, str | Path) else arg for arg in record.args)
        return True


class OneLine(logging.Filter):
    """For Luigi's logger, which prints each failure of a run() with its traceback."""

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
            record.msg, record.args = "%s failed: %s", (name or "stage", Lines(*error.args))
            record.exc_info = record.exc_text = None
            logging.getLogger(record.name).debug("%s", trace)
        return True


def _shorten_summary(record: logging.LogRecord, message: str) -> None:
    """A good run's to a line; of another run, the reason why it did not finish is kept for the last line."""
    if "This progress looks :)" not in message:
        why = re.search(r"This progress looks :[(|] because (.*)", message)
        failures.note_unfinished(why[1] if why else "see above")
        return
    failures.noted()  # what failed has succeeded since
    if _last_words:
        record.msg, record.args = "%s", (Lines(*_last_words()),)


def _shorten_unplanned(record: logging.LogRecord, name: str, method: str, trace: str) -> None:
    """A stage whose complete() or requires() failed: Luigi has the traceback in its message."""
    ours = list(OURS.finditer(trace))
    why = trace[ours[-1].end() :] if ours else trace.rstrip().rpartition("\n")[2]
    if ours:
        record.msg, record.args = "%s failed: %s", (name, why.strip())
        logging.getLogger(record.name).debug("%s", trace)
    if method == "complete":  # Luigi reports the other by an event
        failures.note(name, why)


def _one_line(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Ctrl-C and SIGTERM end in a line, not in a traceback; SIGTERM with an exit code of its own."""
    if issubclass(kind, KeyboardInterrupt):
        failures.note_unfinished("")  # it may have ended a stage's process first, and then Luigi's run
    if issubclass(kind, Stopped):
        failures.noted()  # drops those of the stages that it has ended
        show(STOPPED_LINE, file=sys.stderr)
        raise SystemExit(STOPPED)
    if issubclass(kind, KeyboardInterrupt):
        show(
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
        logger.addFilter(Visible())
        if logging.lastResort:  # prints messages of modules that know nothing of Luigi
            logging.lastResort.addFilter(Visible())
