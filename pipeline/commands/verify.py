"""`python -m pipeline verify`: hash every artifact, name what differs."""

from __future__ import annotations

import argparse
from pathlib import Path

from data.base.words import show
from tasks.contract import artifacts
from tasks.contract.manifest import MANIFEST
from tasks.library import inventory
from tasks.setup import settings
from tasks.setup.stage_progress import StageProgress


def differences(paths: list[Path]) -> dict[Path, list[str]]:
    """Hash every file of these artifacts: {path: what differs}, an empty list where all is well. Marks the damaged."""
    by_path: dict[Path, list[str]] = {}
    with StageProgress(None, "verify", "bytes") as progress:
        for path in paths:
            by_path[path] = _differences_of(path, progress)
    return by_path


def _differences_of(path: Path, progress: StageProgress) -> list[str]:
    state = artifacts.inspect(path)
    if state.status != "complete" or state.manifest is None:
        return [state.why]
    wrong = artifacts.verify(path, state.manifest, progress)
    if not path.name.endswith(state.manifest.key.fingerprint):
        wrong.append(f"damaged: {MANIFEST} is of another artifact")
    return wrong


def verify(_: argparse.Namespace) -> int:
    """Print one line an artifact, those that differ last; exit code 1 where any does."""
    base, by_path = settings.artifacts_folder(), differences(list(inventory.all_artifacts()))
    if not by_path:
        show(f"{_nothing(base)}: nothing to verify; [paths] artifacts in luigi.cfg says which folder it is")
        return 0
    for path, wrong in sorted(by_path.items(), key=lambda entry: bool(entry[1])):
        show(f"{'DIFFERS' if wrong else 'ok':8} {path.relative_to(base)} {'; '.join(wrong)}".rstrip())
    if not (bad := sum(map(bool, by_path.values()))):
        show(f"all artifacts in {base} are as their manifests say")
        return 0
    again = "the commands that made them make them again, and nothing else; plan says which stages"
    show(f"{bad:,} of {len(by_path):,} artifacts in {base} differ: {again}")
    return 1


def _nothing(base: Path) -> str:
    """Why there is no artifact in a folder."""
    if not base.exists():
        return f"{base} does not exist"
    return f"{base} holds no artifacts" if any(base.iterdir()) else f"{base} is empty"
