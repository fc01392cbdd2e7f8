"""Downloads against a server that misbehaves in every way seen in the field: right file, or a plain error."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from bad_server import Answer, Babbler, BadServer
from commands import ROOT

from data.base.errors import DataError
from data.catalog.entries import Source
from data.containers.archives import Archive
from data.download.fetch import download
from data.download.resume import Part, part_path
from data.download.watch import Patience

QUICK = Patience(attempts=4, connect=5, silence=0.5, first_wait=0.01, longest_wait=0.2)
MB = 1 << 20


def a_zip(seed: int = 0, size: int = 3 * MB) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("noise.bin", np.random.default_rng(seed).bytes(size))
    return buffer.getvalue()


FILE, OTHER = a_zip(), a_zip(1)
HASH = hashlib.sha256(FILE).hexdigest()
PAGE = b"<!DOCTYPE html><html><head><title> Sign in to  the network </title></head></html>"


@pytest.fixture
def server():
    with BadServer(file_zip=FILE) as serving:
        yield serving


@pytest.fixture
def fetch(server, tmp_path):
    """Download file.zip from the server; returns the result once the destination is found to be right."""

    def run(*more_urls: str, mirror: str | None = None, **fields):
        urls = (server.url + "file.zip", *more_urls)
        fields = {"sha256": HASH, "bytes": len(FILE)} | fields
        source = Source("the file", "file.zip", urls, **fields)
        to = tmp_path / "out" / "file.zip"
        fetched = download(source, to, part_dir=tmp_path / "parts", mirror=mirror, patience=QUICK)
        assert to.read_bytes() == FILE
        assert list((tmp_path / "parts").iterdir()) == []
        return fetched

    return run


def part_of(tmp_path: Path) -> Path:
    (part,) = (tmp_path / "parts").glob("*.part")
    return part


def test_a_good_server(fetch, server):
    fetched = fetch()
    assert (fetched.sha256, fetched.bytes, fetched.transferred) == (HASH, len(FILE), len(FILE))
    assert fetched.url == server.url + "file.zip" and fetched.failures == ()
    assert len(server.requests) == 1


def test_progress_is_in_bytes_and_reaches_the_end(server, tmp_path):
    seen = []
    source = Source("the file", "file.zip", (server.url + "file.zip",), sha256=HASH)
    download(source, tmp_path / "f", part_dir=tmp_path / "p", progress=lambda *now: seen.append(now))
    assert seen[-1][:2] == (len(FILE), len(FILE))
    assert [now[0] for now in seen] == sorted(now[0] for now in seen)


def test_progress_after_a_resume_begins_with_what_has_arrived(server, tmp_path):
    """First what has arrived is hashed, in a count of its own; then the transfer goes on from there."""
    seen, source = [], Source("the file", "file.zip", (server.url + "file.zip",), sha256=HASH)
    part = part_path(tmp_path / "p", source)
    part.parent.mkdir()
    part.write_bytes(FILE[: 2 * MB])
    download(source, tmp_path / "f", part_dir=tmp_path / "p", progress=lambda *now: seen.append(now[:2]))
    hashed = [now for now in seen if now[1] == 2 * MB]
    fetched = [now[0] for now in seen if now[1] == len(FILE)]
    assert hashed[-1] == (2 * MB, 2 * MB) and seen[: len(hashed)] == hashed
    assert fetched[0] == 2 * MB and fetched[-1] == len(FILE) and fetched[1] > 2 * MB


@pytest.mark.parametrize("pinned_length", [True, False])
def test_drops_are_resumed_where_they_happened(fetch, server, pinned_length):
    server.script = [Answer(drop_after=n) for n in (MB, 700_000, 0, 100_000)]
    fetch(bytes=len(FILE) if pinned_length else None)
    ranges = [request.get("range") for request in server.requests]
    assert ranges == [
        None,
        f"bytes={MB}-",
        f"bytes={MB + 700_000}-",
        f"bytes={MB + 700_000}-",
        f"bytes={MB + 800_000}-",
    ]
    assert all(request["if-range"] == '"one"' for request in server.requests[1:])
    assert server.sent == len(FILE)


def test_a_flaky_line_gets_patience_as_long_as_bytes_come(fetch, server):
    server.usual = Answer(drop_after=200_000)
    fetch()
    assert len(server.requests) > 3 * QUICK.attempts


def test_a_drop_in_a_chunked_answer(fetch, server):
    server.script = [Answer(chunked=True, drop_after=MB)]
    fetch(bytes=None)
    assert server.requests[1]["range"] == f"bytes={MB}-"


def test_stalls_are_cut_and_resumed(fetch, server):
    server.script = [Answer(stall_after=MB), Answer(stall_after=0)]
    fetch()
    assert server.sent == len(FILE)


def test_a_trickle_counts_as_a_stall(server, tmp_path):
    server.usual = Answer(pace=0.3, ignore_range=True)  # 64 KiB every 0.3 s: never silent
    patience = Patience(attempts=2, silence=0.5, slowest=1e9, first_wait=0.01)
    source = Source("the file", "file.zip", (server.url + "file.zip",), sha256=HASH)
    with pytest.raises(DataError, match="slower than"):
        download(source, tmp_path / "f", part_dir=tmp_path / "p", patience=patience)


OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "scheme, begin, piece, pace",
    [
        ("http", b"", b"H", 0.1),  # a status line that trickles
        ("http", OK + b"X-Name: ", b"x", 0.1),
        ("http", OK, b"X-Name: x\r\n", 0.1),
        ("http", b"", b"HTTP/1.1 100 Continue\r\n\r\n", 0.1),
        ("http", b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100, 0.0),
        ("http", CHUNKED + b"4;", b"x", 0.1),  # a chunk's length
        ("http", CHUNKED + b"4\r\nPK\3\4\r\n0\r\n", b"X-Name: x\r\n", 0.1),  # what follows the last chunk
        ("https", b"\x16\x03\x03\x40\x00", b"\x02", 0.1),  # a TLS handshake
        ("http", b"HTTP/1.1 302 Found\r\nLocation: /there\r\n", b"X-Name: x\r\n", 0.1),
    ],
)
def test_a_server_that_never_comes_to_the_point_is_cut(server, tmp_path, scheme, begin, piece, pace):
    with Babbler(begin, piece, pace) as babbler:
        urls = (f"{scheme}://127.0.0.1:{babbler.port}/file.zip", server.url + "file.zip")
        source = Source("the file", "file.zip", urls, sha256=HASH)
        patience = Patience(attempts=2, connect=5, silence=0.5, first_wait=0.01)
        fetched = download(source, tmp_path / "f", part_dir=tmp_path / "p", patience=patience)
    assert fetched.url == urls[1] and (tmp_path / "f").read_bytes() == FILE
    assert "gave up after 2 fruitless attempts: no whole answer came within" in fetched.failures[0]


def test_what_a_redirect_sends_beside_its_address_is_not_read(fetch, server):
    page = b"x" * MB
    to = f"Location: {server.url}file.zip\r\n".encode()
    with Babbler(b"HTTP/1.1 302 Found\r\n" + to + b"\r\n", page, 0.0) as babbler:
        source_url = f"http://127.0.0.1:{babbler.port}/file.zip"
        server.script = [Answer(404)]
        assert fetch(source_url).url == source_url
        assert babbler.sent <= 16 * MB  # what the system's buffers take


@pytest.mark.parametrize("length", [10**30, 2**63, 10**15])
@pytest.mark.parametrize("status", [200, 206])
def test_a_length_that_only_the_server_claims_moves_on(tmp_path, server, status, length):
    """What has arrived is kept for the next address."""
    part = part_path(tmp_path / "p", source := Source("f", "file.zip", (server.url, ""), sha256=HASH))
    part.parent.mkdir()
    part.write_bytes(FILE[:MB])
    headers = f"HTTP/1.1 {status} OK\r\nContent-Length: {length}\r\n"
    headers += f"Content-Range: bytes {MB}-{length - 1}/{length}\r\n\r\n" if status == 206 else "\r\n"
    with Babbler(headers.encode(), b"PK\3\4", 0.0) as liar:
        urls = (f"http://127.0.0.1:{liar.port}/file.zip", server.url + "file.zip")
        fetched = download(
            replace(source, urls=urls), tmp_path / "f", part_dir=tmp_path / "p", patience=QUICK
        )
    assert fetched.url == urls[1] and fetched.transferred == len(FILE) - MB
    assert "bytes to come, but" in fetched.failures[0]


@pytest.mark.parametrize("name", ["Identity", "IDENTITY", " identity , identity", ""])
def test_no_encoding_by_any_name(fetch, server, name):
    server.usual = Answer(headers={"Content-Encoding": name})
    fetch()


def test_a_server_that_ignores_range_is_taken_from_zero(fetch, server):
    server.script = [Answer(drop_after=MB), Answer(ignore_range=True)]
    fetch()
    assert server.sent == MB + len(FILE)


def test_a_server_that_ignores_range_and_always_drops_is_given_up(fetch, server):
    server.usual = Answer(ignore_range=True, drop_after=2 * MB)
    with pytest.raises(DataError, match="gave up after 4 fruitless attempts"):
        fetch()


@pytest.mark.parametrize("bad", [Answer(shift=-10), Answer(shift=10)])
def test_a_wrong_content_range_is_not_believed(fetch, server, bad):
    server.script = [Answer(drop_after=MB), bad]
    fetch()


def test_a_server_that_caps_each_range(fetch, server):
    server.script = [Answer(drop_after=MB)] + [Answer(most=300_000)] * 3
    fetch()
    assert server.sent == len(FILE)


@pytest.mark.parametrize("honest", [True, False])
def test_a_file_swapped_midway_is_refused_and_the_right_one_found(fetch, server, honest):
    """An honest server shows it by its ETag; another mixes two files, which only the hash shows."""
    first = Answer(body=OTHER, drop_after=MB, etag='"other"' if honest else None)
    server.script = [first, Answer(etag='"one"' if honest else None)]
    fetch()
    assert server.sent <= 3 * len(FILE)


def test_an_etag_that_changed_under_a_206(fetch, server):
    server.script = [Answer(body=OTHER, drop_after=MB, etag='"other"'), Answer(ignore_if_range=True)]
    fetch()


def test_a_file_that_keeps_changing_comes_to_an_end(fetch, server):
    server.usual = Answer(drop_after=MB, ignore_if_range=True)
    server.script = [Answer(drop_after=MB, etag=f'"{n}"', ignore_if_range=True) for n in range(30)]
    with pytest.raises(DataError, match="gave up after 4"):
        fetch()


@pytest.mark.parametrize("etag", [None, 'W/"weak"'])
def test_without_a_strong_etag_the_date_or_the_hash_decides(fetch, server, etag):
    date = "Wed, 21 Oct 2015 07:28:00 GMT"
    server.script = [Answer(etag=etag, drop_after=MB, headers={"Last-Modified": date})]
    server.usual = Answer(etag=etag, headers={"Last-Modified": date}, ignore_if_range=True)
    fetch()
    assert server.requests[1]["if-range"] == date
    assert server.sent == len(FILE)


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_busy_servers_are_asked_again(fetch, server, status):
    server.script = [
        Answer(status),
        Answer(status, headers={"Retry-After": "0"}),
        Answer(drop_after=MB),
        Answer(status),
    ]
    fetch()
    assert server.sent == len(FILE)


def test_retry_after_is_honoured_up_to_a_limit(fetch, server):
    server.script = [Answer(429, headers={"Retry-After": "3600"})]
    with BadServer(file_zip=FILE) as second:
        fetched = fetch(second.url + "file.zip")
    assert "asks to wait 3,600 s" in fetched.failures[0]
    assert len(server.requests) == 1


def test_retry_after_as_a_date():
    from data.download.responses import retry_after

    assert retry_after({"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, 10) == 0
    assert retry_after({"Retry-After": "soon"}, 10) is None
    assert retry_after({}, 10) is None


def test_a_dead_server_is_given_up_and_named(fetch, server):
    server.usual = Answer(503)
    with pytest.raises(DataError, match="gave up after 4 fruitless attempts: HTTP 503") as caught:
        fetch("http://127.0.0.1:1/file.zip")
    assert "http://127.0.0.1:1/file.zip: gave up" in str(caught.value)
    assert "ConnectionRefusedError" in str(caught.value)
    assert "[sources] mirror = file:///" in str(caught.value)
    assert len(server.requests) == QUICK.attempts


@pytest.mark.parametrize(
    "bad, why",
    [
        (Answer(404), "HTTP 404"),
        (Answer(body=PAGE), "found a web page titled 'Sign in to  the network', expected file.zip"),
        (Answer(body=FILE, headers={"Content-Type": "text/html"}), "found a web page, expected file.zip"),
        (Answer(body=b"oops, no zip"), "found something that begins with b'oops, no zip', expected file.zip"),
        (Answer(body=FILE[:-1]), f"found {len(FILE) - 1:,} bytes, expected {len(FILE):,}"),
        (Answer(body=FILE + b"x"), f"found {len(FILE) + 1:,} bytes, expected {len(FILE):,}"),
        (Answer(body=FILE + b"x" * MB, chunked=True), f"bytes or more, expected {len(FILE):,}"),
        (Answer(length=len(FILE) // 2), f"found {len(FILE) // 2:,} bytes, expected {len(FILE):,}"),
        (Answer(body=OTHER), f"found sha256 {hashlib.sha256(OTHER).hexdigest()}, expected {HASH}"),
        (Answer(headers={"Content-Encoding": "gzip"}), "another encoding: gzip"),
    ],
)
def test_a_wrong_answer_is_refused_with_found_and_expected(fetch, server, bad, why):
    server.usual = bad
    with pytest.raises(DataError) as caught:
        fetch()
    assert why in str(caught.value)
    with BadServer(file_zip=FILE) as second:  # and with a second address it doesn't matter
        fetched = fetch(second.url + "file.zip")
    assert fetched.url == second.url + "file.zip" and why in fetched.failures[0]


def test_nothing_wrong_is_ever_saved_and_the_wrong_part_is_gone(fetch, server, tmp_path):
    server.usual = Answer(body=OTHER)
    with pytest.raises(DataError):
        fetch()
    assert not (tmp_path / "out").exists()
    assert list((tmp_path / "parts").iterdir()) == []


def test_a_web_page_does_not_cost_what_has_arrived(fetch, server, tmp_path):
    server.script = [Answer(drop_after=2 * MB), Answer(body=PAGE, ignore_range=True)]
    with pytest.raises(DataError, match=f"{2 * MB:,} bytes that arrived are kept"):
        fetch()
    assert part_of(tmp_path).stat().st_size == 2 * MB
    assert fetch().transferred == len(FILE) - 2 * MB


def test_a_lie_about_the_length_where_only_the_hash_is_known(fetch, server):
    """Too long: the 'missing' end is asked for, and there is none. Too short: the hash is wrong."""
    server.script = [Answer(length=len(FILE) + 1000)]
    fetch(bytes=None)
    server.usual = Answer(length=len(FILE) // 2)
    with pytest.raises(DataError, match="found sha256"):
        fetch(bytes=None)


def test_weights_are_checked_by_their_hash_prefix(fetch, server):
    fetch(sha256=None, bytes=None, sha256_prefix=HASH[:8])
    with pytest.raises(DataError, match="expected one that starts with 00000000"):
        fetch(sha256=None, bytes=None, sha256_prefix="00000000")


def test_an_unpinned_file_is_resumed_only_from_its_own_address(fetch, server):
    server.script = [Answer(drop_after=MB), Answer(404)]
    with BadServer(file_zip=FILE) as second:
        fetched = fetch(second.url + "file.zip", sha256=None, bytes=None)
    assert "range" not in second.requests[0]
    assert fetched.sha256 == HASH


def test_a_second_address_goes_on_where_the_first_broke_off(fetch, server):
    server.script = [Answer(drop_after=2 * MB), Answer(404)]
    with BadServer(file_zip=FILE) as second:
        fetched = fetch(second.url + "file.zip")
    assert second.requests[0]["range"] == f"bytes={2 * MB}-"
    assert fetched.transferred == len(FILE)


def test_a_bad_first_half_from_one_address_is_not_blamed_on_the_other(fetch, server):
    server.script = [Answer(body=OTHER, drop_after=2 * MB), Answer(404)]
    with BadServer(file_zip=FILE) as second:
        fetched = fetch(second.url + "file.zip")
    assert fetched.url.startswith(second.url)


def test_the_disk_is_checked_before_the_first_byte(fetch, server, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(0, 0, len(FILE) - 1))
    with pytest.raises(DataError, match=f"{len(FILE):,} bytes to come, but .* only {len(FILE) - 1:,} free"):
        fetch()
    assert server.requests == []
    with pytest.raises(DataError, match="free"):
        fetch(bytes=None)  # the server tells the length
    assert server.sent <= 10 * MB
    server.script = [Answer(drop_after=MB), Answer(404)]
    monkeypatch.undo()
    with pytest.raises(DataError):
        fetch()
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(0, 0, len(FILE) - MB))
    fetch()  # what has arrived need not fit again


def test_a_full_disk_is_an_error_in_words(fetch, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Part, "write", full)
    with pytest.raises(DataError, match="No space left on device; make room"):
        fetch()


def test_a_folder_that_cannot_be_written_to(server, tmp_path):
    (tmp_path / "file").write_text("in the way")
    source = Source("the file", "file.zip", (server.url + "file.zip",), sha256=HASH)
    with pytest.raises(DataError, match="can't be written to"):
        download(source, tmp_path / "out", part_dir=tmp_path / "file" / "parts")


def test_a_mirror_comes_first_and_may_lack_the_file(fetch, server, tmp_path):
    with BadServer(file_zip=FILE) as mirror:
        assert fetch(mirror=mirror.url).url == mirror.url + "file.zip"
        mirror.files.clear()
        fetched = fetch(mirror=mirror.url.rstrip("/"))
    assert fetched.url == server.url + "file.zip"
    assert "HTTP 404" in fetched.failures[0]


def test_a_file_mirror(fetch, server, tmp_path):
    folder = tmp_path / "my files"
    folder.mkdir()
    mirror = folder.as_uri()
    assert "No such file" in fetch(mirror=mirror).failures[0]
    (folder / "file.zip").write_bytes(OTHER)
    assert "found sha256" in fetch(mirror=mirror).failures[0]
    (folder / "file.zip").write_bytes(FILE)
    server.requests.clear()
    assert fetch(mirror=mirror).url == f"{mirror}/file.zip"
    assert server.requests == []


def test_passwords_in_addresses_are_neither_printed_nor_stored(fetch, server, tmp_path):
    server.script = [Answer(drop_after=MB), Answer(404), Answer(404)]
    secret = server.url.replace("http://", "http://me:s3cret@")
    with pytest.raises(DataError) as caught:
        fetch(mirror=secret)
    assert "s3cret" not in str(caught.value)
    assert all("s3cret" not in file.read_text() for file in (tmp_path / "parts").glob("*.json"))
    assert "s3cret" not in fetch(mirror=secret).url
    assert server.requests[0]["authorization"].startswith("Basic ")


def test_an_address_of_an_unknown_kind_is_refused(fetch):
    with pytest.raises(DataError, match="begins with https://"):
        fetch("ftp://127.0.0.1/file.zip")


def test_a_proxy_of_the_environment_is_used(server, tmp_path, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, server.url)
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "")
    source = Source("the file", "file.zip", ("http://not.a.real.host.invalid/zips/file.zip",), sha256=HASH)
    download(source, tmp_path / "f", part_dir=tmp_path / "p", patience=QUICK)
    assert server.requests[0]["path"] == "http://not.a.real.host.invalid/zips/file.zip"


def test_a_damaged_sidecar_costs_nothing(fetch, server, tmp_path):
    server.script = [Answer(drop_after=MB), Answer(404)]
    with pytest.raises(DataError):
        fetch()
    side = part_of(tmp_path).with_name(part_of(tmp_path).name + ".json")
    side.write_text("{broken")
    assert fetch().transferred == len(FILE) - MB


def test_a_damaged_part_is_found_by_the_hash_and_fetched_anew(fetch, server, tmp_path):
    server.script = [Answer(drop_after=MB), Answer(404)]
    with pytest.raises(DataError):
        fetch()
    with part_of(tmp_path).open("r+b") as part:
        part.seek(1000)
        part.write(b"flipped")
    assert fetch().transferred == 2 * len(FILE) - MB


def test_a_destination_on_another_file_system(fetch, monkeypatch):
    real = Path.replace

    def replace(old, new):
        if old.suffix == ".part":
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        return real(old, new)

    monkeypatch.setattr(Path, "replace", replace)
    fetch()


# ------------------------------------------------------------------------------------------- other processes

PROGRAM = """
import sys
from pathlib import Path
{before}
from data.download.fetch import download
from data.download.watch import Patience
from data.catalog.entries import Source
url, sha256, size, to, parts = sys.argv[1:]
source = Source("the file", "file.zip", (url,), sha256=sha256, bytes=int(size))
fetched = download(source, Path(to), part_dir=Path(parts), patience=Patience(silence=5, first_wait=0.05))
print(fetched.transferred)
"""
NO_LOCKS = """
import errno, fcntl
def flock(*_):
    raise OSError(errno.ENOLCK, "No locks available")
fcntl.flock = flock
"""


def start(server, to: Path, parts: Path, before: str = "") -> subprocess.Popen:
    words = [server.url + "file.zip", hashlib.sha256(server.files["file.zip"]).hexdigest()]
    words += [str(len(server.files["file.zip"])), str(to), str(parts)]
    program = [sys.executable, "-c", PROGRAM.format(before=before), *words]
    return subprocess.Popen(program, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def arrived(parts: Path) -> int:
    """Bytes of the largest part so far."""
    sizes = [0]
    for part in parts.glob("*.part*"):
        with contextlib.suppress(FileNotFoundError):  # renamed or finished while we look
            sizes.append(part.stat().st_size if part.suffix not in (".json", ".tmp") else 0)
    return max(sizes)


@pytest.mark.parametrize("before", ["", NO_LOCKS], ids=["locks", "no-locks"])
def test_killed_at_many_moments_it_transfers_at_most_a_fifth_more(server, tmp_path, before):
    big = server.files["file.zip"] = a_zip(2, 8 * MB)
    to, parts = tmp_path / "file.zip", tmp_path / "parts"
    server.usual = Answer(pace=0.01)
    for moment in range(1, 8):
        running = start(server, to, parts, before)
        deadline = time.monotonic() + 20
        while arrived(parts) < moment * len(big) // 9 and time.monotonic() < deadline:
            time.sleep(0.002)
        running.send_signal(signal.SIGKILL)
        running.communicate()
        assert not to.exists()
    last = start(server, to, parts, before)
    output, _ = last.communicate(timeout=30)
    assert last.returncode == 0 and int(output) < len(big) // 2
    assert to.read_bytes() == big
    assert server.sent <= 1.2 * len(big)
    assert list(parts.iterdir()) == []


def test_two_runs_at_once_fetch_the_file_once(server, tmp_path):
    server.usual = Answer(pace=0.02)
    runs = [start(server, tmp_path / f"run{n}" / "file.zip", tmp_path / "parts") for n in range(2)]
    outputs = [int(run.communicate(timeout=30)[0]) for run in runs]
    assert [run.returncode for run in runs] == [0, 0]
    assert all((tmp_path / f"run{n}" / "file.zip").read_bytes() == FILE for n in range(2))
    if 0 in outputs:  # else the second began after the first had ended: a machine that slow proves nothing
        assert server.sent == len(FILE)
        first, second = (tmp_path / f"run{n}" / "file.zip" for n in range(2))
        assert first.samefile(second) or sys.platform != "linux"
    assert list((tmp_path / "parts").iterdir()) == []


def test_the_second_run_takes_over_when_the_first_is_killed(server, tmp_path):
    server.usual = Answer(pace=0.05)
    first = start(server, tmp_path / "one" / "file.zip", tmp_path / "parts")
    while arrived(tmp_path / "parts") < MB:
        time.sleep(0.002)
    second = start(server, tmp_path / "two" / "file.zip", tmp_path / "parts")
    first.kill()
    first.communicate()
    assert int(second.communicate(timeout=30)[0]) <= len(FILE) - MB
    assert (tmp_path / "two" / "file.zip").read_bytes() == FILE


def test_two_runs_without_locks_are_both_right(server, tmp_path):
    server.usual = Answer(pace=0.01)
    runs = [start(server, tmp_path / f"run{n}" / "file.zip", tmp_path / "parts", NO_LOCKS) for n in range(2)]
    assert [run.wait(timeout=30) for run in runs] == [0, 0]
    assert all((tmp_path / f"run{n}" / "file.zip").read_bytes() == FILE for n in range(2))


def test_what_was_downloaded_opens(fetch, tmp_path):
    fetch()
    assert Archive(tmp_path / "out" / "file.zip").names == ["noise.bin"]
