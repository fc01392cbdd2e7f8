"""Luigi's own troubles: stages that hang, raise or are killed, luigid restarted, workers that die or come back."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from commands import BIN, ROOT
from faults.harness import Run, copy_of, marked, missing

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="processes are found in Linux's /proc"
)


LATE = ("extract-features/*val*", "predict-answers", "evaluate-model", "report")


def until(condition, run, *processes, patience=120):
    """Wait for something to be so, while all these processes go on."""
    deadline = time.monotonic() + patience
    while not (result := condition()):
        assert time.monotonic() < deadline, run.said()
        assert all(process.poll() is None for process in processes), run.said()
        time.sleep(0.01)
    return result


def builder(run, stage):
    """The process that builds a stage, by the name of its temporary folder; None where nobody does."""
    for path in run.artifacts.glob(f"{stage}/.tmp-*"):
        return int(path.name.rsplit("-", 2)[1])
    return None


def extraction(run):
    """The processes that run the network for the stage, once they are at it: not while Python starts in them."""
    spawned = [number for number, command in marked(run.mark) if "spawn_main" in command]
    return [number for number in spawned if "libtorch" in Path(f"/proc/{number}/maps").read_text()]


# ------------------------------------------------------------------------------------------------ stages that fail


@pytest.mark.slow
@pytest.mark.parametrize(
    "broken, workers", [("foreseen", 1), ("foreseen", 3), ("unforeseen", 3), ("exit", 1)]
)
def test_a_stage_that_raises_fails_alone(tmp_path, broken, workers):
    run = Run(tmp_path / "run")
    words = ("luigi", "--module", "faults.stages", "After", "--broken", broken, "--workers", workers)
    path = f"{ROOT / 'tests'}:{ROOT}"
    assert run.wait(run.start(*words, PYTHONPATH=path)) == 30, run.said()
    # When it happens, and as the last line of all.
    assert run.said().count("found a pear") == 2 * (broken == "foreseen")
    assert run.said().splitlines()[-1].startswith("error: Raises failed")
    assert "Traceback" not in run.said() or broken != "foreseen"
    assert [path.parent.parent.name for path in run.artifacts.glob("*/*/manifest.json")] == ["fine"]
    assert not list(run.artifacts.glob("*/.tmp-*")) and run.survivors() == []


@pytest.mark.slow
def test_a_stage_with_a_time_limit_of_its_own_is_killed(tmp_path):
    run = Run(tmp_path / "run")
    words = ("luigi", "--module", "faults.stages", "After", "--broken", "hangs")
    assert run.wait(run.start(*words, PYTHONPATH=f"{ROOT / 'tests'}:{ROOT}")) == 30, run.said()
    assert "timed out after 3 seconds" in run.said() and run.survivors() == []
    assert [path.parent.parent.name for path in run.artifacts.glob("*/*/manifest.json")] == ["fine"]


@pytest.mark.slow
def test_a_stage_that_hangs_is_killed_with_its_own_processes(usual, tmp_path):
    """A real one: the process that runs the network stops, and the stage waits for it."""
    run = copy_of(usual, tmp_path / "run", LATE, 3)
    run.configure("[worker]\ntimeout = 20\n")
    process = run.start()
    [number] = until(lambda: extraction(run), run, process)
    os.kill(number, signal.SIGSTOP)
    assert run.wait(process) == 30, run.said()
    assert "timed out after 20 seconds" in run.said() and run.survivors() == []
    assert not list(run.artifacts.glob("extract-features/[!.]*val*"))
    run.configure("")
    assert run.finish(usual) == []


@pytest.mark.slow
@pytest.mark.parametrize("whom", ["the stage", "the stage's own process"])
def test_a_stage_whose_process_is_killed_fails_alone(usual, tmp_path, whom):
    """As the system does when memory is short."""
    run = copy_of(usual, tmp_path / "run", (*LATE, "encode-answers/*val*"), 4)
    process = run.start()
    [number] = until(lambda: extraction(run), run, process)
    os.kill(builder(run, "extract-features") if whom == "the stage" else number, signal.SIGKILL)
    assert run.wait(process) == 30, run.said()
    assert ("died unexpectedly with exit code -9" in run.said()) == (whom == "the stage")
    assert ("was ended by SIGKILL" in run.said()) == (whom != "the stage")
    assert run.survivors() == [] and list(run.artifacts.glob("encode-answers/*val*"))
    assert run.finish(usual) == []


# ------------------------------------------------------------------------------------------------ luigid and workers

PATIENT = """[core]
rpc-retry-attempts = 60
rpc-retry-wait = 1
[worker]
keep_alive = true
ping_interval = 0.5
[scheduler]
worker_disconnect_delay = 4
retry_delay = 2
prune_on_get_work = true
"""


@pytest.fixture
def port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@contextmanager
def luigid(run, port, *words):
    """A luigid of the test's own, with the delays of its luigi.cfg."""
    command = [str(BIN / "luigid"), "--address", "127.0.0.1", "--port", str(port), *words]
    said = (run.folder / "luigid.log").open("ab")
    with said, subprocess.Popen(command, cwd=run.folder, stdout=said, stderr=said) as daemon:
        try:
            until(lambda: answers(port), run, daemon)
            yield daemon
        finally:
            daemon.kill()


def answers(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def at(port, *words):
    return ("luigi", *(words or ("RunAll",)), "--scheduler-host", "127.0.0.1", "--scheduler-port", port)


@pytest.mark.slow
@pytest.mark.parametrize("state", ["kept", "lost"])
def test_luigid_restarted_in_the_middle(usual, tmp_path, port, state):
    run = copy_of(usual, tmp_path / "run", LATE)
    run.configure(PATIENT)
    kept = ("--state-path", str(run.folder / "state"))
    with luigid(run, port, *kept) as daemon:
        process = run.start(*at(port))
        until(lambda: builder(run, "extract-features"), run, process)
        daemon.send_signal(signal.SIGTERM if state == "kept" else signal.SIGKILL)
        daemon.wait()
    with luigid(run, port, *kept):
        code = run.wait(process)
        absent = missing(usual.artifacts, run.artifacts)
        assert (code == 0) == (not absent), (code, absent, run.said())
        assert state == "lost" or code == 0, run.said()
        assert run.survivors() == []
        assert run.wait(run.start(*at(port))) == 0, run.said()
    assert run.finish(usual) == []


@contextmanager
def two_workers(usual, tmp_path, port):
    """(first, second, its process, the other's): the first is extracting features, the second waits for it."""
    first = copy_of(usual, tmp_path / "first", LATE)
    second = Run(tmp_path / "second")
    second.artifacts, second.catalog = first.artifacts, first.catalog
    for run in (first, second):
        run.configure(PATIENT)
    with luigid(first, port):
        first_process = first.start(*at(port))
        until(lambda: extraction(first), first, first_process)
        second_process = second.start(*at(port))
        try:
            yield first, second, first_process, second_process
        finally:
            for process in (first_process, second_process):
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()


@pytest.mark.slow
def test_a_killed_workers_stage_is_taken_over(usual, tmp_path, port):
    with two_workers(usual, tmp_path, port) as (first, second, first_process, second_process):
        os.kill(first_process.pid, signal.SIGKILL)
        assert first.wait(first_process) == -signal.SIGKILL and first.survivors() == []
        assert second.wait(second_process) == 0, second.said()
        made = re.findall(r"built (\w+)", second.said())
    assert made.count("ExtractFeatures") == 1 and "Report" in made
    assert first.finish(usual) == []


@pytest.mark.slow
def test_a_worker_held_for_dead_comes_back(usual, tmp_path, port):
    """The first is stopped until the second has its stage, then goes on: both work at it, one artifact results.

    luigid gives the first no more work, so that it may end before the whole is made: then with 25.
    """
    with two_workers(usual, tmp_path, port) as (first, second, first_process, second_process):
        os.killpg(first_process.pid, signal.SIGSTOP)
        until(lambda: extraction(second), second, second_process)
        os.killpg(first_process.pid, signal.SIGCONT)
        codes = first.wait(first_process), second.wait(second_process)
        said = first.said() + second.said()
        assert codes[0] in (0, 25) and codes[1] == 0, said
    made = re.findall(r"built \w+ in [\d.]+ s: (.+)", said)
    assert len(made) == len(set(made)) and sum("extract-features" in path for path in made) == 1
    assert first.survivors() + second.survivors() == []
    assert first.finish(usual) == []
