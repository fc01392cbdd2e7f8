"""One file's way here: attempts, patience, ranges, and servers that lie."""

from __future__ import annotations

import http.client
import itertools
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from random import uniform

import requests
import tenacity
import urllib3

from data.base.errors import DataError
from data.base.files import FILE_BYTES, check_plain, open_plain
from data.base.progress import Progress
from data.catalog.entries import Source
from data.download.local_copies import file_path, mismatch
from data.download.responses import (
    TEMPORARY,
    Hitch,
    Refused,
    chunks,
    content_length,
    content_range,
    not_the_file,
    reason,
    retry_after,
    shown,
)
from data.download.resume import CHUNK, Part

FRUITFUL = 1 << 16  # an attempt that brings this many bytes more gives its address fresh patience


@dataclass(frozen=True)
class Patience:
    """How long one address is given. Seconds; `attempts` counts those in a row that brought nothing."""

    attempts: int = 7
    connect: float = 15.0
    silence: float = 60.0  # without a byte, and the window over which `slowest` is averaged
    slowest: float = 1024.0  # bytes a second: below it, a new connection is tried
    first_wait: float = 1.0
    longest_wait: float = 120.0


class Job:
    """One file's way here: the part, and how many fruitless attempts there were in a row."""

    def __init__(self, source: Source, part: Part, progress: Progress, patience: Patience) -> None:
        self.source, self.part, self.progress, self.patience = source, part, progress, patience
        self.session = requests.Session()
        self.transferred = self.fruitless = 0
        self.furthest = 0

    def fetch(self, addresses: list[str], failures: list[str]) -> str:
        """Try each address in turn; returns the one that gave the right file."""
        self.check_room(self.source.bytes)
        with self.session:
            for url in addresses:
                try:
                    self.verified(url)
                    return url
                except Refused as error:
                    failures.append(f"{shown(url)}: {error}")
                    self.progress(self.part.size, self.source.bytes or 0, failures[-1])
        kept = (
            f"{self.part.size:,} bytes that arrived are kept and continued next time. "
            if self.part.size
            else ""
        )
        raise DataError(
            f"{self.source.name}: {self.source.file} could not be fetched:\n  "
            + "\n  ".join(failures)
            + f"\n{kept}If you have the file, say so in luigi.cfg: [sources] mirror = file:///its/folder"
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
        self.fruitless, self.furthest = 0, self.part.size
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(Hitch),
            stop=lambda _: self.fruitless >= self.patience.attempts,
            wait=self.wait,
            before_sleep=lambda state: self.tell(url, state),
            reraise=True,
        )
        try:
            retrying(self.attempt, url)
        except Hitch as error:
            raise Refused(f"gave up after {self.fruitless} fruitless attempts: {error}") from error

    def wait(self, state: tenacity.RetryCallState) -> float:
        asked = getattr(state.outcome and state.outcome.exception(), "wait", None)
        if asked is not None:
            return float(asked)
        doubled = self.patience.first_wait * 2 ** max(0, self.fruitless - 1)
        return uniform(0.5, 1.0) * min(doubled, self.patience.longest_wait)

    def tell(self, url: str, state: tenacity.RetryCallState) -> None:
        why = state.outcome.exception() if state.outcome else ""
        wait = state.next_action.sleep if state.next_action else 0
        note = f"{shown(url)}: {why}; again in {wait:.0f} s"
        self.progress(self.part.size, self.source.bytes or 0, note)

    def attempt(self, url: str) -> None:
        """One request. Patience is renewed by bytes beyond all earlier ones, so that it ends in any case."""
        self.fruitless += 1
        try:
            if self.complete(url):
                return
            path = file_path(url)
            self.copy(url, path) if path is not None else self.receive(url)
        finally:
            if self.part.size >= self.furthest + FRUITFUL:
                self.fruitless, self.furthest = 0, self.part.size

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
        """From a folder of one's own (file://), from where the last copy ended."""
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
        headers = {"Accept-Encoding": "identity", "User-Agent": "vqa-pipeline"}
        if self.part.size:
            headers["Range"] = f"bytes={self.part.size}-"
            if validator := self.part.validator(shown(url)):
                headers["If-Range"] = validator
        timeout = (self.patience.connect, self.patience.silence)
        try:
            with self.session.get(url, headers=headers, stream=True, timeout=timeout) as response:
                self.answer(url, response)
        except (requests.exceptions.SSLError, requests.TooManyRedirects, ValueError) as error:
            raise Refused(reason(error)) from error
        except (requests.RequestException, urllib3.exceptions.HTTPError, http.client.HTTPException) as error:
            raise Hitch(reason(error)) from error
        except (ConnectionError, TimeoutError) as error:
            raise Hitch(reason(error)) from error

    def answer(self, url: str, response: requests.Response) -> None:
        """Judge the headers before a byte of the part is touched, then read."""
        status, headers = response.status_code, response.headers
        if status in TEMPORARY:
            wait = retry_after(headers, self.patience.longest_wait)
            raise Hitch(f"HTTP {status} {response.reason}", wait)
        if status == 416 and self.part.size:
            return self.nothing_left(headers.get("Content-Range", ""))
        if status not in (200, 206):
            raise Refused(f"HTTP {status} {response.reason}")
        if headers.get("Content-Encoding", "identity") != "identity":
            raise Refused(f"sends the file in another encoding: {headers['Content-Encoding']}")
        body: Iterator[bytes] = chunks(response.raw, CHUNK)
        end: int | None
        if status == 206:
            end, total = self.continued(url, headers)
        else:
            head = self.first(headers, body)
            end = total = content_length(headers)
            self.part.restart()  # the server ignores Range, or the file has changed: from zero
            body = itertools.chain([head], body)
        self.check_room(total)
        self.part.note(shown(url), headers.get("ETag", ""), headers.get("Last-Modified", ""), total)
        self.store(body, end, self.source.bytes or total, f"from {shown(response.url)}")

    def nothing_left(self, content_range: str) -> None:
        """416: the part is the whole file already, or it is of another file."""
        if content_range == f"bytes */{self.part.size}":
            return
        self.part.restart()
        raise Hitch(f"no bytes after those that arrived ({content_range or 'no length given'}): from zero")

    def continued(self, url: str, headers: Mapping[str, str]) -> tuple[int, int | None]:
        """206: (where this answer ends, length of the file); from zero if it is not the same file's."""
        found, asked = content_range(headers), self.part.size
        if not found or found[0] != asked or not asked:
            self.part.restart()
            sent = headers.get("Content-Range", "no Content-Range")
            raise Hitch(f"asked for the bytes from {asked:,}, was sent {sent}: from zero")
        _, end, total = found
        if total is not None:
            self.check_length(total)
        if self.part.changed(shown(url), headers.get("ETag", ""), total):
            self.part.restart()
            raise Hitch("the file has changed there: from zero")
        return end, total

    def first(self, headers: Mapping[str, str], body: Iterator[bytes]) -> bytes:
        """200: the first bytes. Refuses a web page and a wrong length while the part is untouched."""
        head = next(body, b"")
        if why := not_the_file(self.source.file, headers, head):
            raise Refused(why)
        if (length := content_length(headers)) is not None:
            self.check_length(length)
        return head

    def check_length(self, found: int) -> None:
        if self.source.bytes not in (None, found):
            raise Refused(f"found {found:,} bytes, expected {self.source.bytes:,}")

    def check_room(self, total: int | None) -> None:
        needed = (self.source.bytes or total or 0) - self.part.size
        folder = self.part.path.parent
        free = shutil.disk_usage(folder).free
        if needed > free:
            raise DataError(
                f"{self.source.file}: {needed:,} bytes to come, but {folder} has only {free:,} free"
            )

    def store(self, body: Iterator[bytes], end: int | None, total: int | None, note: str) -> None:
        """Write what comes, up to byte `end`. A Hitch where it comes too slowly or ends before `total`."""
        mark, since = time.monotonic(), self.part.size
        self.progress(self.part.size, total or 0, note)  # so much came before
        for chunk in body:
            self.part.write(chunk)
            self.transferred += len(chunk)
            self.progress(self.part.size, total or 0, note)
            if total is not None and self.part.size > total:
                found = self.part.size
                self.part.restart()
                raise Refused(f"found {found:,} bytes or more, expected {total:,}")
            if (elapsed := time.monotonic() - mark) > self.patience.silence:
                if self.part.size - since < self.patience.slowest * elapsed:
                    raise Hitch(f"slower than {self.patience.slowest:,.0f} bytes a second")
                mark, since = time.monotonic(), self.part.size
        if self.part.size < max(end or 0, total or 0):
            raise Hitch(f"the connection ended at byte {self.part.size:,} of {total or end:,}")
