"""What many tests share."""

from __future__ import annotations

import shutil

import pytest
from commands import Shell, TinyShell

from data.base.garbage import collect_rarely

collect_rarely()  # as commands do: torch and Keras are imported here, and stages run


@pytest.fixture
def artifacts(tmp_path, monkeypatch):
    """An empty artifacts folder for stages run in this process."""
    import luigi
    from luigi import configuration

    import pipeline  # noqa: F401

    config = configuration.get_config()
    before = config.get("paths", "artifacts", None)
    folder = tmp_path / "artifacts"
    config.set("paths", "artifacts", str(folder))
    luigi.Task.clear_instance_cache()
    yield folder
    if before is None:
        config.remove_option("paths", "artifacts")
    else:
        config.set("paths", "artifacts", before)
    luigi.Task.clear_instance_cache()


@pytest.fixture
def shell(tmp_path):
    return Shell(tmp_path)


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory):
    """(shell, output) of a whole run of the tiny sample, made once and not to be harmed."""
    shell = TinyShell(tmp_path_factory.mktemp("tiny"))
    return shell, shell("luigi", "RunAll")


@pytest.fixture
def tiny(tiny_run, tmp_path):
    """A copy of the finished run in a folder of its own, for tests that harm something."""
    shell = TinyShell(tmp_path)
    ours = shutil.ignore_patterns(".run-*")  # this process may have noted there what it needs
    shutil.copytree(tiny_run[0].artifacts, shell.artifacts, symlinks=True, ignore=ours)
    return shell
