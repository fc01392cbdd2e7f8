"""Names of temporary files: whose they are, by the process that they name."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time

import pytest

from data.base.temporary import is_alive, is_left, lives, temporary_name, writer


@pytest.fixture
def zombie():
    """A process that has ended and is not waited for."""
    process = subprocess.Popen([sys.executable, "-c", ""], stdin=subprocess.PIPE)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    yield process.pid
    process.communicate()


def test_what_this_process_writes_is_alive(tmp_path):
    for path in (
        temporary_name(tmp_path / "out"),
        temporary_name(tmp_path / "out", "old"),
        tmp_path / f".run-{writer()}",
    ):
        assert is_alive(path) and not is_left(path)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks /proc")
def test_a_number_that_another_process_has_by_now_counts_as_dead(tmp_path):
    """The name is ten hours older than the process of that number."""
    assert (
        lives(os.getpid())
        and lives(os.getpid(), time.time())
        and not lives(os.getpid(), time.time() - 36_000)
    )
    old = tmp_path / f".tmp-out-{socket.gethostname()}-{os.getpid()}-{time.time_ns() - 36_000 * 10**9}"
    assert is_left(old)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks /proc")
def test_a_process_that_ended_is_dead_whether_waited_for_or_not(zombie):
    assert not lives(zombie) and not lives(zombie, time.time()) and not lives(4_194_303) and not lives(2**70)


@pytest.mark.parametrize(
    "name", ["out", ".tmp-notes", ".tmp-trip-paris-2019-07", ".epoch-best", "a-b-1-1700000000000000000"]
)
def test_other_names_are_nobodys_leftovers(tmp_path, name):
    assert not is_left(tmp_path / name)


def test_what_another_machine_writes_counts_for_a_day(tmp_path):
    path = tmp_path / f".tmp-out-elsewhere-1-{time.time_ns()}"
    assert not is_alive(path)  # it has been renamed or removed
    path.touch()
    assert is_alive(path)
    os.utime(path, (0, time.time() - 90_000))
    assert is_left(path)
