"""What many tests share: an artifacts folder of their own, and commands run as a user types them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent


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


class Shell:
    """Runs the installed commands from a folder of its own, with a luigi.cfg of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.artifacts = folder / "artifacts"
        self.config = folder / "luigi.cfg"
        self.configure("")

    def configure(self, more: str) -> None:
        self.config.write_text(f"[paths]\nartifacts = {self.artifacts}\n{more}")

    def environment(self, **extra: str) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith("LUIGI_")}
        return kept | {"OMP_NUM_THREADS": "2"} | extra

    def command(self, *words: object) -> list[str]:
        first, *rest = map(str, words)
        if first == "pipeline":
            return [sys.executable, "-m", "pipeline", *rest]
        extra = ["--module", "pipeline"] if first in ("luigi", "luigi-deps-tree") else []
        return [str(BIN / first), *extra, *rest]

    def start(self, *words: object, **extra: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command(*words),
            cwd=self.folder,
            env=self.environment(**extra),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def __call__(self, *words: object, code: int | None = 0, **extra: str) -> str:
        """Run to the end; the exit code must be `code` (None: any). Returns what it printed."""
        process = self.start(*words, **extra)
        output, _ = process.communicate(timeout=280)
        assert code is None or process.returncode == code, output
        return output


@pytest.fixture
def shell(tmp_path):
    return Shell(tmp_path)
