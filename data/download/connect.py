"""Connections that are made, or given up, within seconds: a host that can't be reached is not worth a minute."""

from __future__ import annotations

import errno
import os
import selectors
import socket
import time
from contextlib import closing
from typing import Any

FIRST = 2.5  # seconds for the first connection with a host; TCP asks twice in them
OFFLINE = 4.0  # seconds in which no host could be reached: there seems to be no network
BRIEF = 0.5  # seconds for the first connection with a host then
MEMORY = 60.0  # seconds after which a host that could not be reached is asked as if for the first time
STAGGER = 0.25  # seconds until a host's next address is tried beside those that have not answered (RFC 8305)

_NO_WAY = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EHOSTDOWN, errno.EADDRNOTAVAIL)


class Hosts:
    """Which hosts (each "name:port") this process could reach: files share them, and a run asks for many files."""

    def __init__(self) -> None:
        self.reached: set[str] = set()
        self.unreached: dict[str, tuple[float, OSError]] = {}
        self.alone_since: float | None = None

    def offline(self) -> bool:
        """Could no host be reached for OFFLINE seconds?"""
        return self.alone_since is not None and time.monotonic() - self.alone_since >= OFFLINE

    def patience(self, host: str, usual: float) -> float:
        """Seconds for a connection: the usual ones with a host that was reached before, for it may be back soon."""
        if host in self.reached:
            return usual
        return min(usual, BRIEF if self.offline() else FIRST)

    def recall(self, host: str) -> None:
        """Raise the OSError that this host was last asked with, where none was reached since: it is not asked again."""
        now = time.monotonic()
        recent = {name: seen for name, seen in list(self.unreached.items()) if now - seen[0] < MEMORY}
        self.unreached = recent
        if not recent:
            self.alone_since = None
        if host in recent and self.offline():
            raise recent[host][1]

    def note_reached(self, host: str) -> None:
        self.reached.add(host)
        self.unreached.clear()
        self.alone_since = None

    def note_unreached(self, host: str, began: float, error: OSError) -> None:
        """`began`: when the attempt did, by time.monotonic."""
        self.unreached[host] = time.monotonic(), error
        if self.alone_since is None:
            self.alone_since = began


HOSTS = Hosts()


def no_way(error: OSError) -> bool:
    """Does this say that there is no such host, or no way to it? One that refuses a connection is there."""
    return isinstance(error, socket.gaierror | TimeoutError) or error.errno in _NO_WAY


def connect(addresses: list[Any], seconds: float) -> socket.socket:
    """A connection with the first of a host's addresses (getaddrinfo's) that takes one.

    The next is tried beside those that have not answered, so that one that swallows all packets holds up none.
    TimeoutError after `seconds` for all of them; else the OSError of the last where none takes a connection.
    """
    left, end = list(addresses), time.monotonic() + seconds
    with closing(_Race()) as race:
        while (left or race.running()) and (rest := end - time.monotonic()) > 0:
            if left:
                race.begin(*left.pop(0))
            if line := race.winner(min(STAGGER, rest) if left else rest):
                return line
        raise TimeoutError(f"no connection within {seconds:g} s") if race.running() else race.why


class _Race:
    """Connections that are being made; `why` the last of them failed."""

    def __init__(self) -> None:
        self.lines = selectors.DefaultSelector()
        self.why: OSError = TimeoutError("no time for a connection")

    def running(self) -> bool:
        return bool(self.lines.get_map())

    def begin(self, family: int, kind: int, protocol: int, _: str, address: Any) -> None:
        try:
            line = socket.socket(family, kind, protocol)
        except OSError as error:  # this system has no IPv6
            self.why = error
            return
        line.setblocking(False)
        code = line.connect_ex(address)
        self.lines.register(line, selectors.EVENT_WRITE)
        if code not in (0, errno.EINPROGRESS, errno.EWOULDBLOCK):
            self._drop(line, code)

    def winner(self, seconds: float) -> socket.socket | None:
        """The first that is made within so many seconds, or none; at once where none is being made."""
        for key, _ in self.lines.select(seconds) if self.running() else ():
            line: Any = key.fileobj
            if code := line.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                self._drop(line, code)
            else:
                self.lines.unregister(line)
                return line  # type: ignore[no-any-return]
        return None

    def close(self) -> None:
        for key in list(self.lines.get_map().values()):
            self._drop(key.fileobj)
        self.lines.close()

    def _drop(self, line: Any, code: int = errno.ETIMEDOUT) -> None:
        self.lines.unregister(line)
        line.close()
        self.why = OSError(code, os.strerror(code))
