"""An HTTP server on 127.0.0.1 that serves files well, or as badly as a script of answers tells it."""

from __future__ import annotations

import re
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

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
    etag: str | None = '"one"'
    pace: float = 0.0  # seconds per 64 KiB


class BadServer:
    """`script` answers the first requests, `usual` all others; `sent` counts body bytes."""

    def __init__(self, **files: bytes) -> None:
        self.files = {name.replace("_", "."): content for name, content in files.items()}
        self.script: list[Answer] = []
        self.usual = Answer()
        self.requests: list[dict[str, str]] = []
        self.sent = 0
        self.closing = threading.Event()
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.http.daemon_threads = True
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.05,), daemon=True)

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

        def do_GET(self) -> None:
            server.requests.append({"path": self.path, **{k.lower(): v for k, v in self.headers.items()}})
            answer = server.script.pop(0) if server.script else server.usual
            content = server.files.get(urlsplit(self.path).path.rsplit("/", 1)[-1])
            content = content if answer.body is None else answer.body
            if answer.status != 200 or content is None:
                return self.error(answer.status if answer.status != 200 else 404, answer.headers)
            self.file(answer, content)

        def error(self, status: int, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def file(self, answer: Answer, content: bytes) -> None:
            asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
            same = self.headers.get("If-Range") in (None, answer.etag) or answer.ignore_if_range
            if asked and same and not answer.ignore_range:
                start = int(asked[1])
                if start >= len(content):
                    return self.error(416, {"Content-Range": f"bytes */{len(content)}"})
                start = max(0, start + answer.shift)
                body = content[start:][: answer.most]
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {start}-{start + len(body) - 1}/{len(content)}")
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
            self.send(answer, body)

        def send(self, answer: Answer, body: bytes) -> None:
            limits = [n for n in (answer.drop_after, answer.stall_after, len(body)) if n is not None]
            for start in range(0, min(limits), STEP):
                piece = body[start : min(start + STEP, *limits, len(body))]
                try:
                    self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece) if answer.chunked else piece)
                except OSError:
                    self.close_connection = True
                    return
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
