"""`python -m pipeline sources`: a row an address, exit code 1 where a file has no address that serves it."""

from __future__ import annotations

import contextlib
import threading
import time
from http.server import BaseHTTPRequestHandler

import pytest
from bad_server import Answer, Babbler, BadServer
from commands import Shell
from quiet_server import QuietServer

from data.catalog.entries import Source
from data.download import check_addresses
from data.download.check_addresses import check_addresses as check

FILE = b"PK\3\4" + bytes(996)


@pytest.fixture
def server():
    with BadServer(file_zip=FILE) as serving:
        yield serving


def asked(url: str, **fields):
    """What one address answers for file.zip of 1000 bytes."""
    source = Source("f", "file.zip", (url,), sha256="0" * 64, **({"bytes": 1000} | fields))
    return check([(source, url)], 20)[0]


def test_a_good_server(server):
    found = asked(server.url + "file.zip")
    assert (found.wrong, found.length, found.ranges) == ("", 1000, True)
    assert found.status == "HEAD 200, GET 206" and server.sent == 1


@pytest.mark.parametrize(
    "usual, wrong, ranges",
    [
        (Answer(ignore_range=True), "", False),
        (Answer(404), "HTTP 404", None),
        (Answer(503), "HTTP 503", None),
        (Answer(shift=1), "begins with b'K'", None),
        (Answer(shift=5), "begins with b'\\x00'", None),
        (Answer(ignore_range=True, body=b"<html>sign in</html>"), "begins with b'<'", None),
        (Answer(headers={"Content-Type": "text/html"}), "found a web page", None),
        (Answer(body=b"PK\3\4"), "found 4 bytes, expected 1,000", True),
        (Answer(headers={"Content-Encoding": "gzip"}), "another encoding: gzip", None),
    ],
)
def test_what_a_server_does(server, usual, wrong, ranges):
    server.usual = usual
    found = asked(server.url + "file.zip")
    assert wrong in found.wrong and bool(found.wrong) == bool(wrong)
    assert found.ranges == ranges


def test_a_busy_server_is_asked_once_more(server):
    server.script = [Answer(), Answer(503)]  # HEAD, GET
    assert asked(server.url + "file.zip").wrong == ""


def test_nothing_is_pinned_nothing_is_compared(server):
    found = asked(server.url + "file.zip", bytes=None)
    assert (found.wrong, found.length) == ("", 1000)


@contextlib.contextmanager
def handled(head, get):
    """The address of a server with functions of a request handler for its two kinds of request."""
    kind = type(
        "Handler", (BaseHTTPRequestHandler,), {"do_HEAD": head, "do_GET": get, "log_message": lambda *_: None}
    )
    http = QuietServer(("127.0.0.1", 0), kind)
    threading.Thread(target=http.serve_forever, args=(0.05,), daemon=True).start()
    yield f"http://127.0.0.1:{http.server_address[1]}/file.zip"
    http.shutdown()
    http.server_close()


def sends_on(to):
    def answer(handler):
        handler.send_response(302)
        handler.send_header("Location", to)
        handler.end_headers()

    return answer


def test_where_it_was_sent_on_to(server):
    on = sends_on(server.url + "file.zip")
    with handled(on, on) as url:
        found = asked(url)
    assert found.wrong == "" and found.by == server.url + "file.zip"


def test_a_server_that_says_nothing_to_head(server):
    with handled(lambda handler: None, sends_on(server.url + "file.zip")) as url:
        found = asked(url)
    assert found.wrong == "" and found.status == "HEAD unanswered, GET 206"


def test_a_server_that_never_comes_to_the_point(monkeypatch):
    monkeypatch.setattr(check_addresses, "SILENCE", 0.3)
    with Babbler(b"", b"HTTP/1.1 100 Continue\r\n\r\n", 0.1) as babbler:
        found = asked(f"http://127.0.0.1:{babbler.port}/file.zip")
    assert found.status == "no answer" and found.wrong


def test_it_ends_in_time_whatever_the_servers_do(server):
    source = Source("f", "file.zip", (), sha256="0" * 64)
    server.usual = Answer(stall_after=0)
    began = time.monotonic()
    found = check([(source, f"{server.url}{number}/file.zip") for number in range(50)], 1.0)
    assert time.monotonic() - began < 8
    assert {answer.wrong for answer in found} == {"no answer within 1 s"}


def a_catalog(folder, *files):
    tables = (
        f'[weights.w{number}]\nfile = "{name}"\nsha256 = "{number:064}"\nbytes = 1000\nurls = {list(urls)}\n'
        for number, (name, *urls) in enumerate(files)
    )
    path = folder / "catalog.toml"
    path.write_text("".join(tables))
    return str(path)


def test_the_command_prints_a_table_and_tells_which_files_have_no_address(server, tmp_path):
    shell, good = Shell(tmp_path), server.url + "file.zip"
    lives = ("file.zip", "http://127.0.0.1:1/file.zip", good)
    output = shell("pipeline", "sources", "--check", VQA_CATALOG=a_catalog(tmp_path, lives))
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in output.splitlines() if "|" in line]
    assert lines[0] == ["file", "address", "status", "length", "Range", "serves"]
    assert lines[2][:3] == ["file.zip", "http://127.0.0.1:1/file.zip", "no answer"]
    assert lines[3] == ["file.zip", good, "HEAD 200, GET 206", "1,000 (as pinned)", "yes", "yes"]
    assert output.endswith("every file has an address that serves it (1 of 2 addresses do)\n")

    dead = ("gone.zip", server.url + "gone.zip")
    output = shell("pipeline", "sources", "--check", code=1, VQA_CATALOG=a_catalog(tmp_path, lives, dead))
    assert output.endswith("no address serves gone.zip (1 of 3 addresses do)\n")


def test_without_check_nothing_is_asked(server, tmp_path):
    catalog = a_catalog(tmp_path, ("file.zip", server.url + "file.zip"))
    output = Shell(tmp_path)("pipeline", "sources", VQA_CATALOG=catalog)
    assert f"| file.zip | 1,000 | {'0' * 16}... | {server.url}file.zip |" in output and not server.requests


def test_a_mirror_is_asked_too(server, tmp_path):
    shell = Shell(tmp_path)
    (tmp_path / "file.zip").write_bytes(FILE)
    shell.configure(f"[sources]\nmirror = file://{tmp_path}\n")
    catalog = a_catalog(tmp_path, ("file.zip", server.url + "not-there.zip"))
    output = shell("pipeline", "sources", "--check", VQA_CATALOG=catalog)
    assert f"| file://{tmp_path}/file.zip" in output and "HTTP 404" in output
