"""The scripts in bench/: they measure what users get, and end in one line where an input is not there."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).resolve().parents[1] / "bench"
HEAVY = {"torch", "torchvision"}


def python(*words, **environment) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *map(str, words)]
    kept = {
        name: value for name, value in os.environ.items() if name not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
    }
    return subprocess.run(command, cwd=BENCH.parent, env=kept | environment, capture_output=True, text=True)


@pytest.mark.parametrize("path", sorted(BENCH.glob("*.py")), ids=lambda path: path.stem)
def test_models_comes_before_torch(path):
    """models.openmp says how long OpenMP's threads spin, which is read once, when torch is loaded."""
    seen: list[str] = []
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            seen += [alias.name.split(".")[0] for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            seen.append(node.module.split(".")[0])
    firsts = [seen.index(name) for name in HEAVY & set(seen)]
    assert not firsts or ("models" in seen and seen.index("models") < min(firsts))


@pytest.mark.slow
def test_the_spin_count_of_a_bench_is_that_of_users_and_the_row_that_spins_has_another():
    counts = {}
    for name, start in (
        ("users", "from models.openmp import spin_briefly; spin_briefly(); import torch"),
        ("bench", "import bench.extract"),
        (
            "spins",
            "import bench.variants as b, os, sys; "
            "spins = os.environ | b.WAYS['threads that spin while they wait'][2]; "
            "os.execve(sys.executable, [sys.executable, '-c', 'import bench.variants'], spins)",
        ),
    ):
        said = python("-c", start, OMP_DISPLAY_ENV="verbose").stderr
        counts[name] = [line.strip() for line in said.splitlines() if "GOMP_SPINCOUNT" in line][-1:]
    if not counts["users"]:
        pytest.skip("this torch has another OpenMP than GNU's")
    assert counts["users"] == counts["bench"] == ["GOMP_SPINCOUNT = '10000'"]
    assert counts["spins"] == ["GOMP_SPINCOUNT = '300000'"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-m", "bench.score", "--data", "{none}"], "--data names the folder"),
        (["-m", "bench.extract", "--pictures", "{none}"], "can't be read"),
        (["-m", "bench.text", "--data", "{none}"], "python -m bench.generate --out {none}"),
        (["-m", "bench.language", "--questions", "{none}", "--annotations", "{none}"], "{none}"),
        (["-m", "bench.generate", "--out", "{none}", "--glove", "nope"], "nope"),
        (["bench/train.py", "--keras-python", "{none}/python"], "--keras-python {none}/python"),
        (["bench/predict.py", "--keras-python", "{none}/python"], "--keras-python {none}/python"),
    ],
    ids=lambda value: value[1] if isinstance(value, list) else "",
)
def test_an_input_that_is_not_there_is_one_line(words, said, tmp_path):
    none = str(tmp_path / "not there")
    done = python(*(word.format(none=none) for word in words))
    (line,) = done.stderr.splitlines()
    assert done.returncode == 1 and line.startswith("error: ") and said.format(none=none) in line
