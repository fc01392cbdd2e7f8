"""How often and how long one address is asked: waits that double, those that a server asks for, and an end to both."""

from __future__ import annotations

import time
from collections.abc import Callable
from random import uniform
from typing import TypeVar

import tenacity

from data.download.connect import HOSTS
from data.download.responses import Hitch, Refused, Unreached
from data.download.watch import Patience

FRUITFUL = 1 << 16  # an attempt that brings this many bytes more gives its address fresh patience
_Got = TypeVar("_Got")


class Attempts:
    """Repeats an action after each Hitch, until so many attempts in a row were fruitless.

    An attempt that brings something sets `fruitless` back to 0. `tell` is told why and how long it waits.
    """

    def __init__(
        self, patience: Patience, tell: Callable[[str], None], sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self.patience, self.tell, self.sleep = patience, tell, sleep
        self.fruitless = 0

    def until_done(self, attempt: Callable[[], _Got]) -> _Got:
        """What `attempt` returns. Refused where patience ends, and by the attempt itself."""
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(Hitch),
            stop=self._hopeless,
            wait=self._wait,
            before_sleep=self._tell,
            sleep=self.sleep,
            reraise=True,
        )
        try:
            return retrying(self._counted, attempt)
        except Hitch as error:
            raise Refused(error.given_up(self.fruitless)) from error

    def _counted(self, attempt: Callable[[], _Got]) -> _Got:
        self.fruitless += 1
        return attempt()

    def _hopeless(self, state: tenacity.RetryCallState) -> bool:
        """A host that was never reached is asked once more at most: all of them may be out of reach."""
        error = state.outcome and state.outcome.exception()
        if isinstance(error, Unreached) and (self.fruitless > 1 or not error.at_once or HOSTS.offline()):
            return True
        return self.fruitless >= self.patience.attempts

    def _wait(self, state: tenacity.RetryCallState) -> float:
        seconds = getattr(state.outcome and state.outcome.exception(), "wait", None)
        if seconds is not None:
            return float(seconds)
        doubled = self.patience.first_wait * 2 ** max(0, self.fruitless - 1)
        return uniform(0.5, 1.0) * min(doubled, self.patience.longest_wait)

    def _tell(self, state: tenacity.RetryCallState) -> None:
        why = state.outcome.exception() if state.outcome else ""
        wait = state.next_action.sleep if state.next_action else 0
        self.tell(f"{why}; again in {wait:.0f} s")


class Pace:
    """A Hitch where bytes come, but too slowly."""

    def __init__(self, patience: Patience, size: int) -> None:
        self.patience, self.mark, self.since = patience, time.monotonic(), size

    def check(self, size: int) -> None:
        """`size`: bytes that are here by now."""
        elapsed = time.monotonic() - self.mark
        if elapsed > self.patience.silence:
            if size - self.since < self.patience.slowest * elapsed:
                raise Hitch(f"slower than {self.patience.slowest:,.0f} bytes a second")
            self.mark, self.since = time.monotonic(), size
