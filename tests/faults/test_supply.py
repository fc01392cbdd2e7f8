"""What the project is made of: bounded versions, one list of them, no network after installation, stated licences."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from commands import ROOT, TinyShell
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
from watched import watched

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
NEEDED = [Requirement(text) for text in PROJECT["dependencies"]]
OPTIONAL = [Requirement(text) for extra in PROJECT["optional-dependencies"].values() for text in extra]
STUBS = re.compile(r"types-")  # they follow the library that they describe


def pinned() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    found = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(name): version for name, version in found}


@pytest.mark.parametrize(
    "requirement", [one for one in NEEDED + OPTIONAL if not STUBS.match(one.name)], ids=str
)
def test_a_next_major_release_is_not_taken_unseen(requirement):
    bounds = {each.operator for each in requirement.specifier}
    assert bounds & {"<", "<=", "==", "~="} and bounds & {">=", "==", "~="}


def test_make_installs_the_versions_that_the_tests_passed_with():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert re.search(r"pip install .*--constraint constraints\.txt", makefile)
    assert re.search(r"^\$\(READY\): .*constraints\.txt", makefile, re.MULTILINE)
    versions = pinned()
    wanted = [*NEEDED, *(Requirement(text) for text in PROJECT["optional-dependencies"]["test"])]
    for requirement in wanted:
        version = versions.get(canonicalize_name(requirement.name))
        assert version and requirement.specifier.contains(Version(version)), requirement


def test_every_library_that_is_imported_is_stated():
    stated = {canonicalize_name(one.name) for one in NEEDED + OPTIONAL} | {"pil", "serve"}
    ours = {"pipeline", "tasks", "models", "data"}
    for room in sorted(ours):
        for path in (ROOT / room).glob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
                roots = (
                    {name.split(".")[0] for name in names} - ours - sys.stdlib_module_names - {"__future__"}
                )
                assert {canonicalize_name(name) for name in roots} <= stated, path


# ----------------------------------------------------------------------------------------- without a network


def offline(words: list[str], folder: Path, environment: dict[str, str]):
    """The command in a network namespace of its own, which has no way out and not even 127.0.0.1."""
    if watched(["unshare", "-n", "true"], folder, environment).code:
        pytest.skip("a network namespace (unshare -n) is not permitted here")
    return watched(["unshare", "-n", *words], folder, environment)


@pytest.mark.slow
def test_it_is_built_without_a_network(tmp_path):
    pytest.importorskip("hatchling", reason="hatchling builds the package: it comes with make")
    words = ["-m", "pip", "wheel", "--no-index", "--no-build-isolation", "--no-deps", "--quiet"]
    words += ["--disable-pip-version-check", "--wheel-dir", str(tmp_path), str(ROOT)]
    result = offline([sys.executable, *words], tmp_path, dict(os.environ))
    assert result.code == 0, result.output
    [wheel] = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as file:
        names = file.namelist()
    assert {"pipeline/__init__.py", "data/catalog/catalog.toml", "data/report/report.html.j2"} <= set(names)
    assert not [name for name in names if name.startswith("data/artifacts") or name.startswith("tests")]


# Every socket that any process of the run binds or connects, by Python's own audit of them.
AUDIT = """
import sys
def hook(event, args):
    if event in ("socket.bind", "socket.connect") and isinstance(args[1], tuple):
        with open({log!r}, "a") as file:
            print(event, args[1], file=file)
sys.addaudithook(hook)
"""


@pytest.mark.slow
def test_a_run_needs_no_network_and_opens_no_port(tmp_path):
    shell, log = TinyShell(tmp_path), tmp_path / "sockets.log"
    (tmp_path / "audit").mkdir()
    (tmp_path / "audit" / "sitecustomize.py").write_text(AUDIT.format(log=str(log)))
    environment = shell.environment(PYTHONPATH=str(tmp_path / "audit"))
    result = offline(shell.command("luigi", "RunAll", "--workers", 2), tmp_path, environment)
    assert result.code == 0, result.output
    seen = set(log.read_text().splitlines()) if log.exists() else set()
    assert seen <= {"socket.bind ('::1', 0)"}  # urllib3 asks whether there is IPv6; it does not listen
    probe = "import socket; s = socket.socket(); s.bind(('127.0.0.1', 0))"
    assert subprocess.run([sys.executable, "-c", probe], env=environment).returncode == 0
    assert "socket.bind ('127.0.0.1', 0)" in log.read_text()  # the audit does see them


# -------------------------------------------------------------------------------------------------- licences


def test_the_licence_of_everything_in_the_catalog_is_stated():
    page = (ROOT / "docs" / "licences.md").read_text(encoding="utf-8")
    catalog = tomllib.loads((ROOT / "data" / "catalog" / "catalog.toml").read_text(encoding="utf-8"))
    licences = {entry["licence"] for entry in _tables(catalog) if "licence" in entry}
    assert len(licences) > 3
    for licence in licences:
        assert licence in page, licence
    for requirement in NEEDED:
        assert f"| {requirement.name} |" in page, requirement.name


def _tables(value):
    if isinstance(value, dict):
        yield value
        for inner in value.values():
            yield from _tables(inner)


# ----------------------------------------------------------------------------- docs/reliability.md as it is


def cited() -> list[tuple[str, str]]:
    """(file, test) of everything that the table of docs/reliability.md names as tests/...::name."""
    page = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    return re.findall(r"(tests/[\w/]+\.py)::(\w+)", page)


def test_every_test_that_reliability_cites_exists():
    found = cited()
    assert len(found) > 50
    names = {}
    for file, name in found:
        assert (ROOT / file).is_file(), file
        if file not in names:
            tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
            names[file] = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
        assert name in names[file], f"{file} has no {name}"


def test_every_row_of_the_table_cites_a_test():
    page = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line.startswith("| ") and not line.startswith("| fault")]
    without = [row for row in rows if "::test_" not in row and "not tested" not in row]
    assert len(rows) > 30 and not without
