"""The layout's promises, read from the sources: imports run downward, nothing heavy while the graph is built."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("pipeline", "tasks", "models", "data")
MAY_IMPORT = {
    "pipeline": ("pipeline", "tasks", "models", "data"),
    "tasks": ("tasks", "models", "data"),
    "models": ("models", "data.base"),
    "data": ("data",),
    "data.base": ("data.base",),
    "tasks.extraction": ("tasks.extraction", "tasks.setup.process", "models", "data"),
}
"""Folder: what its files may import of the project. The longest name that fits a file counts."""

MUST_NOT_KNOW = {
    "data": {"luigi", "torch", "torchvision"},
    "models": {"luigi"},
    "tasks.extraction": {"luigi"},
}
LONGEST = 300
GROWING = {"models.backbones.names"}  # by an entry for each backbone
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


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def sources() -> list[Path]:
    """Every file of the four rooms, however deep; what runs leave in data/artifacts is not ours."""
    paths = [path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))]
    return [path for path in paths if not path.is_relative_to(ROOT / "data" / "artifacts")]


FILES = {module_name(path): path for path in sources()}


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imported(node: ast.AST) -> set[str]:
    """Names of the modules that the statements below a node import; `from a import b` names a.b where that is one."""
    names: set[str] = set()
    for inner in ast.walk(node):
        if isinstance(inner, ast.Import):
            names |= {alias.name for alias in inner.names}
        elif isinstance(inner, ast.ImportFrom) and inner.module:
            whole = {f"{inner.module}.{alias.name}" for alias in inner.names}
            names |= {name if name in FILES else inner.module for name in whole}
    return names


def within(name: str, folder: str) -> bool:
    return name == folder or name.startswith(folder + ".")


def strictest(name: str, rules: dict[str, object]) -> str | None:
    return max((folder for folder in rules if within(name, folder)), key=len, default=None)


def test_the_rooms_are_read_whole():
    """A file that moves into a folder of its own is still guarded."""
    assert len(FILES) > 100 and {name.count(".") for name in FILES} >= {1, 2, 3}


@pytest.mark.parametrize("name", FILES)
def test_imports_run_downward(name):
    allowed = MAY_IMPORT[strictest(name, MAY_IMPORT)]
    ours = {other for other in imported(tree(FILES[name])) if other.split(".")[0] in ROOMS}
    assert not {other for other in ours if not any(within(other, folder) for folder in allowed)}


def test_no_file_imports_one_that_imports_it():
    """Not even by way of others, and not inside functions either."""
    needs = {name: (imported(tree(path)) & FILES.keys()) - {name} for name, path in FILES.items()}
    try:
        TopologicalSorter(needs).prepare()
    except CycleError as error:
        pytest.fail(" → ".join(error.args[1]))


@pytest.mark.parametrize("name", FILES)
def test_what_a_floor_must_not_know(name):
    rules = (banned for folder, banned in MUST_NOT_KNOW.items() if within(name, folder))
    packages = {other.split(".")[0] for other in imported(tree(FILES[name]))}
    assert not packages & set().union(*rules)


def test_the_base_is_standard_library_only():
    for name, path in FILES.items():
        if within(name, "data.base"):
            outside = {
                other for other in imported(tree(path)) if other.split(".")[0] not in sys.stdlib_module_names
            }
            assert all(within(other, "data.base") for other in outside), name


def test_files_fit_a_few_screens():
    lengths = {name: len(path.read_text(encoding="utf-8").splitlines()) for name, path in FILES.items()}
    assert not {name: lines for name, lines in lengths.items() if lines > LONGEST and name not in GROWING}


def test_no_two_files_have_one_name():
    """`names` is the same thing in its two rooms: the table that can be read without torch."""
    stems = [path.stem for path in FILES.values() if path.stem not in ("__init__", "__main__", "names")]
    assert not {stem for stem in stems if stems.count(stem) > 1}


def test_nothing_heavy_is_imported_with_the_pipeline():
    code = f"import sys, pipeline.__main__; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_packages_are_ours():
    for room in ROOMS:
        assert Path(importlib.import_module(room).__file__).parent == ROOT / room


def test_nothing_that_could_execute_data_is_used():
    for path in FILES.values():
        nodes = tree(path)
        assert not imported(nodes) & {"pickle", "shelve", "marshal", "dill", "joblib", "yaml"}, path
        for call in (node for node in ast.walk(nodes) if isinstance(node, ast.Call)):
            name = ast.unparse(call.func)
            keywords = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
            assert name not in ("eval", "exec", "os.system", "yaml.load"), path
            assert keywords.get("shell") != "True", path
            if name == "torch.load":
                assert keywords.get("weights_only") == "True", path


def test_one_place_hashes_files():
    for name, path in FILES.items():
        for call in (node for node in ast.walk(tree(path)) if isinstance(node, ast.Call)):
            hashes = ast.unparse(call.func) in ("hashlib.file_digest", "hashlib.sha256")
            if hashes and name != "data.base.hashes":
                assert "file_digest" not in ast.unparse(call) and "read" not in ast.unparse(call), name


def test_one_file_asks_whether_a_process_lives():
    for name, path in FILES.items():
        for call in (node for node in ast.walk(tree(path)) if isinstance(node, ast.Call)):
            if ast.unparse(call.func) == "os.kill" and ast.unparse(call.args[1]) == "0":
                assert name == "data.base.temporary"


def test_manifests_are_read_by_name_and_never_by_subscripts():
    for name, path in FILES.items():
        for node in (node for node in ast.walk(tree(path)) if isinstance(node, ast.Subscript)):
            assert ast.unparse(node.value).split(".")[-1] != "manifest", name


def test_one_place_prints_and_errors_are_given_in_lines():
    """A line break that stands in an error's text can't be told from one that stood in a file's name."""
    errors = ("DataError", "ModelError", "StageError", "ContentError")
    for name, path in FILES.items():
        for call in (node for node in ast.walk(tree(path)) if isinstance(node, ast.Call)):
            function = ast.unparse(call.func)
            assert function != "print" or name == "data.base.words", name
            assert function not in errors or r"\n" not in " ".join(map(ast.unparse, call.args)).replace(
                r".split('\n')", ""
            ), name


def test_what_is_defined_is_used_by_more_than_tests():
    """A function, a class or a value of a module that only tests name is code that nobody runs."""
    defined: dict[str, str] = {}
    used: set[str] = set()
    for name, path in FILES.items():
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                defined[node.name] = name
                if "replaces" in {target.id for target in ast.walk(node) if isinstance(target, ast.Name)}:
                    used.add(node.name)  # a stage that is found by what it takes the place of
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
                used.add(node.id)
            elif isinstance(node, ast.Attribute):
                used.add(node.attr)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                used.add(node.value)
        for node in tree(path).body:
            targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
            defined |= {target.id: name for target in targets if isinstance(target, ast.Name)}
    others = [*(ROOT / "data" / "report").glob("*.j2"), ROOT / "luigi.cfg"]
    named = "\n".join(path.read_text(encoding="utf-8") for path in others)
    by_torch = {"forward"}
    idle = {
        name: where
        for name, where in defined.items()
        if name not in used | by_torch and not name.startswith("__") and not re.search(rf"\b{name}\b", named)
    }
    assert not idle
