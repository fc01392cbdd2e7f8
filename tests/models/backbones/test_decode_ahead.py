"""Decoding processes, as a GPU has them, in a /dev/shm of docker's size and less: none may leave the parent waiting."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux has /dev/shm")
ROOT = Path(__file__).parents[3]
SHARED = Path("/dev/shm")

# Runs in a mount namespace of its own. `cheap` is a network of no weight; 224 x 224 pixels make a real batch.
SCRIPT = """
import contextlib, os, sys, threading, time
from dataclasses import replace
sys.path.insert(0, {here!r})
from test_extraction import Reader, cheap
from data.base.errors import ModelError
from models.backbones.decode_ahead import Decoder, Processes
from models.backbones.extraction import extract_groups
from models.backbones.frames import Frame

def fill():
    disk = os.statvfs("/dev/shm")
    with open("/dev/shm/ballast", "ab") as file:
        if free := disk.f_bavail * disk.f_frsize:
            os.posix_fallocate(file.fileno(), file.tell(), free)

def keep_full():
    while True:
        with contextlib.suppress(OSError):  # a batch took it before
            fill()
        time.sleep(0.001)

if __name__ == "__main__":
    batch, when = int(sys.argv[1]), int(sys.argv[2])
    groups = [range(4 + batch * number, 4 + batch * (number + 1)) for number in range(8)]
    done = 0
    try:
        if when == 0:
            fill()
        decode = Processes(Decoder(Reader(), Frame(224), batch), workers=2)
        for rows in extract_groups(replace(cheap(), frame=Frame(224)), decode, groups):
            assert not rows.bad and rows.features.any(axis=1).all() and len(rows.features) == batch
            done += 1
            if done == when:
                threading.Thread(target=keep_full, daemon=True).start()
    except ModelError as error:
        print(error)
    print(done, "batches")
"""


def decode(tmp_path: Path, size: str, batch: int, when: int = -1, **environment: str) -> list[str]:
    """How eight batches of two decoding processes end, in `size` of /dev/shm of which another file takes all that is
    free after `when` batches (never: -1): the lines of the standard output, then those of the error output."""
    script = tmp_path / "decode.py"
    script.write_text(SCRIPT.format(here=str(Path(__file__).parent)))
    mount = f'mount -t tmpfs -o size={size} tmpfs /dev/shm || exit 77; exec "$@"'
    words = ["unshare", "--mount", "sh", "-c", mount, "sh", sys.executable, str(script)]
    environment |= {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", "OMP_NUM_THREADS": "1"}
    words += [str(number) for number in (batch, when)]
    done = subprocess.run(words, capture_output=True, text=True, env=os.environ | environment, timeout=200)
    if done.returncode == 77 or "unshare failed" in done.stderr:
        pytest.skip(f"mounting is not permitted here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    return (done.stdout + done.stderr).splitlines()


def test_too_small_for_two_batches_is_refused_before_anything_starts(tmp_path: Path) -> None:
    refusal, *rest = decode(tmp_path, "24m", batch=128)
    assert rest == ["0 batches"]
    assert (
        "/dev/shm" in refusal and "25,165,824 of 25,165,824 bytes free" in refusal and "19,267,584" in refusal
    )
    assert "docker run --shm-size=1g" in refusal and "batch_size = 80 in luigi.cfg" in refusal


@pytest.mark.slow
def test_filled_by_another_file_while_it_runs_it_ends_in_one_line(tmp_path: Path) -> None:
    refusal, batches, *rest = decode(tmp_path, "24m", 32, when=1)
    assert rest == [] and batches.endswith(" batches") and 1 <= int(batches.split()[0]) < 8
    assert "No space left on device" in refusal and "docker run --shm-size=1g" in refusal
    assert "4,816,896" in refusal and "Finished shards are kept" in refusal


@pytest.mark.slow
@pytest.mark.parametrize("size, batch", [("24m", 16), ("64m", 128), ("24m", 80), ("0", 16)])
def test_as_many_batches_are_under_way_as_it_holds(tmp_path: Path, size: str, batch: int) -> None:
    """64 MB are docker's default and 128 pictures a GPU's; tmpfs of size 0 has no limit."""
    batches, *rest = decode(tmp_path, size, batch)
    assert batches == "8 batches"
    assert [line.split(": 1 of 2 processes")[0] for line in rest] == (
        ["/dev/shm has room for 2 batches"] if batch == 80 else []
    )


@pytest.mark.slow
def test_filled_before_it_starts_its_queues_are_refused_in_one_line(tmp_path: Path) -> None:
    refusal, batches = decode(tmp_path, "24m", 16, when=0)
    assert batches == "0 batches" and "0 of 25,165,824 bytes free" in refusal and "--shm-size" in refusal
    assert "batch_size" not in refusal  # no batch is small enough


@pytest.mark.slow
def test_a_handle_that_can_not_be_passed_on_ends_in_one_line(tmp_path: Path) -> None:
    """Shared memory crosses as a handle through a socket in TMPDIR, whose path has at most 107 characters."""
    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    refusal, batches = decode(tmp_path, "24m", 16, TMPDIR=str(folder))
    assert batches == "0 batches" and "AF_UNIX path too long; set TMPDIR to a shorter path" in refusal
