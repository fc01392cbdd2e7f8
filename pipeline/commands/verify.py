"""`python -m pipeline verify`: hash every artifact, name what differs."""

from __future__ import annotations

import argparse
from pathlib import Path

from tasks.contract import artifacts
from tasks.library import inventory
from tasks.setup import settings


def differences(paths: list[Path]) -> dict[Path, list[str]]:
    """Hash every file of these artifacts: {path: what differs}, an empty list where all is well. Marks the damaged."""
    found: dict[Path, list[str]] = {}
    for path in paths:
        state = artifacts.inspect(path)
        if state.status == "complete" and state.manifest:
            found[path] = artifacts.verify(path, state.manifest)
            if not path.name.endswith(artifacts.fingerprint(state.manifest["key"])):
                found[path].append(f"damaged: {artifacts.MANIFEST} is of another artifact")
        else:
            found[path] = [state.why]
    return found


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
