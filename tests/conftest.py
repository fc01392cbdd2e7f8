"""What many tests share."""

from __future__ import annotations

import pytest
from commands import Shell


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
