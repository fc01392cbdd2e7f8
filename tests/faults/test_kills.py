"""The whole run killed at many moments, then one run to the end: the same bytes, no process and no file left over.

`inside` moments follow what the run has reached, so they mean the same on any machine; `change` ones are exact: just
before the n-th file that the run creates, renames or removes. `make soak` strikes both with one worker and with four.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time

import pytest
from commands import ROOT
from faults.harness import Run, blows, differences, marked

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="processes are found in Linux's /proc"
)


def killed(run, usual, planned):
    """Strike one blow after another, then finish. Returns where the blows fell."""
    fell = []
    for blow in planned:
        struck = run.strike(blow, usual)
        assert not (wrong := run.check(struck, usual)), (str(blow), wrong)
        if struck.hit:
            fell.append(struck.where)
    assert run.finish(usual) == []
    return fell


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_killed_inside_every_stage_it_ends_with_the_same_bytes(usual, tmp_path):
    planned = blows("inside 4", "inside", len(usual.each), usual.each)
    fell = killed(Run(tmp_path / "run", workers=4), usual, planned)
    assert len(fell) >= 15  # of 19 or so: a stage of two milliseconds can be over before the signal comes


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_killed_at_any_change_of_a_file_it_ends_with_the_same_bytes(usual, tmp_path):
    planned = blows("change 1", "change", 8)
    fell = killed(Run(tmp_path / "run", workers=1), usual, planned)
    assert len(fell) >= 4  # a run that goes on has fewer changes before it than the first


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_killed_at_any_time_it_ends_with_the_same_bytes(usual, tmp_path):
    assert killed(Run(tmp_path / "run", workers=4), usual, blows("clock 4", "clock", 2))


def test_a_killed_run_takes_its_processes_along(tiny_run, tmp_path):
    run = Run(tmp_path / "run", workers=2)
    shutil.copytree(tiny_run[0].artifacts, run.artifacts)
    shutil.rmtree(run.artifact("extract-features", "val"))
    words = ("luigi", "ExtractFeatures", "--image-set", "sample-val", "--workers", 2)
    process = run.start(*words)
    while not any("spawn_main" in command for _, command in marked(run.mark)):
        assert process.poll() is None, run.said()
        time.sleep(0.01)
    assert len(list(marked(run.mark))) >= 3  # the run, the stage, and the stage's own
    os.kill(process.pid, signal.SIGKILL)
    assert run.wait(process) == -signal.SIGKILL
    assert run.survivors() == []
    assert not any(path.name[0] != "." for path in run.artifacts.glob("extract-features/*val*"))
    assert run.wait(run.start(*words)) == 0, run.said()
    assert differences(tiny_run[0].artifacts, run.artifacts) == []


@pytest.mark.parametrize("workers", [1, pytest.param(4, marks=pytest.mark.slow)])
def test_ctrl_c_ends_in_one_line(tmp_path, workers):
    run = Run(tmp_path / "run", workers)
    process = run.start()
    while not list(run.artifacts.glob("make-sample/.tmp-*")):
        assert process.poll() is None, run.said()
        time.sleep(0.001)
    os.killpg(process.pid, signal.SIGINT)
    assert run.wait(process) == -signal.SIGINT  # a shell shows it as 130
    [line] = run.said().splitlines()[1:]
    assert line.startswith("interrupted; ")
    assert run.survivors() == []


FORK = """
import multiprocessing, os, signal, time
from tasks.setup.process import careful_signals

def ctrl_c():
    os.kill(os.getpid(), signal.SIGINT)

if __name__ == "__main__":
    os.register_at_fork(after_in_parent=ctrl_c)
    careful_signals()
    child = multiprocessing.get_context("fork").Process(target=int)
    child.start()
    child.join()
    time.sleep(20)
    print("lost")
"""


def test_ctrl_c_in_the_middle_of_a_fork_is_not_lost():
    """Python drops exceptions there, and with this one went the release of logging's lock: a run that hangs."""
    done = subprocess.run([sys.executable, "-c", FORK], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == -signal.SIGINT and "lost" not in done.stdout, done


HEX = "0123456789abcdef"


def test_gc_removes_what_killed_writers_left(tiny):
    """The names are those that artifacts, shard files, snapshots and caches of hashes give."""
    dead, alive = (f"-{socket.gethostname()}-{pid}-{time.time_ns()}" for pid in (4_194_303, os.getpid()))
    features = tiny.artifact("extract-features", "val")
    [snapshots] = (tiny.artifacts / ".work").glob("train-model-*")
    parts = tiny.artifacts / ".work" / "download-parts"
    parts.mkdir(exist_ok=True)
    left = [
        tiny.artifacts / "report" / f".tmp-x-{HEX}{dead}",
        tiny.artifacts / "report" / f".old-{tiny.artifact('report').name}{dead}",
        # killed between its artifact's rename and this folder's removal
        features.parent / ".work" / f"extract-features-{features.name.rsplit('-', 1)[1]}",
        snapshots / f".tmp-epoch-0001.safetensors{dead}",
        tiny.artifacts / f".tmp-.identities.json{dead}",
        parts / f".tmp-glove.6B.zip.{HEX}.part.json{dead}",
        snapshots / f".epoch-0001.safetensors{dead}",  # as earlier versions named them
        tiny.artifacts / ".identities.json.4194303.tmp",
    ]
    kept = [
        tiny.artifacts / "report" / f".tmp-x-{HEX}{alive}",
        snapshots / f".tmp-epoch-0001.safetensors{alive}",
        tiny.artifacts / f".tmp-.identities.json{alive}",
        parts / f".tmp-glove.6B.zip.{HEX}.part.json{alive}",
        snapshots / f".epoch-0001.safetensors{alive}",
        tiny.artifacts / f".identities.json.{os.getpid()}.tmp",
    ]
    for path in left + kept:
        is_file = ".json" in path.name or ".safetensors" in path.name
        path.touch() if is_file else path.mkdir(parents=True)
    output = tiny("pipeline", "gc", "RunAll", "--yes")
    assert [str(path) in output for path in left + kept] == [True] * len(left) + [False] * len(kept)
    assert [path.exists() for path in left + kept] == [False] * len(left) + [True] * len(kept)
    assert "nothing to do" in tiny("pipeline", "plan")
