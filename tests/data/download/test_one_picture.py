"""A picture from an address: bounded in bytes and time, and nowhere but over http and https."""

from __future__ import annotations

import time

import pytest
from bad_server import Answer, BadServer

from data.base.errors import DataError
from data.download.one_picture import MOST, fetch_picture
from data.download.watch import Patience

SHORT = Patience(connect=2.0, silence=1.0)
CONTENT = bytes(range(256)) * 20


def fetch(url: str) -> bytes:
    return fetch_picture(url, lambda text: None, SHORT)


@pytest.fixture
def server():
    with BadServer(a_jpg=CONTENT) as server:
        yield server


def test_it_comes_whole(server):
    assert fetch(f"{server.url}a.jpg") == CONTENT
    server.script = [Answer(chunked=True)]
    assert fetch(f"{server.url}a.jpg") == CONTENT


def test_a_redirect_leads_to_http_alone(server):
    server.script = [Answer(status=302, headers={"Location": f"{server.url}a.jpg"})]
    assert fetch(f"{server.url}b.jpg") == CONTENT
    for place in ("file:///etc/passwd", "ftp://127.0.0.1/a.jpg", "gopher://127.0.0.1/"):
        server.script = [Answer(status=302, headers={"Location": place})]
        with pytest.raises(DataError) as caught:
            fetch(f"{server.url}b.jpg")
        assert "\n" not in str(caught.value) and str(caught.value).startswith(f"{server.url}b.jpg: ")


def test_redirects_end(server):
    server.usual = Answer(status=302, headers={"Location": f"{server.url}a.jpg"})
    with pytest.raises(DataError, match="redirects"):
        fetch(f"{server.url}a.jpg")
    assert len(server.requests) <= 6


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (Answer(status=404), "HTTP 404"),
        (Answer(status=503), "HTTP 503"),
        (Answer(length=MOST + 1), "has 20,000,001 bytes; at most 20,000,000"),
        (Answer(body=bytes(MOST + 1), chunked=True), "sends more than 20,000,000 bytes"),
        (Answer(headers={"Content-Encoding": "gzip"}), "another encoding: gzip"),
        (Answer(drop_after=1000), "sent 1,000 of the 5,120 bytes"),
        (Answer(stall_after=1000), ""),
        (Answer(body=bytes(5 << 20), pace=0.2), "no whole answer came within 1 s"),
    ],
    ids=["404", "503", "large", "endless", "packed", "dropped", "stalled", "slow"],
)
def test_what_is_refused_is_one_line_in_bounded_time(server, answer, message):
    server.usual = answer
    began = time.monotonic()
    with pytest.raises(DataError) as caught:
        fetch(f"{server.url}a.jpg")
    assert message in str(caught.value) and "\n" not in str(caught.value)
    assert time.monotonic() - began < 10 and server.sent <= MOST + (2 << 20)


@pytest.mark.parametrize(
    "url",
    ["ftp://x/a.jpg", "file:///etc/passwd", "http://", "http://[::1", "http://127.0.0.1:1/a", "https://\0/"],
)
def test_what_is_no_address_is_one_line(url):
    with pytest.raises(DataError) as caught:
        fetch(url)
    assert "\n" not in str(caught.value)


def test_a_password_is_not_repeated(server):
    server.usual = Answer(status=404)
    with pytest.raises(DataError) as caught:
        fetch(server.url.replace("://", "://me:secret@") + "a.jpg")
    assert "secret" not in str(caught.value)
