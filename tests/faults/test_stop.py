"""SIGTERM, as a cluster sends it at a job's time limit: the run ends within ten seconds, and goes on later."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

import pytest
from commands import BIN, ROOT
from documents import blocks
from faults.harness import Run, differences, marked

from data.catalog import sources
from tasks.setup.process import STOPPED, STOPPED_LINE

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="processes are found in Linux's /proc"
)
LIMIT = 10.0


def wait_until(process, run, reached):
    while not reached():
        assert process.poll() is None, run.said()
        time.sleep(0.005)


def stop(process, run, whom):
    """SIGTERM to the run's first process or to all of them, as Slurm does; it must end as promised."""
    began = time.monotonic()
    (os.kill if whom == "main" else os.killpg)(process.pid, signal.SIGTERM)
    assert run.wait(process) == STOPPED, run.said()
    assert time.monotonic() - began < LIMIT
    assert run.said().splitlines()[-1] == STOPPED_LINE and "Traceback" not in run.said(), run.said()
    assert run.survivors(LIMIT) == []


slow = pytest.mark.slow
HOW = [(1, "main"), pytest.param(1, "group", marks=slow), pytest.param(4, "main", marks=slow), (4, "group")]


@pytest.mark.parametrize("workers, whom", HOW)
def test_a_run_ends_with_a_code_of_its_own(tmp_path, workers, whom):
    run = Run(tmp_path / "run", workers)
    process = run.start()
    wait_until(process, run, lambda: list(run.artifacts.glob("make-sample/.tmp-*")))
    stop(process, run, whom)


@pytest.mark.slow
@pytest.mark.parametrize("workers, whom", HOW)
def test_extraction_in_processes_of_its_own(tiny_run, tmp_path, workers, whom):
    run = Run(tmp_path / "run", workers)
    shutil.copytree(tiny_run[0].artifacts, run.artifacts)
    shutil.rmtree(run.artifact("extract-features", "val"))
    words = ("luigi", "ExtractFeatures", "--image-set", "sample-val", "--workers", workers)
    process = run.start(*words)
    wait_until(process, run, lambda: any("spawn_main" in command for _, command in marked(run.mark)))
    stop(process, run, whom)
    assert run.wait(run.start(*words)) == 0, run.said()
    assert differences(tiny_run[0].artifacts, run.artifacts) == []


@pytest.mark.slow
def test_training_in_the_middle_of_an_epoch_goes_on_from_the_last(tiny_run, tmp_path):
    run = Run(tmp_path / "run")
    shutil.copytree(tiny_run[0].artifacts, run.artifacts, symlinks=True)
    words = ("luigi", "TrainModel", "--epochs", "40")
    known = {path.name for path in run.artifacts.glob(".work/train-model-*/epoch-*.json")}

    def epochs():
        """Those whose snapshot is whole."""
        return sorted({path.name for path in run.artifacts.glob(".work/train-model-*/epoch-*.json")} - known)

    process = run.start(*words)
    wait_until(process, run, epochs)
    stop(process, run, "main")
    known |= set(before := epochs())
    process = run.start(*words)
    wait_until(process, run, epochs)
    assert epochs()[0] > max(before)  # none is done again
    os.killpg(process.pid, signal.SIGKILL)
    run.wait(process)


def test_a_download_keeps_what_has_arrived(tmp_path):
    run, size = Run(tmp_path / "run"), sources.glove("glove.6B.50d").source.bytes
    with socket.create_server(("127.0.0.1", 0)) as server:
        run.configure(f"[sources]\nmirror = http://127.0.0.1:{server.getsockname()[1]}\n")
        process = run.start("luigi", "DownloadGlove", "--glove", "glove.6B.50d")
        connection, _ = server.accept()
        with connection:
            connection.recv(1 << 16)
            connection.sendall(
                f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n".encode() + b"PK\3\4" + bytes(100_000)
            )
            parts = run.artifacts / ".work" / "download-parts"
            wait_until(process, run, lambda: [p for p in parts.glob("*.part") if p.stat().st_size == 100_004])
            stop(process, run, "main")
    [part] = parts.glob("*.part")
    assert part.stat().st_size == 100_004


@slow
def test_ray_on_this_machine_ends_with_the_run(tiny_run, tmp_path):
    pytest.importorskip("ray")
    run = Run(tmp_path / "run")
    run.config.write_text(run.config.read_text().replace("[compute]\n", "[compute]\nengine = ray\n"))
    shutil.copytree(tiny_run[0].artifacts, run.artifacts)
    shutil.rmtree(run.artifact("extract-features", "val"))
    words = ("luigi", "ExtractFeatures", "--image-set", "sample-val")
    with tempfile.TemporaryDirectory() as short:  # Ray's sockets lie below it
        process = run.start(*words, TMPDIR=short)
        wait_until(process, run, lambda: any("ray::Worker" in command for _, command in marked(run.mark)))
        stop(process, run, "main")
    assert not any(path.name[0] != "." for path in run.artifacts.glob("extract-features/*val*"))


IN_A_LIBRARY = """
import hashlib, os, signal, sys
from tasks.setup import logs, process

process.GRACE = 0.5
logs.install()
process.careful_signals()
os.write(1, b"ready")
hashlib.pbkdf2_hmac("sha256", b"long", b"work", 2_000_000_000)
"""


def test_a_process_that_is_long_in_a_library_is_ended():
    process = subprocess.Popen(
        [sys.executable, "-c", IN_A_LIBRARY],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.read(5) == "ready"
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=LIMIT)
    assert process.returncode == STOPPED and said == f"{STOPPED_LINE}\n"


def sbatch_script():
    [block] = [b for b in blocks(ROOT / "docs" / "how-to.md") if "cat > vqa.sbatch" in b.content]
    return block.content.partition("<<'END'\n")[2].partition("\nEND\n")[0]


@pytest.mark.parametrize("ends", ["stopped", "done", "failed"])
def test_the_sbatch_script_requeues_what_was_stopped_and_nothing_else(tmp_path, ends):
    """Slurm is played by a stand-in for scontrol, and by SIGTERM to the script alone, as --signal=B:TERM has it."""
    run, stand_ins = Run(tmp_path / "run"), tmp_path / "bin"
    stand_ins.mkdir()
    (stand_ins / "scontrol").write_text('#!/bin/sh\necho "scontrol $*"\n')
    (stand_ins / "scontrol").chmod(0o755)
    flags = {"stopped": "RunAll", "done": "MakeSample --size tiny", "failed": "RunAll --epochs many"}[ends]
    script = sbatch_script().replace("RunAll --dataset vqa-v2", flags)
    assert flags in script
    (run.folder / "vqa.sbatch").write_text(script)
    environment = run.environment(SLURM_JOB_ID="77") | {"PATH": f"{stand_ins}:{BIN}:{os.environ['PATH']}"}
    log = (run.folder / "out").open("wb")
    job = subprocess.Popen(
        ["bash", "vqa.sbatch"],
        cwd=run.folder,
        env=environment,
        stdout=log,
        stderr=log,
        start_new_session=True,
    )
    if ends == "stopped":
        wait_until(job, run, lambda: list(run.artifacts.glob("make-sample/.tmp-*")))
        job.send_signal(signal.SIGTERM)
    code, said = job.wait(60), (run.folder / "out").read_text()
    assert code == {"stopped": STOPPED, "done": 0, "failed": 1}[ends], said
    assert ("scontrol requeue 77" in said) == (ends == "stopped")
    assert run.survivors(LIMIT) == []
