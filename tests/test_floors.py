"""The layout's promises, read from the sources: imports run downward, nothing heavy while the graph is built."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("pipeline", "tasks", "models", "data")
MAY_IMPORT = {
    "pipeline": {"pipeline", "tasks", "models", "data"},
    "tasks": {"tasks", "models", "data"},
    "models": {"models"},
    "data": {"data"},
}
FILES = [path for room in ROOMS for path in sorted((ROOT / room).glob("*.py"))]
HEAVY = (
    "torch",
    "torchvision",
    "h5py",
    "nltk",
    "numpy",
    "PIL",
    "matplotlib",
    "jinja2",
    "msgspec",
    "ray",
    "gradio",
)


def imported(node: ast.AST) -> set[str]:
    """Names of the modules that the statements below a node import."""
    found: set[str] = set()
    for inner in ast.walk(node):
        if isinstance(inner, ast.Import):
            found |= {alias.name for alias in inner.names}
        elif isinstance(inner, ast.ImportFrom) and inner.module:
            found.add(inner.module)
    return found


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_run_downward(path):
    room = path.parent.name
    rooms = {name.split(".")[0] for name in imported(tree(path))} & set(ROOMS)
    assert rooms <= MAY_IMPORT[room]


@pytest.mark.parametrize("room, banned", [("data", {"luigi", "torch", "torchvision"}), ("models", {"luigi"})])
def test_what_a_floor_must_not_know(room, banned):
    for path in (ROOT / room).glob("*.py"):
        assert not {name.split(".")[0] for name in imported(tree(path))} & banned, path


def test_shards_and_engines_know_no_luigi():
    for name in ("shards", "engines"):
        assert "luigi" not in imported(tree(ROOT / "tasks" / f"{name}.py"))


def test_files_fit_a_few_screens():
    long = {str(path): n for path in FILES if (n := len(path.read_text(encoding="utf-8").splitlines())) > 350}
    assert not long


def test_nothing_heavy_is_imported_with_the_pipeline():
    code = f"import sys, pipeline; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_packages_are_ours():
    for room in ROOMS:
        assert Path(importlib.import_module(room).__file__).parent == ROOT / room


def test_nothing_that_could_execute_data_is_used():
    for path in FILES:
        nodes = tree(path)
        assert not imported(nodes) & {"pickle", "shelve", "marshal", "dill", "joblib", "yaml"}, path
        for call in (node for node in ast.walk(nodes) if isinstance(node, ast.Call)):
            name = ast.unparse(call.func)
            keywords = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
            assert name not in ("eval", "exec", "os.system", "yaml.load"), path
            assert keywords.get("shell") != "True", path
            if name == "torch.load":
                assert keywords.get("weights_only") == "True", path
