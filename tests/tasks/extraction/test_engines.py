"""Engines: the same shards whoever runs them, through kills and failures."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from extractions import finished, make
from processes import children, descendants, have_ended

from data.base.errors import DataError, ModelError
from data.pictures.feature_file import read_features
from tasks.extraction.engines import extract_features, run_shards

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
ROOT = Path(__file__).parents[3]


@pytest.mark.slow
def test_finished_shards_are_not_done_again(folder: Path, tmp_path: Path, reference: bytes) -> None:
    extraction = make(folder, tmp_path)
    settings = run_shards(extraction)
    manifest = settings.folder(tmp_path) / "shard-000002.json"
    manifest.unlink()
    seen: list[int] = []
    run_shards(extraction, progress=lambda done, total, note="": seen.append(done))
    assert seen == [20, 22, 24] and finished(extraction, settings) == reference


SCRIPT = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
{first}
from extractions import make
from tasks.extraction.engines import run_shards
if __name__ == "__main__":
    run_shards(make(Path({folder!r}), Path({work!r})), engine={engine!r})
"""


def start(
    folder: Path, work: Path, tmp_path: Path, engine: str = "local", first: str = ""
) -> subprocess.Popen[bytes]:
    """A run in a process of its own; every process that it spawns does what `first` says, too."""
    script = tmp_path / "run.py"
    words = {"tests": str(ROOT / "tests"), "folder": str(folder), "work": str(work), "engine": engine}
    script.write_text(SCRIPT.format(**words, first=first))
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([sys.executable, str(script)], cwd=ROOT, env=environment)


def wait_for(work: Path, manifests: int) -> None:
    end = time.monotonic() + 120
    while len(list(work.glob("*/shard-*.json"))) < manifests and time.monotonic() < end:
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.parametrize("shards", [0, 1, 4])
def test_kill_9_loses_no_finished_shard_and_leaves_nobody_behind(
    folder: Path, tmp_path: Path, reference: bytes, shards: int
) -> None:
    work = tmp_path / "work"
    run = start(folder, work, tmp_path)
    wait_for(work, shards)
    below = children(run.pid)
    run.send_signal(signal.SIGKILL)
    run.wait()
    assert have_ended(*below)
    before = {path: path.stat().st_mtime_ns for path in work.glob("*/shard-*.json")}
    assert len(before) >= shards
    extraction = make(folder, work)
    settings = run_shards(extraction)
    assert before == {path: path.stat().st_mtime_ns for path in before}
    assert finished(extraction, settings) == reference


DECODERS = "import tasks.extraction.shards; tasks.extraction.shards._decoders = lambda *_: 2"  # as for a GPU


@pytest.mark.slow
def test_with_decoding_processes_as_for_a_gpu_the_bytes_are_the_same(
    folder: Path, tmp_path: Path, reference: bytes
) -> None:
    work = tmp_path / "work"
    run = start(folder, work, tmp_path, first=DECODERS)
    most = 0
    while run.poll() is None:
        most = max(most, len(descendants(run.pid)))
        time.sleep(0.05)
    assert run.returncode == 0 and most >= 4  # the tracker of resources, the child, and its two
    extraction = make(folder, work)
    settings = run_shards(extraction)
    assert finished(extraction, settings) == reference


@pytest.mark.slow
def test_decoding_processes_end_with_a_killed_run(folder: Path, tmp_path: Path) -> None:
    run = start(folder, tmp_path / "work", tmp_path, first=DECODERS)
    end = time.monotonic() + 60
    while len(below := descendants(run.pid)) < 4 and time.monotonic() < end:
        time.sleep(0.02)
    run.send_signal(signal.SIGKILL)
    run.wait()
    assert len(below) >= 4
    assert have_ended(*below, within=60)  # one that is still starting imports torch first


def test_a_child_that_is_killed_ends_the_run_in_one_clear_error(folder: Path, tmp_path: Path) -> None:
    def kill(done: int, total: int, note: str = "") -> None:
        if done:
            for child in children(os.getpid()):
                if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes():
                    os.kill(child, signal.SIGKILL)

    with pytest.raises(DataError, match=r"SIGKILL.*batch_size.*run the same again"):
        run_shards(make(folder, tmp_path), progress=kill)


def test_errors_of_a_child_arrive_as_they_were(folder: Path, tmp_path: Path) -> None:
    extraction = make(folder, tmp_path)
    with pytest.raises(ModelError, match="Did you mean 'flatten'"):
        run_shards(replace(extraction, layers=("flaten",)))
    with pytest.raises(DataError, match="local or ray"):
        run_shards(extraction, engine="dask")


def test_a_missing_gpu_is_named(folder: Path, tmp_path: Path) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    with pytest.raises(ModelError, match="device = cpu"):
        run_shards(replace(make(folder, tmp_path), device="cuda"))


def test_a_gpu_gives_the_rows_of_the_cpu(folder: Path, tmp_path: Path, reference: bytes) -> None:
    import torch

    if not torch.cuda.is_available():
        pytest.skip("no GPU here")
    extraction = replace(make(folder, tmp_path / "gpu"), device="cuda", threads=0, batch=0)
    settings = run_shards(extraction)
    assert settings.device == "cuda"
    (tmp_path / "gpu.h5").write_bytes(finished(extraction, settings))
    (tmp_path / "reference.h5").write_bytes(reference)
    actual, expected = (
        read_features(path).features.astype(np.float32)
        for path in (tmp_path / "gpu.h5", tmp_path / "reference.h5")
    )
    np.testing.assert_allclose(actual, expected, rtol=1e-2, atol=1e-2)


@pytest.mark.slow
def test_reading_the_rows_again_is_told_apart_from_extracting(folder: Path, tmp_path: Path) -> None:
    extraction = make(folder, tmp_path)
    settings = run_shards(extraction)
    (settings.folder(tmp_path) / "shard-000001.json").unlink()
    done: list[int] = []
    looked: list[tuple[int, int]] = []
    extract_features(
        extraction,
        progress=lambda now, total, note="": done.append(now),
        checking=lambda now, total, note="": looked.append((now, total)),
    )
    assert done == [20, 22, 24] and looked == [(number, 24) for number in (4, 8, 12, 16, 20, 24)]
