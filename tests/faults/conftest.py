"""What several tests share: a run that nothing happens to, and a room to put odd files into."""

from __future__ import annotations

from pathlib import Path

import pytest
from faults.harness import undisturbed

from data.catalog import sources


@pytest.fixture(scope="session")
def usual(tmp_path_factory):
    """A whole run of the tiny sample that nothing happened to, with its times. Not to be harmed."""
    return undisturbed(tmp_path_factory.mktemp("undisturbed"))


@pytest.fixture
def room(tmp_path, monkeypatch, artifacts):
    """An empty current folder, and a catalog and settings to which things can be added."""
    from luigi import configuration

    (tmp_path / "room").mkdir()
    monkeypatch.chdir(tmp_path / "room")
    monkeypatch.setattr(sources, "_added", [])
    yield Path()
    for option in ("mirror", "datasets"):
        configuration.get_config().remove_option("sources", option)
