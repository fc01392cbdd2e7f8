"""bench.gpu_check, which says what a GPU does: it has to work the first time, so it runs here on the CPU."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from processes import have_ended

from bench import gpu_same, gpu_speed, turns
from bench.gpu_check import PARTS, SETUP, WHOLE, in_time
from bench.gpu_report import Report, Row, table
from bench.gpu_sizes import QUICK, Place
from models import devices

ROOT = Path(__file__).resolve().parents[1]
QUICKLY = ["-m", "bench.gpu_check", "--device", "cpu", "--quick"]
BLOCKER = """
import os, sys
from importlib.machinery import PathFinder

class Without(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name.partition(".")[0] not in os.environ["BLOCKED"].split():
            return PathFinder.find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(PathFinder)] = Without
"""


def place(folder: Path) -> Place:
    return Place("cpu", QUICK, folder, time.monotonic() + 60)


def without(modules: str, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    """The check under a Python that lacks these modules, as do the processes that it starts."""
    (tmp_path / "sitecustomize.py").write_text(BLOCKER)
    env = os.environ | {"PYTHONPATH": str(tmp_path), "BLOCKED": modules}
    return subprocess.run([sys.executable, *QUICKLY], cwd=ROOT, env=env, capture_output=True, text=True)


@pytest.mark.slow
@pytest.mark.parametrize("part", ["machine", "extraction", "training", "attention", "prediction"])
def test_a_part_finds_rates_and_ratios(part: str, tmp_path: Path):
    report = Report(tmp_path / "rows")
    PARTS.get(part, SETUP).work(report, place(tmp_path))
    rows = report.rows()
    assert not [row for row in rows if row.failed or "left out" in row.result]
    measured = [row for row in rows if row.result.endswith("/s")]
    expected = {"machine": 0, "extraction": 3, "training": 2, "attention": 2, "prediction": 1}[part]
    assert (len(measured), len([row for row in rows if " / " in row.check])) == (
        expected,
        max(0, expected - 1),
    )


@pytest.mark.slow
def test_the_whole_check_passes_and_needs_no_module_that_it_does_not_name(tmp_path: Path):
    others = "luigi nltk msgspec requests urllib3 tenacity tqdm matplotlib tensorboard keras"
    done = without(others, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "FAILED" not in done.stdout and "left out" not in done.stdout
    assert "| extraction twice | equal: features.h5 has the same bytes" in done.stdout
    assert "| training twice | equal: all " in done.stdout


@pytest.mark.slow
def test_a_missing_module_is_named_and_costs_its_rows_alone(tmp_path: Path):
    done = without("simplejpeg safetensors pytest", tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    left_out = [line.split(" | ")[0].removeprefix("| ") for line in lines if "left out" in line]
    assert left_out == [
        "tests (`pytest -k gpu`)",
        "extraction with squeezenet1_1: end to end",
        "training: ours",
        "training saaa: ours",
        "extraction twice",
        "training twice",
    ]
    assert sum("no simplejpeg here" in line for line in lines) == 2
    for rest in ("the network alone", "a plain script", "a plain loop", "prediction: ours"):
        assert any(rest in line and line.split(" | ")[1].endswith("/s") for line in lines), rest


def test_memory_is_what_a_competitor_adds_to_what_others_hold(monkeypatch: pytest.MonkeyPatch):
    held, most = [3_000_000_000], [5_000_000_000]
    made_up = {
        "init": lambda: None,
        "memory_allocated": lambda device: held[0],
        "reset_peak_memory_stats": lambda device: most.__setitem__(0, held[0]),
        "max_memory_allocated": lambda device: most[0],
    }
    for name, function in made_up.items():
        monkeypatch.setattr(torch.cuda, name, function)
    monkeypatch.setattr(devices, "pick_device", lambda name: torch.device("cuda", 0))

    def make() -> turns.Turn:
        most[0] = held[0] + 250_000_000
        return lambda: 1.0

    assert gpu_speed._ready(make, "cuda")[1] == "0.25 GB"


def test_all_parts_together_take_less_than_eight_minutes():
    assert sum(part.seconds for part in PARTS.values()) <= WHOLE < 480


def test_what_a_part_started_ends_with_its_time(tmp_path: Path):
    started = tmp_path / "pid"
    code = (
        "import subprocess, sys, time, pathlib; p = subprocess.Popen(['sleep', '60']);"
        f"pathlib.Path({str(started)!r}).write_text(str(p.pid)); time.sleep(60)"
    )
    began = time.monotonic()
    said = in_time([sys.executable, "-c", code], tmp_path / "log", 3)
    assert said == "stopped after 3 s, not done" and time.monotonic() - began < 30
    assert have_ended(int(started.read_text()))


def test_a_part_whose_process_dies_says_how_and_its_last_words(tmp_path: Path):
    code = "import os, sys; print('first'); print('out of luck', file=sys.stderr); sys.stderr.flush(); os.abort()"
    said = in_time([sys.executable, "-u", "-c", code], tmp_path / "log", 30)
    assert said == "its process was ended by SIGABRT: out of luck"


def test_a_check_that_fails_is_a_row_with_its_first_line(tmp_path: Path):
    report = Report(tmp_path / "rows")
    report.attempt("one", (), lambda: report.add("one", "1 / 0 is a | b"))
    report.attempt("other", (), lambda: {}["a key"])
    assert report.rows() == [Row("one", "1 / 0 is a | b"), Row("other", "KeyError: 'a key'", failed=True)]
    assert "| one | 1 / 0 is a \\| b |  |\n| other | FAILED: KeyError: 'a key' |  |" in table(
        "a card", "", report.rows()
    )


def test_tests_are_counted_and_those_that_fail_or_lack_a_module_are_named(tmp_path: Path):
    (tmp_path / "test_some.py").write_text(
        "import pytest\ndef test_good(): pass\ndef test_bad(): assert 1 == 2\n"
        "@pytest.mark.skip\ndef test_other(): pass\n"
    )
    (tmp_path / "test_lacking.py").write_text("import no_such_module_here\n")
    results = tmp_path / "results.xml"
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "--continue-on-collection-errors",
        f"--junitxml={results}",
    ]
    subprocess.run([*command, str(tmp_path), "-c", "/dev/null"], cwd=tmp_path, capture_output=True)
    report = Report(tmp_path / "rows")
    gpu_same.tell_tests(report, results)
    counts, *rows = report.rows()
    assert sorted(counts.result.split(", ")) == ["1 failed", "1 left out", "1 passed", "1 skipped"]
    assert [(row.check.split()[-1], row.result, row.failed) for row in rows] == [
        ("test_lacking", "left out: No module named 'no_such_module_here'", False),
        ("test_bad", "assert 1 == 2", True),
    ]


def test_two_runs_are_equal_to_the_last_bit_or_what_differs_is_said():
    first = {"a": np.array([1, 2], np.float32), "losses": np.array([0.5]), "answers": np.array([0.25])}
    assert gpu_same.compare_runs(first, dict(first)) == (
        "equal: all 1 weights, each epoch's loss, all predictions",
        True,
    )
    second = first | {"a": np.array([1, np.nextafter(np.float32(2), np.float32(3))], np.float32)}
    said, equal = gpu_same.compare_runs(first, second)
    assert not equal and said == "2 of 3 arrays equal (losses, answers); others by up to 2.4e-07"


def test_the_start_of_a_stream_is_not_in_its_rate(monkeypatch: pytest.MonkeyPatch):
    now = [100.0]
    monkeypatch.setattr(turns.time, "monotonic", lambda: now[0])
    steady = turns.Steady(4.0)
    fed = steady.feed("ab")
    assert [next(fed) for _ in range(3)] == ["a", "b", "a"]
    for moment, count in ((110, 999), (110.5, 999), (111, 7), (112, 10), (113, 30)):
        now[0] = moment
        steady.add(count)
    now[0] = 114.5
    assert next(fed, None) is None
    assert steady.first() == 10 and steady.rate() == 40 / 3.5


def test_no_round_begins_that_would_outlast_the_clock(monkeypatch: pytest.MonkeyPatch):
    now = [0.0]
    monkeypatch.setattr(turns.time, "monotonic", lambda: now[0])

    def turn() -> float:
        now[0] += 3
        return 1.0

    assert len(turns.in_turns({"a": turn}, 7, until=10)["a"]) == 3
    assert len(turns.in_turns({"a": turn}, 7, until=0)["a"]) == 1


def test_a_turn_lasts_about_its_time_and_has_whole_batches(tmp_path: Path):
    counts = []

    def make(count: int) -> turns.Turn:
        counts.append(count)
        return lambda: 5000.0

    at = Place("cpu", QUICK, tmp_path, 0)
    gpu_speed.lasting(make, at)
    assert counts == [64, 64]  # no more than there are
    full = Place("cpu", type(QUICK)(seconds=4.0), tmp_path, 0)
    counts.clear()
    gpu_speed.lasting(make, full)
    assert counts == [2560, 78 * 256]
