"""`python -m pipeline verify`: hash every artifact, name what differs."""

from __future__ import annotations

import argparse
from pathlib import Path

from tasks.contract import artifacts
from tasks.library import inventory
from tasks.setup import settings
from tasks.setup.stage_progress import StageProgress


def differences(paths: list[Path]) -> dict[Path, list[str]]:
    """Hash every file of these artifacts: {path: what differs}, an empty list where all is well. Marks the damaged."""
    found: dict[Path, list[str]] = {}
    with StageProgress(None, "verify", "bytes") as progress:
        for path in paths:
            found[path] = _differences_of(path, progress)
    return found


def _differences_of(path: Path, progress: StageProgress) -> list[str]:
    state = artifacts.inspect(path)
    if state.status != "complete" or state.manifest is None:
        return [state.why]
    wrong = artifacts.verify(path, state.manifest, progress)
    if not path.name.endswith(artifacts.fingerprint(state.manifest["key"])):
        wrong.append(f"damaged: {artifacts.MANIFEST} is of another artifact")
    return wrong


def verify(_: argparse.Namespace) -> int:
    """Print one line an artifact; exit code 1 where anything differs."""
    bad = 0
    base = settings.artifacts_folder()
    for path, wrong in differences(list(inventory.all_artifacts())).items():
        bad += bool(wrong)
        print(f"{'DIFFERS' if wrong else 'ok':8} {path.relative_to(base)} {'; '.join(wrong)}".rstrip())
    print(
        f"{bad} of the artifacts in {base} differ"
        if bad
        else f"all artifacts in {base} are as their manifests say"
    )
    return 1 if bad else 0
