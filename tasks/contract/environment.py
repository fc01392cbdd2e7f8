"""What a result was made with: library versions and the project's commit, without importing anything heavy."""

from __future__ import annotations

import platform
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from tasks.setup.config_files import INSTALLED, PROJECT

LIBRARIES = ("torch", "torchvision", "numpy", "pillow", "h5py", "luigi", "nltk", "msgspec", "safetensors")


@cache
def environment() -> dict[str, Any]:
    """{'versions': {...}, 'commit': ...} for the manifest."""
    versions = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return {"versions": versions, "commit": _commit(), "platform": platform.platform()}


def _commit() -> str | None:
    """The project's git commit, with '+' where files differ from it; None outside a checkout."""
    if INSTALLED:  # a repository around it would be another project's
        return None
    try:
        head = _git("rev-parse", "HEAD")
        return head + ("+" if _git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _git(*arguments: str) -> str:
    # `status` would lock the index to refresh it, and a run that is killed meanwhile would leave the lock behind.
    done = subprocess.run(
        ["git", "--no-optional-locks", "-C", str(PROJECT), *arguments],
        capture_output=True,
        text=True,
        timeout=10,
        check=True,
    )
    return done.stdout.strip()
