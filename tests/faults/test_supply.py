"""What the project is made of: bounded versions, one list of them, no network after installation, stated licences."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import sysconfig
import tomllib
import venv
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
    pins = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(name): version for name, version in pins}


@pytest.mark.parametrize(
    "requirement", [one for one in NEEDED + OPTIONAL if not STUBS.match(one.name)], ids=str
)
def test_a_next_major_release_is_not_taken_unseen(requirement):
    bounds = {each.operator for each in requirement.specifier}
    assert bounds & {"<", "<=", "==", "~="} and bounds & {">=", "==", "~="}


def test_make_installs_the_versions_that_the_tests_passed_with():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert re.search(r"^INSTALL := .*pip install .*--constraint constraints\.txt", makefile, re.MULTILINE)
    assert makefile.count("pip install") == 1  # by no other way
    assert re.search(r"^\$\(READY\): .*constraints\.txt", makefile, re.MULTILINE)
    versions = pinned()
    wanted = [*NEEDED, *(Requirement(text) for text in PROJECT["optional-dependencies"]["test"])]
    for requirement in wanted:
        version = versions.get(canonicalize_name(requirement.name))
        assert version and requirement.specifier.contains(Version(version)), requirement


def test_every_library_that_is_imported_is_stated():
    stated = {canonicalize_name(requirement.name) for requirement in NEEDED + OPTIONAL} | {"pil", "serve"}
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


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    pytest.importorskip("hatchling", reason="hatchling builds the package: it comes with make test")
    words = ["-m", "pip", "wheel", "--no-index", "--no-build-isolation", "--no-deps", "--quiet"]
    words += ["--disable-pip-version-check", "--wheel-dir", str(folder), str(ROOT)]
    result = offline([sys.executable, *words], folder, dict(os.environ))
    assert result.code == 0, result.output
    return next(folder.glob("*.whl"))


def test_it_is_built_without_a_network(wheel):
    with zipfile.ZipFile(wheel) as file:
        names = file.namelist()
    assert {"pipeline/__init__.py", "data/catalog/catalog.toml", "data/report/report.html.j2"} <= set(names)
    assert not [name for name in names if name.startswith("data/artifacts") or name.startswith("tests")]


@pytest.fixture
def installed(wheel, tmp_path):
    """A Python that has the package installed, beside the libraries of this one: installed(words, folder)."""
    venv.create(tmp_path / "venv", with_pip=False)
    [packages] = (tmp_path / "venv" / "lib").glob("python*/site-packages")
    with zipfile.ZipFile(wheel) as file:
        file.extractall(packages)
    (packages / "libraries.pth").write_text(sysconfig.get_path("purelib"))
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LUIGI_", "PYTHON"))}

    def run(*words, folder):
        folder.mkdir(exist_ok=True)
        command = [str(tmp_path / "venv" / "bin" / "python"), "-m", *words]
        return watched(command, folder, kept)

    return run


def test_installed_without_the_project_s_folder_it_works_from_an_empty_one(installed, tmp_path):
    """luigi.cfg's defaults come with the package; artifacts lie in the current folder, which the first line says."""
    empty = tmp_path / "empty"
    result = installed("luigi", "--module", "pipeline", "MakeSample", "--size", "tiny", folder=empty)
    assert result.code == 0, result.output
    assert (
        result.output.startswith(f"artifacts: {empty}/artifacts (")
        and (empty / "artifacts/make-sample").is_dir()
    )
    manifest = next(empty.glob("artifacts/make-sample/*/manifest.json"))
    assert json.loads(manifest.read_text())["commit"] is None
    mine = '[own.mine]\npictures = "photos"\nquestions = "qa.csv"\n'
    (empty / "mine.toml").write_text(mine)
    (empty / "luigi.cfg").write_text("[sources]\ndatasets = mine.toml\n")
    (empty / "photos").mkdir()
    (empty / "photos" / "cat.jpg").write_bytes(b"a picture")
    (empty / "qa.csv").write_text("a table\nof another kind\n")
    result = installed("luigi", "--module", "pipeline", "ConvertOwnData", "--dataset", "mine", folder=empty)
    assert result.output.startswith(f"artifacts: {empty}/artifacts (")
    assert result.code == 30, result.output  # [retcode]: Luigi's own is 0
    result = installed("pipeline", "verify", folder=empty)
    assert result.code == 0 and "ok       make-sample/tiny-" in result.output


def test_installed_a_luigi_cfg_of_your_own_says_where(installed, tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "luigi.cfg").write_text("[paths]\nartifacts = there\n")
    result = installed("pipeline", "runs", folder=folder)
    assert result.output.startswith(f"no trained model in {folder}/there;")


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
    citations = cited()
    assert len(citations) > 50
    names = {}
    for file, name in citations:
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
