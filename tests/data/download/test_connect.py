"""Hosts that can't be reached: no such name, no way, packets that are lost, a resolver that never answers."""

from __future__ import annotations

import contextlib
import hashlib
import socket
import subprocess
import time

import pytest
from bad_server import BadServer
from commands import Shell
from network import LOST, network

from data.base.errors import DataError
from data.catalog.entries import Source
from data.download import attempts, connect, watch
from data.download.connect import FIRST, OFFLINE, Hosts, no_way
from data.download.fetch import download
from data.download.watch import Patience


@pytest.fixture(autouse=True)
def hosts(monkeypatch):
    """None is known yet."""
    known = Hosts()
    for module in (connect, attempts, watch):
        monkeypatch.setattr(module, "HOSTS", known)
    return known


@contextlib.contextmanager
def silent_port():
    """One whose queue is full, so that whoever knocks gets no answer: as with packets that are lost."""
    with contextlib.ExitStack() as stack:
        listening = stack.enter_context(socket.socket())
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        for _ in range(3):
            knocking = stack.enter_context(socket.socket())
            knocking.setblocking(False)
            knocking.connect_ex(listening.getsockname())
        time.sleep(0.1)
        yield listening.getsockname()[1]


def addresses(*ports: int):
    return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", port)) for port in ports]


def test_an_address_that_swallows_packets_holds_up_no_other():
    with silent_port() as silent, socket.create_server(("127.0.0.1", 0)) as good:
        port = good.getsockname()[1]
        with connect.connect(addresses(silent, 1, silent, port), 5) as line:
            assert line.getpeername()[1] == port


def test_the_reason_is_told():
    with silent_port() as silent, pytest.raises(TimeoutError, match=r"no connection within 0\.3 s"):
        connect.connect(addresses(silent, 1), 0.3)
    with pytest.raises(ConnectionRefusedError):
        connect.connect(addresses(1, 1), 5)
    assert not no_way(ConnectionRefusedError(111, "refused"))


def test_without_a_network_no_host_is_asked_twice(hosts, monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(connect.time, "monotonic", lambda: clock[0])
    hosts.recall("a:80")
    assert hosts.patience("a:80", 15) == FIRST and not hosts.offline()
    hosts.note_unreached("a:80", clock[0], OSError("lost"))
    hosts.recall("a:80")  # a moment ago another host may have been reached
    clock[0] += OFFLINE
    assert hosts.patience("b:80", 15) < FIRST
    with pytest.raises(OSError, match="lost"):
        hosts.recall("a:80")
    hosts.note_reached("b:80")
    hosts.recall("a:80")
    assert hosts.patience("b:80", 15) == 15 and hosts.patience("a:80", 15) == FIRST
    hosts.note_unreached("a:80", clock[0], OSError("lost"))
    clock[0] += connect.MEMORY
    hosts.recall("a:80")
    assert hosts.patience("a:80", 15) == FIRST


def fetched(tmp_path, *urls, patience=None):
    content = b"PK\3\4 a zip"
    source = Source("f", "file.zip", urls, sha256=hashlib.sha256(content).hexdigest())
    return download(source, tmp_path / "f", part_dir=tmp_path / "p", patience=patience)


def test_a_host_that_was_never_reached_is_soon_given_up(tmp_path):
    """With the patience that users have: it was half a minute for each address of a name that there is not."""
    began = time.monotonic()
    with silent_port() as silent, pytest.raises(DataError) as caught:
        lost = f"http://127.0.0.1:{silent}/file.zip"
        fetched(tmp_path, "http://no-such-name.invalid/file.zip", lost, "https://nor-this.invalid/file.zip")
    assert time.monotonic() - began < 20
    said = str(caught.value)
    assert said.count("can't be reached: gaierror") == 2
    assert f"{lost}: can't be reached: TimeoutError: no connection within {FIRST:g} s" in said


def test_the_next_address_may_be_reached(tmp_path):
    with BadServer(file_zip=b"PK\3\4 a zip") as server:
        result = fetched(tmp_path, "http://no-such-name.invalid/file.zip", server.url + "file.zip")
    assert result.url == server.url + "file.zip" and "can't be reached" in result.failures[0]


def test_a_host_that_was_reached_before_is_given_all_patience(tmp_path, hosts):
    """Names that can't be looked up for a while must not end a download of hours."""
    hosts.note_reached("no-such-name.invalid:80")
    quick = Patience(attempts=4, first_wait=0.01)
    with pytest.raises(DataError, match="gave up after 4 fruitless attempts: gaierror"):
        fetched(tmp_path, "http://no-such-name.invalid/file.zip", patience=quick)


def run_in(words, shell, url):
    catalog = shell.folder / "catalog.toml"
    file = f'urls = ["{url}"]\nfile = "far.zip"\nsha256 = "{"0" * 64}"\nmembers = {{ "far.txt" = 3 }}\n'
    catalog.write_text(f"[glove.far]\n{file}")
    command = [*words, *shell.command("luigi", "DownloadGlove", "--glove", "far")]
    environment = shell.environment(VQA_CATALOG=str(catalog))
    done = subprocess.run(command, cwd=shell.folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 30, done.stderr
    return done.stderr


def test_a_run_says_that_packets_have_no_way(tmp_path):
    words = network(tmp_path, "ip route add unreachable default")
    assert "can't be reached: OSError: [Errno 113] No route" in run_in(
        words, Shell(tmp_path), "http://203.0.113.1/far.zip"
    )


def test_a_run_says_what_it_waits_for_where_names_are_not_answered(tmp_path):
    resolver = "nameserver 203.0.113.53\noptions timeout:7 attempts:1\n"
    words = network(tmp_path, LOST, resolv_conf=resolver)
    said = run_in(words, Shell(tmp_path), "http://far.example/far.zip")
    assert "waiting for the address of far.example (DNS)" in said
    assert said.index("waiting for") < said.index("can't be reached: gaierror")
