"""A file at an address, read in pieces by Range: each answer has to be of the same file, and of the piece asked for."""

from __future__ import annotations

import threading
from collections.abc import Callable

import requests

from data.download.attempts import FRUITFUL, Attempts, Pace
from data.download.line import Line, check_busy, check_served
from data.download.lines import Lines
from data.download.responses import Hitch, Refused, chunks, content_range, not_the_file, shown
from data.download.resume import CHUNK


class Unranged(Refused):
    """The server sends all of the file where a piece was asked for."""


class Changed(Refused):
    """The file has changed since the last request."""


class RemoteFile:
    """Reads pieces of a file at an http address; threads may do so at the same time.

    `size`: bytes, as pinned, else as the first answer says. `arrived` counts bytes received. Everything raises Refused
    where the address does not give what was asked for.
    """

    def __init__(
        self, url: str, file: str, size: int | None, lines: Lines, tell: Callable[[str], None]
    ) -> None:
        self.url, self.file, self.lines, self._tell = url, file, lines, tell
        self.validator = ""
        self.arrived = self._answered = 0
        self._lock = threading.Lock()
        self._known: dict[str, str] = {}
        self._size = size

    @property
    def size(self) -> int:
        if self._size is None:
            self.read(0, 1)
        assert self._size is not None
        return self._size

    def read(self, offset: int, length: int) -> bytes:
        """These bytes; fewer only where the file ends."""
        piece = bytearray()
        end = offset + length if self._size is None else min(offset + length, self._size)
        self.pour(offset, end, piece.extend)
        return bytes(piece)

    def pour(self, start: int, end: int, put: Callable[[bytes], object]) -> None:
        """Hand over the bytes from `start` to `end` as they come; after a drop it goes on behind the last one.

        Patience is renewed by what comes from this address to any thread.
        """
        at, attempts = start, Attempts(self.lines.patience, self._told, self.lines.sleep)

        def put_on(chunk: bytes) -> None:
            nonlocal at
            put(chunk)
            at += len(chunk)
            self._count(len(chunk))

        def attempt() -> None:
            arrived, answered = self.arrived, self._answered
            try:
                if at < end:
                    with self.lines.free() as line:
                        self._ask(line, at, end, put_on)
            finally:
                if self.arrived >= arrived + FRUITFUL or self._answered > answered:
                    attempts.fruitless = 0

        attempts.until_done(attempt)
        with self._lock:
            self._answered += 1

    def _told(self, why: str) -> None:
        self._tell(f"{shown(self.url)}: {why}")

    def _count(self, size: int) -> None:
        with self._lock:
            self.arrived += size

    def _ask(self, line: Line, start: int, end: int, put: Callable[[bytes], None]) -> None:
        headers = {"Range": f"bytes={start}-{end - 1}"}
        if self.validator:
            headers["If-Range"] = self.validator
        with line.get(self.url, headers) as response:
            until = self._judge(response, start, end)
            at, pace = start, Pace(line.patience, start)
            for chunk in chunks(response.raw, CHUNK):
                line.watch.renew()
                if at + len(chunk) > until:
                    raise Refused(f"sends more than the {until - start:,} bytes that it announces")
                put(chunk)
                at += len(chunk)
                pace.check(at)
            line.check_time()
        if at < end:
            raise Hitch(f"the connection ended at byte {at:,} of {end:,}")

    def _judge(self, response: requests.Response, start: int, end: int) -> int:
        """Where the piece ends that an answer's headers announce."""
        check_busy(response, self.lines.patience)
        if response.status_code == 416:
            self._check_size(response.headers.get("Content-Range", "").removeprefix("bytes */"))
            raise Refused(f"has no bytes from {start:,} on")
        check_served(response)
        if response.status_code == 200:
            raise self._whole(response)
        piece = content_range(response.headers)
        if not piece or piece[0] != start or piece[1] > end:
            sent = response.headers.get("Content-Range", "no Content-Range")
            raise Refused(f"asked for the bytes {start:,} to {end - 1:,}, was sent {sent}")
        self._check_size(str(piece[2] or ""))
        self._check_same(response)
        return piece[1]

    def _whole(self, response: requests.Response) -> Refused:
        """Why the whole file came: it may be another file, or no file at all."""
        if why := not_the_file(self.file, response.headers, next(chunks(response.raw, CHUNK), b"")):
            return Refused(why)
        self._check_size(response.headers.get("Content-Length", ""))
        self._check_same(response)
        return Unranged("sends the whole file where a part was asked for")

    def _check_size(self, stated: str) -> None:
        if not stated.isdecimal():
            if self._size is None:
                raise Refused("does not say how long the file is")
        elif self._size is None:
            self._size = int(stated)
        elif self._size != int(stated):
            raise Refused(f"found {int(stated):,} bytes, expected {self._size:,}")

    def _check_same(self, response: requests.Response) -> None:
        """What tells versions of a file apart must stay as the first answer had it: the ETag, else the date."""
        name = "ETag" if response.headers.get("ETag") else "Last-Modified"
        stated = response.headers.get(name, "")
        if stated and stated != self._known.setdefault(name, stated):
            raise Changed(f"the file has changed there: {name} was {self._known[name]}, is {stated}")
        etag = self._known.get("ETag", "")
        self.validator = etag if etag.startswith('"') else self._known.get("Last-Modified", "")
