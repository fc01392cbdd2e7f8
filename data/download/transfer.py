"""How one file arrives: attempts, patience, ranges, and servers that lie."""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import requests

from data.base.errors import DataError
from data.base.files import FILE_BYTES, check_plain, open_plain
from data.base.progress import Progress
from data.catalog.entries import Source
from data.download.attempts import FRUITFUL, Attempts, Pace
from data.download.line import Line, check_busy, check_served
from data.download.local_copies import file_path, mismatch
from data.download.responses import (
    Hitch,
    Refused,
    chunks,
    content_length,
    content_range,
    not_the_file,
    shown,
)
from data.download.resume import CHUNK, Part
from data.download.watch import Patience


class Job:
    """The transfer of one file: its part, and the connection that it uses."""

    def __init__(self, source: Source, part: Part, progress: Progress, patience: Patience) -> None:
        self.source, self.part, self.progress, self.patience = source, part, progress, patience
        self.line = Line(patience, self.say)
        self.transferred = self.furthest = 0

    def fetch(self, addresses: list[str], failures: list[str]) -> str:
        """Try each address in turn; returns the one that gave the right file."""
        self.check_room(self.source.bytes)
        with self.line:
            for url in addresses:
                try:
                    self.verified(url)
                    return url
                except Refused as error:
                    failures.append(f"{shown(url)}: {error}")
                    self.say(failures[-1])
        kept = (
            f"{self.part.size:,} bytes that arrived are kept and continued next time. "
            if self.part.size
            else ""
        )
        raise DataError(
            f"{self.source.name}: {self.source.file} could not be fetched:",
            *(f"  {failure}" for failure in failures),
            f"{kept}If you have the file, say so in luigi.cfg: [sources] mirror = file:///its/folder",
        )

    def verified(self, url: str) -> None:
        """Transfer and check; a wrong file that came in several pieces gets one chance from zero."""
        for chance in (1, 2):
            self.transfer(url)
            why = mismatch(self.source, self.part.sha256, self.part.size)
            if not why:
                return
            whole = not self.part.mixed
            self.part.restart()
            if whole or chance == 2:
                raise Refused(why)

    def transfer(self, url: str) -> None:
        """One address, until every byte is here. Patience is renewed by bytes beyond all earlier ones: it ends."""
        self.furthest = self.part.size
        attempts = Attempts(self.patience, lambda why: self.say(f"{shown(url)}: {why}"))

        def attempt() -> None:
            try:
                self.attempt(url)
            finally:
                if self.part.size >= self.furthest + FRUITFUL:
                    attempts.fruitless, self.furthest = 0, self.part.size

        attempts.until_done(attempt)

    def say(self, note: str) -> None:
        self.progress(self.part.size, self.source.bytes or 0, note)

    def attempt(self, url: str) -> None:
        """One request, or one look at a folder."""
        if not self.complete(url):
            path = file_path(url)
            self.copy(url, path) if path is not None else self.receive(url)

    def complete(self, url: str) -> bool:
        """Is every byte here already? Where no hash will tell, bytes of another address are dropped."""
        pinned = self.source.sha256 or self.source.sha256_prefix
        total = self.source.bytes or self.part.origin.get("total")
        if self.part.size and not pinned and not self.part.validator(shown(url)):
            self.part.restart()
        if isinstance(total, int) and self.part.size > total:
            self.part.restart()
        return bool(self.part.size) and self.part.size == total

    def copy(self, url: str, path: Path) -> None:
        """From a folder of your own (file://), from where the last copy ended."""
        try:
            check_plain(path, FILE_BYTES)
        except DataError as error:
            raise Refused(str(error)) from error
        with open_plain(path, FILE_BYTES) as file:
            size = os.fstat(file.fileno()).st_size
            self.check_length(size)
            if self.part.size > size:
                self.part.restart()
            self.check_room(size)
            self.part.note(shown(url), "", "", size)
            file.seek(self.part.size)
            self.store(iter(lambda: file.read(CHUNK), b""), size, size, f"from {path.parent}")

    def receive(self, url: str) -> None:
        """One HTTP request, from where the part ends."""
        headers = {}
        if self.part.size:
            headers["Range"] = f"bytes={self.part.size}-"
            if validator := self.part.validator(shown(url)):
                headers["If-Range"] = validator
        with self.line.get(url, headers) as response:
            self.answer(url, response)

    def answer(self, url: str, response: requests.Response) -> None:
        """Judge the headers before a byte of the part is touched, then read."""
        status, headers = response.status_code, response.headers
        check_busy(response, self.patience)
        if status == 416 and self.part.size:
            return self.nothing_left(headers.get("Content-Range", ""))
        check_served(response)
        body: Iterator[bytes] = chunks(response.raw, CHUNK)
        end: int | None
        if status == 206:
            end, total = self.continued(url, headers)
        else:
            head = self.first(headers, body)
            end = total = content_length(headers)
            self.check_room(total)
            self.part.restart()  # the server ignores Range, or the file has changed: from zero
            body = itertools.chain([head], body)
        self.check_room(total)
        self.part.note(shown(url), headers.get("ETag", ""), headers.get("Last-Modified", ""), total)
        self.store(body, end, self.source.bytes or total, f"from {shown(response.url)}")

    def nothing_left(self, content_range: str) -> None:
        """416: the part is the whole file already, or it is of another file."""
        if content_range.lower() == f"bytes */{self.part.size}":
            return
        self.part.restart()
        raise Hitch(f"no bytes after those that arrived ({content_range or 'no length given'}): from zero")

    def continued(self, url: str, headers: Mapping[str, str]) -> tuple[int, int | None]:
        """206: (where this answer ends, length of the file); from zero if it is not the same file's."""
        span, start = content_range(headers), self.part.size
        if not span or span[0] != start or not start:
            self.part.restart()
            sent = headers.get("Content-Range", "no Content-Range")
            raise Hitch(f"asked for the bytes from {start:,}, was sent {sent}: from zero")
        _, end, total = span
        if total is not None:
            self.check_length(total)
        if self.part.changed(shown(url), headers.get("ETag", ""), total):
            self.part.restart()
            raise Hitch("the file has changed there: from zero")
        return end, total

    def first(self, headers: Mapping[str, str], body: Iterator[bytes]) -> bytes:
        """200: the first bytes. Refuses a web page and a wrong length while the part is untouched."""
        head = next(body, b"")
        self.line.check_time()
        if why := not_the_file(self.source.file, headers, head):
            raise Refused(why)
        if (length := content_length(headers)) is not None:
            self.check_length(length)
        return head

    def check_length(self, length: int) -> None:
        if self.source.bytes not in (None, length):
            raise Refused(f"found {length:,} bytes, expected {self.source.bytes:,}")

    def check_room(self, total: int | None) -> None:
        """DataError where too little is free; Refused where the length is this server's word: another may differ."""
        needed = (self.source.bytes or total or 0) - self.part.size
        if why := no_room(self.part.path.parent, needed):
            raise DataError(f"{self.source.file}: {why}") if self.source.bytes else Refused(why)

    def store(self, body: Iterator[bytes], end: int | None, total: int | None, note: str) -> None:
        """Write what comes, up to byte `end`. A Hitch where it comes too slowly or ends before `total`."""
        pace = Pace(self.patience, self.part.size)
        self.progress(self.part.size, total or 0, note)  # so much came before
        for chunk in body:
            self.line.watch.renew()
            self.part.write(chunk)
            self.transferred += len(chunk)
            self.progress(self.part.size, total or 0, note)
            if total is not None and self.part.size > total:
                received = self.part.size
                self.part.restart()
                raise Refused(f"found {received:,} bytes or more, expected {total:,}")
            pace.check(self.part.size)
        self.line.check_time()
        if self.part.size < max(end or 0, total or 0):
            raise Hitch(f"the connection ended at byte {self.part.size:,} of {total or end:,}")


def no_room(folder: Path, needed: int) -> str:
    """Why so many bytes do not fit; "" where they do."""
    free = shutil.disk_usage(folder).free
    return f"{needed:,} bytes to come, but {folder} has only {free:,} free" if needed > free else ""
