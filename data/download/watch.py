"""An end to waiting: for a host that can't be reached, and for a server that sends for ever and never answers."""

from __future__ import annotations

import socket
import threading
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection
from urllib3.exceptions import NewConnectionError

from data.download.connect import HOSTS, connect, no_way

NOTICE = 3.0  # seconds of waiting without an answer after which it is said what is waited for, and how often


@dataclass(frozen=True)
class Patience:
    """How long one address is given. Seconds; `attempts` counts those in a row that brought nothing."""

    attempts: int = 7
    connect: float = 15.0
    silence: float = 60.0  # without a byte, and the window over which `slowest` is averaged
    slowest: float = 1024.0  # bytes a second: below it, a new connection is tried
    first_wait: float = 1.0
    longest_wait: float = 120.0


class Watch(HTTPAdapter):
    """Sends a session's requests, and cuts their connections `patience` seconds after the last `renew`.

    The libraries' timeouts begin anew with each byte. A header that trickles, `100 Continue` again and again, a TLS
    handshake or a chunk's length that never ends would keep them waiting for ever.
    `with`: watches from a thread of its own until the block ends, and tells `say` what is waited for: the libraries
    block while a name is looked up. `too_late`: what this request receives was cut. `unreached`: its host never was.
    """

    def __init__(self, patience: float, say: Callable[[str], None] = lambda text: None) -> None:
        super().__init__()
        self.patience, self.say = patience, say
        self.too_late = self.unreached = False
        self.waits_for, self.waits_since = "", 0.0
        self.deadline = 0.0
        self.lines: weakref.WeakKeyDictionary[Any, socket.socket] = weakref.WeakKeyDictionary()
        self.lock, self.ended = threading.Lock(), threading.Event()
        self.begin()

    def begin(self) -> None:
        """A request begins."""
        self.too_late = self.unreached = False
        self.wait_for("")
        self.renew()

    def wait_for(self, what: str) -> None:
        """What this request waits for from now on; "": for nothing, it is answered."""
        self.waits_for, self.waits_since = what, time.monotonic()

    def renew(self) -> None:
        """Something has arrived: another `patience` seconds."""
        self.deadline = time.monotonic() + self.patience

    def __enter__(self) -> Watch:
        threading.Thread(target=self._watch, daemon=True).start()
        return self

    def __exit__(self, *failure: object) -> None:
        self.ended.set()

    def _watch(self) -> None:
        while not self.ended.wait(min(NOTICE, max(self.deadline - time.monotonic(), self.patience / 10))):
            if time.monotonic() >= self.deadline:
                self.too_late = True
                self.cut()
            elif self.waits_for and time.monotonic() >= self.waits_since + NOTICE:
                self.say(self.waits_for)

    def cut(self) -> None:
        """End what is being received."""
        with self.lock:
            lines = list(self.lines.values())
        for line in lines:
            with suppress(OSError):  # it has ended by itself
                line.shutdown(socket.SHUT_RDWR)

    def get_connection_with_tls_context(self, *words: Any, **options: Any) -> Any:
        """requests' own; connections of this pool are made known to the watch."""
        pool: Any = super().get_connection_with_tls_context(*words, **options)
        if not hasattr(pool.ConnectionCls, "watch"):
            pool.ConnectionCls = _watched(pool.ConnectionCls, self)
        return pool

    def connected(self, connection: Any) -> socket.socket:
        """A connection with the host, in the seconds that it is worth; urllib3 would give them to each address."""
        began = time.monotonic()
        name, port = connection._dns_host.strip("[]"), connection.port
        host = f"{name}:{port}"
        try:
            HOSTS.recall(host)
            self.wait_for(f"waiting for the address of {name} (DNS)")
            addresses = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
            self.wait_for(f"waiting for a connection with {host}")
            line = connect(addresses, HOSTS.patience(host, connection.timeout))
        except OSError as error:
            if no_way(error):
                HOSTS.note_unreached(host, began, error)
                self.unreached = host not in HOSTS.reached
            raise NewConnectionError(connection, str(error)) from error
        HOSTS.note_reached(host)
        for option in connection.socket_options or ():
            line.setsockopt(*option)
        line.settimeout(connection.timeout)
        return line

    def opened(self, connection: Any, line: socket.socket) -> None:
        """A connection is there, and its `line`: a second handle, as TLS takes the first one away."""
        weakref.finalize(connection, line.close)
        with self.lock:
            self.lines[connection] = line
        self.begin()
        self.wait_for(f"waiting for an answer of {connection.host}")


def _watched(kind: Any, by: Watch) -> type:
    plain = kind._new_conn is HTTPConnection._new_conn  # not by way of a SOCKS proxy

    class Watched(kind):
        watch = by

        def _new_conn(self) -> socket.socket:
            line: socket.socket = self.watch.connected(self) if plain else super()._new_conn()
            self.watch.opened(self, line.dup())
            return line

    return Watched
