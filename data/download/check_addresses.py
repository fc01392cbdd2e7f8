"""Do the addresses of the catalog still have its files? Asked for their head and for one byte, all at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from queue import Empty, SimpleQueue
from typing import Any

import requests

from data.base.errors import DataError
from data.base.files import FILE_BYTES, check_plain
from data.catalog.entries import Source
from data.download.line import UNANSWERED
from data.download.local_copies import file_path
from data.download.responses import (
    TEMPORARY,
    content_length,
    content_range,
    not_the_file,
    reason,
    shown,
    unencoded,
)
from data.download.watch import Watch

AT_ONCE = 8
ATTEMPTS = 2
CONNECT, SILENCE = 10.0, 10.0  # seconds
HEADERS = {"Accept-Encoding": "identity", "User-Agent": "vqa-pipeline"}


@dataclass(frozen=True)
class Answer:
    """What an address says of a file. `wrong`: why it does not serve, "" where it does; `again`: it may do so soon.

    `length` in bytes and `ranges` (does it serve a part of the file?) are None where it does not say. `by` is the
    address that answered in the end.
    """

    source: Source
    url: str
    status: str = "no answer"
    length: int | None = None
    ranges: bool | None = None
    by: str = ""
    wrong: str = ""
    again: bool = False


def check_addresses(queries: Sequence[tuple[Source, str]], seconds: float) -> list[Answer]:
    """The answer of each address, in their order. An address without an answer after so many seconds is late."""
    left: SimpleQueue[int] = SimpleQueue()
    for number in range(len(queries)):
        left.put(number)
    late = f"no answer within {seconds:g} s"
    answers = [Answer(source, url, wrong=late) for source, url in queries]
    workers = [
        threading.Thread(
            target=_work, args=(left, answers), daemon=True
        )  # a resolver may block one for minutes
        for _ in range(AT_ONCE)
    ]
    end = time.monotonic() + seconds
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(max(0.0, end - time.monotonic()))
    return list(answers)


def _work(left: SimpleQueue[int], answers: list[Answer]) -> None:
    while True:
        try:
            number = left.get_nowait()
        except Empty:
            return
        answers[number] = _ask(answers[number].source, answers[number].url)


def _ask(source: Source, url: str) -> Answer:
    for _ in range(ATTEMPTS):
        answer = _ask_once(source, url)
        if not answer.again:
            break
        time.sleep(1)
    return answer


def _ask_once(source: Source, url: str) -> Answer:
    answer = Answer(source, url)
    try:
        if (path := file_path(url)) is not None:
            check_plain(path, FILE_BYTES)
            return _judged(replace(answer, status="a file", ranges=True), path.stat().st_size)
        return _ask_server(answer)
    except UNANSWERED as error:
        return replace(answer, wrong=reason(error), again=True)
    except (DataError, OSError) as error:
        return replace(answer, wrong=str(error))


def _ask_server(answer: Answer) -> Answer:
    with requests.Session() as session, Watch(SILENCE) as watch:
        session.hooks["response"].append(_leave_redirects_unread)
        for scheme in ("http://", "https://"):
            session.mount(scheme, watch)
        head = _head(session, watch, answer.url)
        with _request(session, watch, "GET", answer.url, Range="bytes=0-0") as part:
            first = part.raw.read(1)
    status = f"HEAD {head.status_code if head is not None else 'unanswered'}, GET {part.status_code}"
    answer = replace(answer, status=status, by=shown(part.url))
    if part.status_code not in (200, 206):
        why = f"HTTP {part.status_code} {part.reason}"
        return replace(answer, wrong=why, again=part.status_code in TEMPORARY)
    if why := not_the_file(answer.source.file, part.headers, first):
        return replace(answer, wrong=why)
    if not unencoded(part.headers):
        return replace(answer, wrong=f"sends another encoding: {part.headers['Content-Encoding']}")
    return _with_range(answer, part, content_length(head.headers) if head else None)


def _head(session: requests.Session, watch: Watch, url: str) -> requests.Response | None:
    """None where the server does not answer HEAD: GET decides."""
    try:
        with _request(session, watch, "HEAD", url) as head:
            return head
    except UNANSWERED:
        if watch.unreached:
            raise
        return None


def _request(
    session: requests.Session, watch: Watch, method: str, url: str, **more: str
) -> requests.Response:
    how: dict[str, Any] = {"stream": True, "timeout": (CONNECT, SILENCE), "allow_redirects": True}
    watch.begin()
    response = session.request(method, url, headers=HEADERS | more, **how)
    if watch.too_late:
        raise TimeoutError(f"no whole answer came within {SILENCE:g} s")
    return response


def _with_range(answer: Answer, part: requests.Response, told: int | None) -> Answer:
    """The answer with its length: what a part says of the whole, else what GET or HEAD (`told`) says."""
    if part.status_code == 200:
        length = content_length(part.headers)
        return _judged(replace(answer, ranges=False), told if length is None else length)
    span = content_range(part.headers)
    if not span or span[:2] != (0, 1):
        sent = part.headers.get("Content-Range", "no Content-Range")
        return replace(answer, ranges=False, wrong=f"asked for the first byte, was sent {sent}")
    return _judged(replace(answer, ranges=True), told if span[2] is None else span[2])


def _judged(answer: Answer, length: int | None) -> Answer:
    pinned = answer.source.bytes
    wrong = (
        f"found {length:,} bytes, expected {pinned:,}"
        if length is not None and pinned not in (None, length)
        else ""
    )
    return replace(answer, length=length, wrong=wrong)


def _leave_redirects_unread(response: requests.Response, **_: Any) -> None:
    if response.is_redirect:
        response.close()
