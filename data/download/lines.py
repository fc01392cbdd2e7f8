"""Several connections to one server at a time: kept alive, and fewer where it refuses some."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from data.download.line import Line
from data.download.responses import Busy, Refused
from data.download.watch import Patience

MOST = 16  # what public servers allow
_REGAINED = 1 / 512  # of a connection, for each successful request


class Lines:
    """At most 16 connections; one fewer for a while after each that the server refuses or does not answer."""

    def __init__(self, patience: Patience, say: Callable[[str], None]) -> None:
        self.patience, self.closing = patience, threading.Event()
        self._free = [Line(patience, say) for _ in range(MOST)]
        self._all, self._allowed, self._busy = tuple(self._free), float(MOST), 0
        self._changed, self._open = threading.Condition(), ExitStack()

    def __enter__(self) -> Lines:
        for line in self._all:
            self._open.enter_context(line)
        return self

    def __exit__(self, *failure: object) -> None:
        self.close()
        self._open.close()

    def close(self) -> None:
        """End every wait and every transfer in progress."""
        self.closing.set()
        for line in self._all:
            line.watch.cut()
        with self._changed:
            self._changed.notify_all()

    def sleep(self, seconds: float) -> None:
        """Wait, but not beyond the end."""
        self.closing.wait(seconds)

    @contextmanager
    def free(self) -> Iterator[Line]:
        """A connection that nobody else uses; waits until there is one.

        The one used last is given first: it is still alive.
        """
        line = self._taken()
        try:
            yield line
        except BaseException as error:
            line.session.close()
            self._give_back(line, -1.0 if isinstance(error, Busy) else 0.0)
            raise
        self._give_back(line, _REGAINED)

    def _taken(self) -> Line:
        with self._changed:
            self._changed.wait_for(lambda: self._busy < int(self._allowed) or self.closing.is_set())
            if self.closing.is_set():
                raise Refused("given up")
            self._busy += 1
            return self._free.pop()

    def _give_back(self, line: Line, more: float) -> None:
        with self._changed:
            self._allowed = min(max(1.0, self._allowed + more), float(MOST))
            self._busy -= 1
            self._free.append(line)
            if more < 0:
                self._hang_up()
            self._changed.notify_all()

    def _hang_up(self) -> None:
        """A server that allows only so many connections counts idle ones, too."""
        for line in self._free:
            line.session.close()
