"""A connection to a server, kept alive, whose every failure is a Hitch or a refusal."""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import requests
import urllib3

from data.download.responses import TEMPORARY, Busy, Hitch, Refused, Unreached, reason, retry_after, unencoded
from data.download.watch import Patience, Watch

HOPELESS = (requests.exceptions.SSLError, requests.TooManyRedirects, ValueError)
UNANSWERED = (
    *HOPELESS,
    *(requests.RequestException, urllib3.exceptions.HTTPError, http.client.HTTPException),
    *(ConnectionError, TimeoutError),
)


class Line:
    """Sends requests one after the other. `with`: watched, so that waiting comes to an end; `say` is told of waits."""

    def __init__(self, patience: Patience, say: Callable[[str], None]) -> None:
        self.patience = patience
        self.session, self.watch = requests.Session(), Watch(patience.silence, say)
        self.session.hooks["response"].append(self._judge_headers)
        for scheme in ("http://", "https://"):
            self.session.mount(scheme, self.watch)

    def __enter__(self) -> Line:
        self.watch.__enter__()
        return self

    def __exit__(self, *failure: object) -> None:
        self.watch.__exit__()
        self.session.close()

    @contextmanager
    def get(self, url: str, headers: dict[str, str]) -> Iterator[requests.Response]:
        """One request, its body still to be read. Hitch or Refused where it fails, until the block ends."""
        headers = {"Accept-Encoding": "identity", "User-Agent": "vqa-pipeline"} | headers
        timeout = (self.patience.connect, self.patience.silence)
        self.watch.begin()
        began = time.monotonic()
        kind: type[Hitch] = Busy
        try:
            with self.session.get(url, headers=headers, stream=True, timeout=timeout) as response:
                kind = Hitch
                yield response
        except UNANSWERED as error:
            self.check_time(kind)
            if self.watch.unreached:
                raise Unreached(reason(error), at_once=time.monotonic() - began < 1) from error
            raise (Refused if isinstance(error, HOPELESS) else kind)(reason(error)) from error

    def check_time(self, kind: type[Hitch] = Hitch) -> None:
        """A Hitch if the watch cut the connection: what came before then looks complete."""
        if self.watch.too_late:
            raise kind(f"no whole answer came within {self.patience.silence:.0f} s")

    def _judge_headers(self, response: requests.Response, **_: Any) -> None:
        """requests' hook. It would read what a redirect sends beside its address, however much, into memory."""
        self.check_time()
        self.watch.wait_for("")
        if response.is_redirect:
            response.close()


def check_busy(response: requests.Response, patience: Patience) -> None:
    """Busy where the server asks to come again, Refused where only after too long."""
    if response.status_code in TEMPORARY:
        wait = retry_after(response.headers, patience.longest_wait)
        raise Busy(f"HTTP {response.status_code} {response.reason}", wait)


def check_served(response: requests.Response) -> None:
    """Refused for an answer without the file, or with it in another encoding."""
    if response.status_code not in (200, 206):
        raise Refused(f"HTTP {response.status_code} {response.reason}")
    if not unencoded(response.headers):
        raise Refused(f"sends the file in another encoding: {response.headers['Content-Encoding']}")
