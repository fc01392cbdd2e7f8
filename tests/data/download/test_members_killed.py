"""Pictures out of a zip64 of 80,000 members, and of smaller ones: killed, and fetched by two runs at once."""

from __future__ import annotations

import contextlib
import io
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest
from bad_server import Answer, BadServer
from commands import ROOT

from data.catalog.entries import ImageSet, Source
from data.download.members import fetch_members

STEP = 40  # of so many pictures one is wanted


def name_of(image_id: int) -> str:
    return f"train2014/COCO_train2014_{image_id:012}.jpg"


def content_of(image_id: int) -> bytes:
    """Those that are wanted have 10,000 bytes."""
    return image_id.to_bytes(4, "little") * (1 if image_id % STEP else 2500)


def a_zip(count: int) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for place in range(count):
            number = place * 7919 % count
            archive.writestr(zipfile.ZipInfo(name_of(number)), content_of(number))
    return buffer.getvalue()


def directory_bytes(count: int) -> int:
    return count * (46 + len(name_of(0)))


@pytest.fixture
def server():
    with BadServer(train2014_zip=a_zip(4000)) as serving:
        yield serving


def right(to: Path, ids: range) -> None:
    with zipfile.ZipFile(to) as small:
        assert small.namelist() == [name_of(number) for number in ids]
        assert all(small.read(name_of(number)) == content_of(number) for number in ids)


def test_pictures_of_a_zip64(server, tmp_path):
    content = server.files["train2014.zip"] = a_zip(80_000)
    assert b"PK\6\6" in content[-4096:]
    source = Source("s", "train2014.zip", (server.url + "train2014.zip",), bytes=len(content))
    ids = range(0, 80_000, 400)
    fetched = fetch_members(
        ImageSet("train2014", source, 80_000, "COCO_train2014_"),
        ids,
        tmp_path / "small.zip",
        parts=tmp_path / "p",
    )
    right(tmp_path / "small.zip", ids)
    assert fetched.transferred == server.sent <= directory_bytes(80_000) + 200 * 10_600 + 4096 + 98


PROGRAM = """
import sys
{before}
from pathlib import Path
from data.catalog.entries import ImageSet, Source
from data.download.watch import Patience
from data.download.members import fetch_members
url, size, to, parts, count, step = sys.argv[1:]
source = Source("train2014", "train2014.zip", (url + "train2014.zip",), sha256="0" * 64, bytes=int(size))
pictures = ImageSet("train2014", source, int(count), "COCO_train2014_")
ids = range(0, int(count), int(step))
patience = Patience(silence=5, first_wait=0.05)
fetched = fetch_members(pictures, ids, Path(to), parts=Path(parts), patience=patience)
print(fetched.transferred)
"""


NO_LOCKS = """
import errno, fcntl
def flock(*_):
    raise OSError(errno.ENOLCK, "No locks available")
fcntl.flock = flock
"""


def start(server: BadServer, to: Path, parts: Path, ids: range, before: str = "") -> subprocess.Popen:
    words = [server.url, len(server.files["train2014.zip"]), to, parts, ids.stop, ids.step]
    program = [sys.executable, "-c", PROGRAM.format(before=before), *map(str, words)]
    return subprocess.Popen(program, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def arrived(parts: Path) -> int:
    sizes = [0]
    for path in parts.glob("*"):
        with contextlib.suppress(FileNotFoundError):
            sizes.append(0 if ".json" in path.name else path.stat().st_size)
    return sum(sizes)


@pytest.mark.parametrize(
    "count, step, kills, before",
    [
        (4000, 40, 3, ""),
        pytest.param(4000, 40, 3, NO_LOCKS, marks=pytest.mark.slow),
        pytest.param(80_000, 200, 20, "", marks=pytest.mark.slow),
    ],
    ids=["locks", "no-locks", "20-of-80000"],
)
def test_killed_at_many_moments_it_transfers_at_most_a_fifth_more(
    server, tmp_path, count, step, kills, before
):
    """While the directory comes, too. A connection's buffers hold more than is lost with the process."""
    server.files["train2014.zip"] = a_zip(count)
    to, parts, ids = tmp_path / "small.zip", tmp_path / "parts", range(0, count, step)
    server.usual = Answer(pace=0.005)
    needed = directory_bytes(count) + len(ids) * 10_071
    for moment in range(1, kills + 1):
        running = start(server, to, parts, ids, before)
        deadline = time.monotonic() + 60
        while arrived(parts) < moment * needed // (kills + 1) and time.monotonic() < deadline:
            time.sleep(0.002)
        running.send_signal(signal.SIGKILL)
        running.communicate()
        assert not to.exists()
    last = start(server, to, parts, ids, before)
    output, _ = last.communicate(timeout=60)
    assert last.returncode == 0 and int(output) < needed / 2
    right(to, ids)
    assert server.sent <= 1.2 * needed
    assert list(parts.iterdir()) == []


TORN = """
import os, pathlib, signal
notes, write = [], pathlib.Path.write_text
def torn(path, text, **more):
    if ".directory.json" in path.name:
        notes.append(path)
        if len(notes) == 2:
            write(path, text[:20], **more)
            os.kill(os.getpid(), signal.SIGKILL)
    return write(path, text, **more)
pathlib.Path.write_text = torn
"""


def test_killed_while_it_notes_that_the_directory_is_whole_it_keeps_it(server, tmp_path):
    server.files["train2014.zip"] = a_zip(4000)
    to, parts, ids = tmp_path / "small.zip", tmp_path / "parts", range(0, 4000, 1000)
    killed = start(server, to, parts, ids, TORN)
    assert killed.wait(60) == -signal.SIGKILL and arrived(parts) >= directory_bytes(4000)
    server.sent = 0
    assert start(server, to, parts, ids).wait(60) == 0
    right(to, ids)
    assert server.sent < directory_bytes(4000) / 2
    assert list(parts.iterdir()) == []


def test_two_runs_at_once_fetch_them_once(server, tmp_path):
    server.usual, ids = Answer(pace=0.01), range(0, 4000, 40)
    runs = [start(server, tmp_path / f"{number}.zip", tmp_path / "parts", ids) for number in range(2)]
    outputs = [int(run.communicate(timeout=60)[0]) for run in runs]
    for number in range(2):
        right(tmp_path / f"{number}.zip", ids)
    if 0 in outputs:  # else the second began after the first had ended
        assert server.sent == sum(outputs)
    assert list((tmp_path / "parts").iterdir()) == []
