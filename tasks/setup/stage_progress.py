"""Show a stage's progress: a bar in a terminal, a line now and then in a log, a figure on Luigi's page."""

from __future__ import annotations

import logging
import sys
import time
from typing import Any

from data.base.words import visible
from tasks.setup import terminal

logger = logging.getLogger("luigi-interface")

SECONDS_BETWEEN_DRAWINGS = 0.2
SECONDS_BETWEEN_LINES = 15.0
SECONDS_TO_FIRST_LINE = 5.0
SECONDS_BETWEEN_REPORTS = 1.0  # to Luigi: each is a request where luigid schedules


class StageProgress:
    """A callable (done, total, note) for the working functions; `close`, or a `with`, leaves the terminal tidy.

    `unit`: what is counted, in the plural. What is done at the first call was done by an earlier run: rate and time
    left count from there. Another total, or less done than before, means another piece of work and starts again.
    """

    def __init__(self, stage: Any, label: str, unit: str = "") -> None:
        self.stage, self.label, self.unit = stage, visible(label), unit
        self.bar: Any = None
        self.done, self.total = 0, -1
        self.drawn_at = 0.0
        self.reported_at = time.monotonic()
        self.lines_at = self.reported_at - SECONDS_BETWEEN_LINES + SECONDS_TO_FIRST_LINE

    def __enter__(self) -> StageProgress:
        return self

    def __exit__(self, *failure: object) -> None:
        self.close()

    def __call__(self, done: int, total: int, note: str = "") -> None:
        now = time.monotonic()
        if total != self.total or done < self.done:
            self.close()
        self.done, self.total, note = done, total, visible(note)
        if sys.stderr.isatty():
            if self.bar is None or now - self.drawn_at >= SECONDS_BETWEEN_DRAWINGS or done == total:
                self.drawn_at = now
                self._draw(note)
        elif now - self.lines_at >= SECONDS_BETWEEN_LINES:
            self.lines_at = now
            logger.info("%s: %s", self.label, self._text(note))
        if now - self.reported_at >= SECONDS_BETWEEN_REPORTS:
            self.reported_at = now
            self._report(note)

    def _text(self, note: str) -> str:
        counted = f"{self.done:,} of {self.total:,} {self.unit}".rstrip()
        return f"{counted}, {note}" if note else counted

    def _draw(self, note: str) -> None:
        if self.bar is None:
            from tqdm import tqdm

            self.bar = tqdm(
                desc=self.label,
                file=terminal.raw(sys.stderr),
                total=self.total or None,
                initial=self.done,
                unit=f" {self.unit or 'steps'}",
                unit_scale=True,
                leave=False,
                dynamic_ncols=True,
            )
        self.bar.n = self.done
        self.bar.set_postfix_str(note, refresh=True)
        if self.done == self.total:
            self.close()  # the next bar takes its place

    def _report(self, note: str) -> None:
        # Luigi sets these two on the task only while it runs.
        if getattr(self.stage, "set_progress_percentage", None) and self.total:
            self.stage.set_progress_percentage(round(100 * self.done / self.total, 1))
            self.stage.set_status_message(f"{self.label}: {self._text(note)}")

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()
            self.bar = None
