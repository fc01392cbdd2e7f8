"""What `make` would install, by `make -n`: two ready marks, and the kind of torch that is named or there already."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys

import pytest
from commands import ROOT

INDEX = "--index-url https://download.pytorch.org/whl/"
TESTS = "--editable '.[test]'"


@pytest.fixture
def make(tmp_path):
    """Run make in a copy of the project that is a Makefile and no more: make("run", "TORCH=cpu") → what it would do."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)

    def run(*words, dry=True, code=0):
        command = ["make", f"PYTHON={sys.executable}", *(["-n"] if dry else []), *words]
        kept = {name: text for name, text in os.environ.items() if not name.startswith(("MAKE", "TORCH"))}
        done = subprocess.run(command, cwd=tmp_path, env=kept, capture_output=True, text=True)
        assert done.returncode == code, done.stderr
        return done.stdout + done.stderr

    return run


@pytest.fixture
def made(tmp_path, make):
    """made("cpu"): as if .venv had been made with TORCH=cpu."""

    def mark(torch):
        (tmp_path / ".venv").mkdir()
        (tmp_path / ".venv" / ".torch").write_text(torch + "\n")
        for name in (".ready", ".ready-test"):
            (tmp_path / ".venv" / name).touch()

    return mark


def test_running_and_testing_need_different_things(make):
    run, test = make("run"), make("test")
    assert TESTS not in run and "--editable .\n" in run and INDEX not in run
    assert test.index("--editable .\n") < test.index(TESTS)
    assert "--quiet" not in test
    assert "6.0 GB" in run and "make TORCH=cpu run" in run and "0.2 GB" in test


@pytest.mark.parametrize("kind", ["cpu", "cu126"])
def test_the_kind_that_is_named_comes_from_pytorch_s_index_and_nothing_else_does(make, kind):
    lines = make("run", f"TORCH={kind}").splitlines()
    [torch] = [line for line in lines if INDEX in line]
    assert torch.endswith(" --no-deps torch torchvision") and f"{INDEX}{kind} " in torch
    assert "--constraint constraints.txt" in torch
    assert lines.index(torch) < next(n for n, line in enumerate(lines) if line.endswith("--editable ."))
    assert ("1.1 GB" if kind == "cpu" else "6.0 GB") in "\n".join(lines)


@pytest.mark.parametrize("words", [(), ("TORCH=cpu",)], ids=str)
def test_the_kind_that_is_there_is_kept(make, made, tmp_path, words):
    made("cpu")
    assert "install" not in make("run", *words) and "install" not in make("test", *words)
    os.utime(tmp_path / "constraints.txt", (2e9, 2e9))
    again = make("run", *words)
    assert f"{INDEX}cpu" in again and "--force-reinstall" not in again


@pytest.mark.parametrize("before, after", [("", "cpu"), ("cpu", "cu126"), ("cu126", "")])
def test_another_kind_takes_the_place_of_the_one_that_is_there(make, made, before, after):
    made(before)
    said = make("run", f"TORCH={after}")
    assert re.search(rf"install .*{INDEX + after if after else ''} --force-reinstall --no-deps torch", said)
    assert (INDEX in said) == bool(after)
    assert "uninstall" in said and f"echo '{after}' > .venv/.torch" in said


def test_a_kind_that_there_is_not_is_one_line(make, tmp_path):
    said = make("run", "TORCH=2.0.0", dry=False, code=2)
    assert "error: TORCH=2.0.0: expected cpu, cu126 and the like" in said
    assert not (tmp_path / ".venv").exists()
