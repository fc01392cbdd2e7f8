"""What a GPU does with this project, in at most eight minutes: whether it is right, how fast, with how much memory.

    make gpu-check                                    # in .venv where there is one, else with python3
    OTHER/bin/python -m bench.gpu_check               # any Python that has torch, h5py and luigi
    python -m bench.gpu_check --device cpu --quick    # the same script on a CPU, tiny: does it work?

Prints a Markdown table for docs/performance.md. Weights are random, pictures and questions are made up, nothing is
downloaded. What a check needs and is not installed is named, and its rows are left out; a check that fails is a row
with the reason, and the exit code is 1. Each part is a process that ends within its time on any card.
"""

from __future__ import annotations

import argparse
import math
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from importlib.util import find_spec
from pathlib import Path

from bench import gpu_same, gpu_speed
from bench.gpu_report import Report, Row, table
from bench.gpu_sizes import FULL, QUICK, Place
from bench.turns import add_device
from data.base.errors import ModelError, ending
from models.openmp import spin_briefly
from tasks.setup.process import die_with_parent

ROOT = Path(__file__).resolve().parents[1]
WHOLE = 470  # seconds for all parts: eight minutes, less the end of the last
ROWS = "rows.jsonl"
PATIENCE = 10  # times as many seconds where nothing is measured: tests run on busy machines
MEASURE = 0.8  # share of a part's seconds after which it begins no further round


@dataclass(frozen=True)
class Part:
    """Does its work in at most so many seconds."""

    work: Callable[[Report, Place], None]
    seconds: int


SETUP = Part(gpu_speed.machine, 180)  # the first to load torch from the disk and to wake the GPU
PARTS = {
    "tests": Part(gpu_same.tests, 95),
    "extraction": Part(gpu_speed.extraction, 150),
    "training": Part(gpu_speed.training, 55),
    "attention": Part(gpu_speed.attention, 40),
    "prediction": Part(gpu_speed.prediction, 30),
    "same features": Part(gpu_same.same_features, 50),
    "same training": Part(gpu_same.same_training, 50),
}


def main() -> None:
    options = arguments()
    if options.part:
        work(options)
        return
    absent = [name for name in ("torch", "numpy") if find_spec(name) is None]
    if absent:
        raise ModelError(
            f"{sys.executable} has no {' and no '.join(absent)}. Name a Python that has: make gpu-check PYTHON=..."
        )
    with tempfile.TemporaryDirectory() as folder:
        if not check(options, Path(folder)):
            raise SystemExit(1)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_device(parser, "cuda", "everything")
    parser.add_argument(
        "--quick", action="store_true", help="tiny, to see that it works; its rates mean nothing"
    )
    for hidden in ("--part", "--folder", "--until"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    return parser.parse_args()


def check(options: argparse.Namespace, folder: Path) -> bool:
    """Print the table; whether no check failed. Raises ModelError where the device is not there."""
    machine = run("set-up", SETUP, options, folder, math.inf)[0]
    if machine.failed:
        raise ModelError(machine.result)
    began, rows = time.monotonic(), list[Row]()
    for name, part in PARTS.items():
        print(f"{name} ...", file=sys.stderr, flush=True)
        rows += run(name, part, options, folder, began + WHOLE)
    took = time.monotonic() - began
    print(table(machine.check, f"{machine.result}; {date.today()}, `make gpu-check`, {took:.0f} s", rows))
    return not any(row.failed for row in rows)


def run(name: str, part: Part, options: argparse.Namespace, folder: Path, end: float) -> list[Row]:
    """A part's rows, with one more if it is not done in time or its process dies."""
    began = time.monotonic()
    seconds = PATIENCE * part.seconds if options.quick else min(part.seconds, end - began)
    place = folder / name.replace(" ", "-")
    place.mkdir()
    words = ["--part", name, "--folder", str(place), "--until", str(began + MEASURE * seconds)]
    words += ["--device", options.device, *["--quick"] * options.quick]
    ended = in_time([sys.executable, "-m", "bench.gpu_check", *words], place / "log", seconds)
    report = Report(place / ROWS)
    if ended:
        report.add(name, ended, failed=True)
    return report.rows()


def in_time(command: list[str], log: Path, seconds: float) -> str:
    """Run a command with its output in `log`; '' where it succeeds within `seconds`, else what became of it.

    Nothing is left running, nor are the processes that it started.
    """
    with log.open("w") as file:
        process = subprocess.Popen(command, cwd=ROOT, stdout=file, stderr=file, start_new_session=True)
    try:
        code = process.wait(max(0, seconds))
    except subprocess.TimeoutExpired:
        return f"stopped after {seconds:.0f} s, not done"
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    last = log.read_text(errors="replace").strip().splitlines()[-1:] or [""]
    return f"its process {ending(code)}: {last[0]}" if code else ""


def work(options: argparse.Namespace) -> None:
    """A part, in its own process, which does not outlive the one that started it."""
    die_with_parent(os.getppid())
    spin_briefly()
    folder = Path(options.folder)
    place = Place(options.device, QUICK if options.quick else FULL, folder, float(options.until))
    report = Report(folder / ROWS)
    report.attempt(options.part, (), lambda: PARTS.get(options.part, SETUP).work(report, place))


if __name__ == "__main__":
    from bench.one_line import in_one_line

    in_one_line(main)
