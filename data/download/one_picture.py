"""One picture from an address that a user types: in bounded time and bytes, and over http and https alone."""

from __future__ import annotations

from collections.abc import Callable

import requests

from data.base.errors import DataError
from data.download.line import Line, check_served
from data.download.responses import Hitch, Refused, content_length, shown
from data.download.watch import Patience

MOST = 20_000_000  # bytes
REDIRECTS = 5
PATIENCE = Patience(connect=10.0, silence=30.0)
"""`silence`: as nothing renews it, the seconds for all of a picture from one server."""


def fetch_picture(url: str, say: Callable[[str], None], patience: Patience = PATIENCE) -> bytes:
    """The bytes at an address of http or https; redirects lead only there. `say` is told what is waited for.

    DataError, which names the address without its password, where it can't be had, is too large or too slow.
    """
    if url.partition("://")[0].lower() not in ("http", "https"):
        raise DataError(f"{shown(url)}: expected an address that begins with https:// or http://, or a path")
    try:
        with Line(patience, say) as line:
            line.session.max_redirects = REDIRECTS
            with line.get(url, {}) as response:
                check_served(response)
                content = _read(response)
                line.check_time()
                _check_whole(response, len(content))
    except (Hitch, Refused) as error:
        raise DataError(f"{shown(url)}: {error}") from error
    return content


def _read(response: requests.Response) -> bytes:
    announced = content_length(response.headers)
    if announced is not None and announced > MOST:
        raise Refused(f"has {announced:,} bytes; at most {MOST:,} are fetched")
    content: bytes = response.raw.read(MOST + 1)
    if len(content) > MOST:
        raise Refused(f"sends more than {MOST:,} bytes; no more are fetched")
    return content


def _check_whole(response: requests.Response, size: int) -> None:
    announced = content_length(response.headers)
    if announced is not None and size != announced:
        raise Hitch(f"sent {size:,} of the {announced:,} bytes that it announced; ask again")
