"""Which source a stage's result came from: so that `plan` can say 'source differs, version not bumped'."""

from __future__ import annotations

import ast
import hashlib
import sys
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def source_digest(stage: type) -> str:
    """Sha256 over the stage's file and every module of data/ and models/ that it imports, directly or not."""
    reached: set[Path] = set()
    pending = [Path(sys.modules[stage.__module__].__file__ or "")]
    while pending:
        path = pending.pop()
        if path not in reached:
            reached.add(path)
            pending.extend(_imports(path))
    digest = hashlib.sha256()
    for path in sorted(reached):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


@cache
def _imports(path: Path) -> tuple[Path, ...]:
    """Files of data/ and models/ that this file imports anywhere, inside functions too."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    ours = (name for name in names if name.startswith(("data.", "models.", "tasks.extraction.")))
    files = (ROOT / Path(*name.split(".")).with_suffix(".py") for name in ours)
    return tuple(file for file in files if file.is_file())
