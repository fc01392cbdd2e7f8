"""One directory, one artifact: hashed, described by manifest.json, and moved into place by a single rename."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from types import MappingProxyType

from data.base.errors import DataError
from data.base.files import length
from data.base.hashes import sha256_file
from data.base.progress import Progress, portion, silent
from data.base.temporary import is_left
from tasks.contract.manifest import MANIFEST, MANIFEST_VERSION, File, Manifest, parse

DAMAGED = "damaged.txt"  # written beside the manifest when a wrong hash is seen; says what was seen


@dataclass(frozen=True)
class State:
    """What is in an artifact's place: `status` is complete, gone or damaged, `why` a clause for the user."""

    status: str
    why: str = ""
    manifest: Manifest | None = None


def describe(
    folder: Path, progress: Progress = silent, known: Mapping[str, str] = MappingProxyType({})
) -> dict[str, File]:
    """All files below `folder` by their relative names, the manifest left out; `progress` counts bytes.

    `known`: the sha256, by name, of files that were hashed already.
    """
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST)
    sizes = {path.relative_to(folder).as_posix(): path.stat().st_size for path in paths}
    return {
        name: File(size, known.get(name) or sha256_file(folder / name, told))
        for (name, size), told in zip(sizes.items(), _portions(progress, sizes.values()), strict=True)
    }


def _portions(progress: Progress, sizes: Iterable[int]) -> list[Progress]:
    """For each of several files, a progress that counts over all of them."""
    *before, total = accumulate(sizes, initial=0)
    return [portion(progress, size, total) for size in before]


def inspect(folder: Path, stage: str = "") -> State:
    """Look at an artifact without hashing: does the manifest parse, is every file there with its size?"""
    _restore(folder)
    if not os.path.lexists(folder):
        return State("gone", "never built")
    if not folder.is_dir():
        return State("damaged", f"damaged: {folder.name} is not a folder")
    try:
        manifest = parse((folder / MANIFEST).read_bytes())
    except FileNotFoundError:
        return State("damaged", f"damaged: no {MANIFEST}")
    except (OSError, ValueError, RecursionError):
        return State("damaged", f"damaged: {MANIFEST} can't be read")
    if stage and manifest.key.stage != stage:
        return State("damaged", f"damaged: {MANIFEST} is of {manifest.key.stage}, not of {stage}")
    if manifest.manifest_version != MANIFEST_VERSION:
        return State("damaged", f"damaged: {MANIFEST} has version {manifest.manifest_version}")
    why = _wrong_size(folder, manifest.files) or _marked(folder)
    return State("damaged", f"damaged: {why}", manifest) if why else State("complete", "", manifest)


def complete(folder: Path, stage: str = "") -> Manifest | None:
    """The manifest of a complete artifact (of `stage`), None for anything else."""
    state = inspect(folder, stage)
    return state.manifest if state.status == "complete" else None


def _wrong_size(folder: Path, files: dict[str, File]) -> str:
    for name, file in files.items():
        path = folder / name
        if not os.path.lexists(path):
            return f"{name} is missing"
        if not path.is_file():
            return f"{name} is not a file"
        if (size := path.stat().st_size) != file.size:
            return f"{name} has {size:,} bytes, manifest says {file.size:,}"
    return ""


def _marked(folder: Path) -> str:
    try:
        return (folder / DAMAGED).read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError):
        return f"{DAMAGED} is there and can't be read"


def verify(folder: Path, manifest: Manifest, progress: Progress = silent) -> list[str]:
    """Hash every file; name those whose bytes differ, and mark the artifact damaged if there are any.

    `progress` counts bytes.
    """
    wrong, files = [], manifest.files
    portions = _portions(progress, (file.size for file in files.values()))
    for (name, file), told in zip(files.items(), portions, strict=True):
        try:
            sha256 = sha256_file(folder / name, told)
        except DataError as error:
            wrong.append(str(error).removeprefix(f"{folder}{os.sep}"))
            continue
        if sha256 != file.sha256:
            wrong.append(f"{name} has sha256 {sha256[:16]}…, manifest says {file.sha256[:16]}…")
    if wrong:
        with suppress(OSError):  # the disk is full or read-only: the caller is still told
            (folder / DAMAGED).write_text("; ".join(wrong) + "\n", encoding="utf-8")
    return wrong


def sweep(final: Path) -> None:
    """Remove what dead processes left while they built `final`."""
    for pattern in (".tmp", ".old"):
        for folder in final.parent.glob(f"{pattern}-{final.name}-*"):
            if is_left(folder):
                remove(folder)


def size(path: Path) -> int:
    """Bytes below a path, links not followed; 0 where there is none. What is removed meanwhile does not count."""
    if path.is_symlink() or not path.is_dir():
        return length(path)
    return sum(length(Path(where, name)) for where, _, files in os.walk(path) for name in files)


def remove(folder: Path) -> None:
    """Delete a file or a tree, never what a link points to."""
    if folder.is_dir() and not folder.is_symlink():
        shutil.rmtree(folder, ignore_errors=True)
    else:
        folder.unlink(missing_ok=True)


def _restore(folder: Path) -> None:
    """Undo a replacement that was killed between its two renames: the old artifact goes back to its place."""
    if os.path.lexists(folder) or not os.path.isdir(folder.parent):
        return
    for old in sorted(folder.parent.glob(f".old-{folder.name}-*")):
        try:
            os.rename(old, folder)
        except OSError:
            continue  # another process restored it, or put the new one there
        return
