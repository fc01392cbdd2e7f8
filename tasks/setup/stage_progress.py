"""Show how far a stage is: a bar in a terminal, a line now and then in a log, a figure on Luigi's page."""

from __future__ import annotations

import logging
import sys
import time
from typing import Any

logger = logging.getLogger("luigi-interface")

SECONDS_BETWEEN_DRAWINGS = 0.2
SECONDS_BETWEEN_LINES = 15.0
SECONDS_BETWEEN_REPORTS = 1.0  # to Luigi: each is a request where luigid schedules


class StageProgress:
    """A callable (done, total, note) for the working functions; `close` leaves the terminal tidy."""

    def __init__(self, stage: Any, label: str) -> None:
        self.stage, self.label = stage, label
        self.bar: Any = None
        self.drawn_at = 0.0
        self.lines_at = self.reported_at = time.monotonic()

    def __call__(self, done: int, total: int, note: str = "") -> None:
        now = time.monotonic()
        if sys.stderr.isatty():
            if now - self.drawn_at >= SECONDS_BETWEEN_DRAWINGS or done == total:
                self.drawn_at = now
                self._draw(done, total, note)
        elif now - self.lines_at >= SECONDS_BETWEEN_LINES:
            self.lines_at = now
            logger.info("%s: %s of %s %s", self.label, f"{done:,}", f"{total:,}", note)
        if now - self.reported_at >= SECONDS_BETWEEN_REPORTS:
            self.reported_at = now
            self._report(done, total, note)

    def _draw(self, done: int, total: int, note: str) -> None:
        if self.bar is None:
            from tqdm import tqdm

            self.bar = tqdm(desc=self.label, unit_scale=True, leave=False, dynamic_ncols=True)
        self.bar.total, self.bar.n = total, done
        self.bar.set_postfix_str(note, refresh=True)

    def _report(self, done: int, total: int, note: str) -> None:
        # Luigi sets these two on the task only while it runs.
        if getattr(self.stage, "set_progress_percentage", None) and total:
            self.stage.set_progress_percentage(round(100 * done / total, 1))
            self.stage.set_status_message(f"{self.label}: {done:,} of {total:,} {note}".strip())

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()
