"""What an HTTP answer says about a file: read strictly, so that no byte of another file is ever kept."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

TEMPORARY = (408, 425, 429, 500, 502, 503, 504)
_HTML = re.compile(rb"\s*<(!doctype html|html|head|\?xml)", re.IGNORECASE)
_TITLE = re.compile(rb"<title[^>]*>\s*(.{1,80}?)\s*</title>", re.IGNORECASE | re.DOTALL)
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)", re.IGNORECASE)
_FIRST_BYTES = {".zip": b"PK\3\4"}


class Hitch(Exception):
    """Worth another attempt at the same address, after `wait` seconds if the server said so."""

    def __init__(self, why: str, wait: float | None = None) -> None:
        super().__init__(why)
        self.wait = wait

    def given_up(self, attempts: int) -> str:
        """The message after so many attempts in a row that brought nothing."""
        return f"gave up after {attempts} fruitless attempts: {self}"


class Busy(Hitch):
    """The server answers no request, or asks to come again: it may allow fewer connections."""


class Unreached(Hitch):
    """No way to the host, which this process has never reached. `at_once`: the system said so without a wait."""

    def __init__(self, why: str, at_once: bool) -> None:
        super().__init__(why)
        self.at_once = at_once

    def given_up(self, attempts: int) -> str:
        return f"can't be reached: {self}"


class Refused(Exception):
    """This address does not have the file; the next one may."""


def shown(url: str) -> str:
    """An address as it may be printed and stored: without user name and password."""
    try:
        parts = urlsplit(url)
    except ValueError:  # not an address, such as http://[::1
        scheme, _, rest = url.partition("://")
        return f"{scheme}://{rest.rsplit('@', 1)[-1]}"
    return parts._replace(netloc=parts.netloc.rsplit("@", 1)[-1]).geturl()


def content_range(headers: Mapping[str, str]) -> tuple[int, int, int | None] | None:
    """A 206's (first byte, byte after the last, length of the file if told); None if it is malformed."""
    match = _RANGE.fullmatch(headers.get("Content-Range", "").strip())
    if not match:
        return None
    start, end = int(match[1]), int(match[2]) + 1
    total = None if match[3] == "*" else int(match[3])
    return (start, end, total) if start < end and (total is None or end <= total) else None


def unencoded(headers: Mapping[str, str]) -> bool:
    """Are the bytes those of the file itself? `identity`, in any case and however often, is not an encoding."""
    stated = headers.get("Content-Encoding", "").lower().split(",")
    return all(name.strip() in ("", "identity") for name in stated)


def content_length(headers: Mapping[str, str]) -> int | None:
    """The length that a 200 announces, None if it announces none."""
    text = headers.get("Content-Length", "").strip()
    return int(text) if text.isdecimal() else None


def retry_after(headers: Mapping[str, str], longest: float) -> float | None:
    """Seconds that the server asks to wait (a number or a date). Refused if that is more than `longest`."""
    text = headers.get("Retry-After", "").strip()
    try:
        seconds = float(text) if text.isdecimal() else _seconds_until(text)
    except (ValueError, TypeError):
        return None
    if seconds > longest:
        raise Refused(f"asks to wait {seconds:,.0f} s, more than {longest:,.0f}")
    return max(0.0, seconds)


def _seconds_until(date: str) -> float:
    return (parsedate_to_datetime(date) - datetime.now(UTC)).total_seconds()


def not_the_file(file: str, headers: Mapping[str, str], head: bytes) -> str:
    """What was found instead of `file` (a portal's web page) by the first bytes; "" = nothing is wrong."""
    if _HTML.match(head) or headers.get("Content-Type", "").lower().startswith("text/html"):
        title = _TITLE.search(head)
        named = f" titled {title[1].decode(errors='replace')!r}" if title else ""
        return f"found a web page{named}, expected {file}"
    for extension, first in _FIRST_BYTES.items():
        if file.endswith(extension) and head[: len(first)] != first[: len(head)]:
            return f"found something that begins with {head[:16]!r}, expected {file}"
    return ""


def chunks(raw: Any, size: int) -> Iterator[bytes]:
    """Bytes as they come, not gathered up to `size`: what came before a drop is kept (urllib3 ≥ 2.2)."""
    while chunk := raw.read1(size):
        yield chunk


def reason(error: Exception) -> str:
    """The innermost reason: the libraries wrap it in layers of object names."""
    inner: Any = error
    while isinstance(
        deeper := getattr(inner, "reason", None) or inner.__cause__ or inner.__context__, Exception
    ):
        inner = deeper
    return f"{type(inner).__name__}: {inner}"
