"""Commands run as a user types them, in a folder and with a luigi.cfg of their own."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent


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


# A light network in VGG-16's place: `make run` and tests/models run the real one.
SMALL = (
    "[experiment]\nbackbone = resnet18\nlayer = flatten\nhidden = 16\njoint = 32\nepochs = 2\n"
    "[compute]\nthreads = 2\n"
)


def tiny_catalog(folder: Path) -> Path:
    """The project's catalog with the sample cut down to a few pictures."""
    text = (ROOT / "data" / "catalog" / "catalog.toml").read_text(encoding="utf-8")
    path = folder / "catalog.toml"
    path.write_text(text.replace('made_by = "sample"', 'made_by = "tiny"'), encoding="utf-8")
    return path


class TinyShell(Shell):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.catalog = tiny_catalog(folder)
        self.configure("")

    def configure(self, more: str) -> None:
        super().configure(SMALL + more)

    def environment(self, **extra: str) -> dict[str, str]:
        return super().environment(VQA_CATALOG=str(self.catalog), **extra)

    def artifact(self, stage: str, part: str = "") -> Path:
        """The one artifact of a stage whose name contains `part`."""
        folders = [
            path for path in (self.artifacts / stage).iterdir() if part in path.name and path.name[0] != "."
        ]
        assert len(folders) == 1, folders
        return folders[0]

    def built(self, output: str) -> list[str]:
        """Stages that a run says it built, in order."""
        return [line.split()[2] for line in output.splitlines() if line.startswith("INFO: built")]


def pinned(shell: TinyShell, files: Path, base: str) -> None:
    """The project's catalog, with the sample stated as real data is: address, size, sha256, number of pictures."""
    text = (ROOT / "data" / "catalog" / "catalog.toml").read_text(encoding="utf-8")

    def state(match: re.Match[str]) -> str:
        path = files / match[1]
        lines = [
            f'urls = ["{base}{path.name}"]',
            f'file = "{path.name}"',
            f"bytes = {path.stat().st_size}",
            f'sha256 = "{hashlib.sha256(path.read_bytes()).hexdigest()}"',
        ]
        if path.name.startswith("sample-"):
            with zipfile.ZipFile(path) as archive:
                lines.append(f"images = {sum(name.endswith('.jpg') for name in archive.namelist())}")
        return "\n".join(lines)

    text, count = re.subn(r'made_by = "sample"\nfile = "(.+)"', state, text)
    assert count == 7
    shell.catalog.write_text(text, encoding="utf-8")
