"""Serves files on 127.0.0.1 at a limited rate, over all connections together, and counts what it sends of each."""

from __future__ import annotations

import re
import threading
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

STEP = 1 << 14


class Served(Protocol):
    """A file of a server: its length, its hash, and its bytes from `start` to `end`."""

    @property
    def size(self) -> int: ...
    @property
    def sha256(self) -> str: ...
    def read(self, start: int, end: int) -> bytes: ...


@dataclass(frozen=True)
class OnDisk:
    path: Path
    sha256: str

    @property
    def size(self) -> int:
        return self.path.stat().st_size

    def read(self, start: int, end: int) -> bytes:
        with self.path.open("rb") as file:
            file.seek(start)
            return file.read(end - start)


class Bucket:
    """Lets so many bytes a second pass, whoever sends them."""

    def __init__(self, rate: float) -> None:
        self.rate, self.free, self.lock = rate, 0.0, threading.Lock()

    def take(self, size: int) -> None:
        """Wait until `size` bytes may go."""
        with self.lock:
            start = max(time.monotonic(), self.free)
            self.free = start + size / self.rate
        time.sleep(max(0.0, start - time.monotonic()))


@dataclass
class Traffic:
    """What was sent of a file: which bytes, by request. Headers are not counted."""

    spans: list[tuple[int, int]] = field(default_factory=list)

    @property
    def sent(self) -> int:
        return sum(end - start for start, end in self.spans)

    @property
    def distinct(self) -> int:
        """Bytes that were sent at least once."""
        total = reached = 0
        for start, end in sorted(self.spans):
            total += max(0, end - max(start, reached))
            reached = max(reached, end)
        return total


class Server(ThreadingHTTPServer):
    """`files` by name, whatever folder they are asked for in; megabits a second; `traffic` by name."""

    daemon_threads = True

    def __init__(self, files: Mapping[str, Served], megabits: float) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files, self.bucket = files, Bucket(megabits * 1e6 / 8)
        self.traffic: dict[str, Traffic] = defaultdict(Traffic)
        self.url = f"http://127.0.0.1:{self.server_address[1]}/"

    def __enter__(self) -> Server:
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *failure: object) -> None:
        self.shutdown()
        self.server_close()

    def handle_error(self, *_: object) -> None:
        """A client that was killed is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Server

    def do_GET(self) -> None:
        name = urlsplit(self.path).path.rsplit("/", 1)[-1]
        if name not in self.server.files:
            return self._head(404, 0)
        file = self.server.files[name]
        tag = f'"{file.sha256[:32]}"'
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if not wanted or self.headers.get("If-Range", tag) != tag:
            start, end = 0, file.size
            self._head(200, end, ETag=tag)
        else:
            start = int(wanted[1])
            end = min(file.size, int(wanted[2] or file.size - 1) + 1)
            if start >= end:
                return self._head(416, 0, Content_Range=f"bytes */{file.size}")
            self._head(206, end - start, ETag=tag, Content_Range=f"bytes {start}-{end - 1}/{file.size}")
        if self.command == "GET":
            self._send(name, file, start, end)

    do_HEAD = do_GET

    def _head(self, status: int, length: int, **headers: str) -> None:
        self.send_response(status)
        for field_name, value in headers.items():
            self.send_header(field_name.replace("_", "-"), value)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(length))
        self.end_headers()

    def _send(self, name: str, file: Served, start: int, end: int) -> None:
        spans, at = self.server.traffic[name].spans, start
        while at < end:
            for piece in _pieces(file.read(at, min(end, at + 64 * STEP))):
                self.server.bucket.take(len(piece))
                self.wfile.write(piece)
                spans.append((at, at + len(piece)))
                at += len(piece)

    def log_message(self, *_: object) -> None:
        pass


def _pieces(content: bytes) -> list[bytes]:
    return [content[at : at + STEP] for at in range(0, len(content), STEP)]
