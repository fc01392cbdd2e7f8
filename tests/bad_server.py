"""An HTTP server on 127.0.0.1 that serves files well, or as badly as a script of answers tells it."""

from __future__ import annotations

import re
import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from urllib.parse import urlsplit

from quiet_server import QuietServer

STEP = 1 << 16


@dataclass
class Answer:
    """How one request is answered."""

    status: int = 200  # another one: an error page
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None  # instead of the file
    drop_after: int | None = None  # bytes of the body, then the connection is cut
    stall_after: int | None = None  # bytes of the body, then silence
    ignore_range: bool = False
    ignore_if_range: bool = False
    length: int | None = None  # a lie in Content-Length
    chunked: bool = False
    shift: int = 0  # a 206 that begins this many bytes off
    most: int | None = None  # a 206 with at most so many bytes
    more: int = 0  # a 206 with so many bytes more than asked for
    total: str = ""  # a lie in Content-Range about the length of the file, or what has none
    flip: int | None = None  # a byte of the body that is another one
    etag: str | None = '"one"'
    pace: float = 0.0  # seconds per 64 KiB


class BadServer:
    """`script` answers the first requests, `usual` all others; `sent` counts body bytes.

    `limit`: connections at a time; those beyond get a 503. `open_now`, `most_open`, `opened` count them.
    """

    def __init__(self, **files: bytes) -> None:
        self.files = {name.replace("_", "."): content for name, content in files.items()}
        self.script: list[Answer] = []
        self.usual = Answer()
        self.requests: list[dict[str, str]] = []
        self.sent = 0
        self.limit: int | None = None
        self.open_now = self.most_open = self.opened = 0
        self.lock = threading.Lock()
        self.closing = threading.Event()
        self.http = QuietServer(("127.0.0.1", 0), _handler(self))
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.05,), daemon=True)

    def count(self, more: int) -> None:
        with self.lock:
            self.open_now += more
            self.opened += max(0, more)
            self.most_open = max(self.most_open, self.open_now)

    def next_answer(self) -> Answer:
        with self.lock:
            return self.script.pop(0) if self.script else self.usual

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http.server_address[1]}/"

    def __enter__(self) -> BadServer:
        self.thread.start()
        return self

    def __exit__(self, *failure: object) -> None:
        self.closing.set()
        self.http.shutdown()
        self.http.server_close()


def _handler(server: BadServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # else a second answer on a connection waits for 40 ms

        def setup(self) -> None:
            super().setup()
            server.count(1)
            self.beyond = server.limit is not None and server.open_now > server.limit

        def finish(self) -> None:
            server.count(-1)
            super().finish()

        def do_GET(self) -> None:
            server.requests.append({"path": self.path, **{k.lower(): v for k, v in self.headers.items()}})
            answer = server.next_answer() if not self.beyond else Answer(503)
            self.close_connection |= self.beyond
            content = server.files.get(urlsplit(self.path).path.rsplit("/", 1)[-1])
            content = content if answer.body is None else answer.body
            if answer.status != 200 or content is None:
                return self.error(answer.status if answer.status != 200 else 404, answer.headers)
            self.file(answer, content)

        do_HEAD = do_GET

        def error(self, status: int, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def file(self, answer: Answer, content: bytes) -> None:
            range_wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
            same = self.headers.get("If-Range") in (None, answer.etag) or answer.ignore_if_range
            if range_wanted and same and not answer.ignore_range:
                start = int(range_wanted[1])
                if start >= len(content):
                    return self.error(416, {"Content-Range": f"bytes */{len(content)}"})
                start = max(0, start + answer.shift)
                end = int(range_wanted[2]) + 1 + answer.shift if range_wanted[2] else len(content)
                body = content[start : end + answer.more][: answer.most]
                span = f"bytes {start}-{start + len(body) - answer.more - 1}/{answer.total or len(content)}"
                self.send_response(206)
                if answer.total != "none":
                    self.send_header("Content-Range", span)
            else:
                body = content
                self.send_response(200)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            if answer.etag:
                self.send_header("ETag", answer.etag)
            if answer.chunked:
                self.send_header("Transfer-Encoding", "chunked")
            else:
                self.send_header("Content-Length", str(answer.length or len(body)))
            self.end_headers()
            if self.command == "GET":
                self.send(answer, body)

        def send(self, answer: Answer, body: bytes) -> None:
            if answer.flip is not None:
                at = answer.flip % len(body)
                body = body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]
            limits = [n for n in (answer.drop_after, answer.stall_after, len(body)) if n is not None]
            for start in range(0, min(limits), STEP):
                piece = body[start : min(start + STEP, *limits, len(body))]
                try:
                    self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece) if answer.chunked else piece)
                except OSError:
                    self.close_connection = True
                    return
                with server.lock:
                    server.sent += len(piece)
                time.sleep(answer.pace)
            if answer.stall_after is not None:
                server.closing.wait(20)
            if min(limits) < len(body) or answer.length:
                self.close_connection = True
            elif answer.chunked:
                self.wfile.write(b"0\r\n\r\n")

        def log_message(self, *_: object) -> None:
            pass

    return Handler


class Babbler:
    """Answers whatever it is asked with `begin`, then with `piece` again and again, `pace` seconds apart."""

    def __init__(self, begin: bytes, piece: bytes, pace: float) -> None:
        self.begin, self.piece, self.pace = begin, piece, pace
        self.sent, self.closing = 0, threading.Event()
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]

    def __enter__(self) -> Babbler:
        threading.Thread(target=self.accept, daemon=True).start()
        return self

    def __exit__(self, *failure: object) -> None:
        self.closing.set()
        self.socket.close()

    def accept(self) -> None:
        while not self.closing.is_set():
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self.talk, args=(connection,), daemon=True).start()

    def talk(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.recv(1 << 16)
            connection.sendall(self.begin)
            while not self.closing.wait(self.pace):
                connection.sendall(self.piece)
                self.sent += len(self.piece)
