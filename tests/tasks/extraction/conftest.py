"""What the tests of both engines compare with."""

from __future__ import annotations

from pathlib import Path

import pytest
from extractions import draw_pictures, finished, make

from tasks.extraction.engines import run_shards


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_pictures(tmp_path_factory.mktemp("pictures"))


@pytest.fixture(scope="session")
def reference(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """features.h5 of an undisturbed local run."""
    extraction = make(folder, tmp_path_factory.mktemp("reference"))
    seen: list[tuple[int, int]] = []
    settings = run_shards(extraction, progress=lambda done, total, note="": seen.append((done, total)))
    assert seen[0] == (0, 24) and seen[-1] == (24, 24) and seen == sorted(seen)
    return finished(extraction, settings)
