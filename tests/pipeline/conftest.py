"""One finished run of the tiny sample, made once, and copies of it for tests that harm something."""

from __future__ import annotations

import shutil

import pytest
from commands import TinyShell


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory):
    """(shell, output) of a whole run, not to be harmed."""
    shell = TinyShell(tmp_path_factory.mktemp("tiny"))
    return shell, shell("luigi", "RunAll")


@pytest.fixture
def tiny(tiny_run, tmp_path):
    """A copy of the finished run in a folder of its own."""
    shell = TinyShell(tmp_path)
    shutil.copytree(tiny_run[0].artifacts, shell.artifacts, symlinks=True)
    return shell
