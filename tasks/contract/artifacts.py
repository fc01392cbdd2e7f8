"""One directory, one artifact: hashed, described by manifest.json, and moved into place by a single rename."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatch
from itertools import accumulate
from pathlib import Path
from typing import Any

from data.base.errors import DataError
from data.base.files import length
from data.base.hashes import sha256_file
from data.base.progress import Progress, portion, silent
from tasks.contract.liveness import is_alive

MANIFEST = "manifest.json"
MANIFEST_VERSION = 1
DAMAGED = "damaged.txt"  # written beside the manifest by whoever saw a wrong hash; holds what was seen


@dataclass(frozen=True)
class State:
    """What stands in an artifact's place: `status` is complete, gone or damaged, `why` a clause for the user."""

    status: str
    why: str = ""
    manifest: dict[str, Any] | None = None


def describe(folder: Path, progress: Progress = silent) -> dict[str, dict[str, Any]]:
    """{relative name: {size, sha256}} of all files below `folder`, the manifest left out; `progress` counts bytes."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST)
    sizes = {path: path.stat().st_size for path in paths}
    return {
        path.relative_to(folder).as_posix(): {"size": sizes[path], "sha256": sha256_file(path, told)}
        for path, told in zip(paths, _portions(progress, sizes.values()), strict=True)
    }


def _portions(progress: Progress, sizes: Iterable[int]) -> list[Progress]:
    """For each of several files, what tells how far all of them are."""
    *before, total = accumulate(sizes, initial=0)
    return [portion(progress, size, total) for size in before]


def fingerprint(key: dict[str, Any]) -> str:
    """Sixteen hex digits for all that decides an artifact's content; its folder's name ends in them."""
    return hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]


def digest(files: dict[str, dict[str, Any]], extras: Iterable[str]) -> str:
    """One hash over the names and hashes of the result files; what matches a pattern of `extras` does not count."""
    results = {
        name: entry["sha256"]
        for name, entry in sorted(files.items())
        if not any(fnmatch(name, pattern) for pattern in extras)
    }
    return hashlib.sha256(json.dumps(results).encode()).hexdigest()


def inspect(folder: Path, stage: str = "") -> State:
    """Look at an artifact without hashing: does the manifest parse, is every file there with its size?"""
    _restore(folder)
    if not os.path.lexists(folder):
        return State("gone", "never built")
    if not folder.is_dir():
        return State("damaged", f"damaged: {folder.name} is not a folder")
    try:
        manifest = json.loads((folder / MANIFEST).read_bytes())
    except FileNotFoundError:
        return State("damaged", f"damaged: no {MANIFEST}")
    except (OSError, ValueError, RecursionError):
        return State("damaged", f"damaged: {MANIFEST} can't be read")
    if not _well_formed(manifest):
        return State("damaged", f"damaged: {MANIFEST} can't be read")
    files, found = manifest["files"], manifest["key"]["stage"]
    if stage and found != stage:
        return State("damaged", f"damaged: {MANIFEST} is of {found}, not of {stage}")
    if manifest.get("manifest_version") != MANIFEST_VERSION:
        return State("damaged", f"damaged: {MANIFEST} has version {manifest.get('manifest_version')}")
    why = _wrong_size(folder, files) or _marked(folder)
    return State("damaged", f"damaged: {why}", manifest) if why else State("complete", "", manifest)


def complete(folder: Path, stage: str = "") -> dict[str, Any] | None:
    """The manifest of a complete artifact (of `stage`), None for anything else."""
    state = inspect(folder, stage)
    return state.manifest if state.status == "complete" else None


def _well_formed(manifest: Any) -> bool:
    """Has it the fields, of the types, that later code reads without a further look?"""
    number: Any = (int, float)
    fields: dict[str, Any] = {
        "key": dict,
        "files": dict,
        "digest": str,
        "inputs": dict,
        "facts": dict,
        "warnings": list,
    }
    fields |= {"started": number, "finished": number, "seconds": number}
    of_key = {"stage": str, "version": int, "parameters": dict, "upstream": dict}
    of_file = {"size": int, "sha256": str}
    return (
        _has(manifest, fields)
        and _has(manifest["key"], of_key)
        and bool(manifest["files"])
        and all(_has(entry, of_file) for entry in manifest["files"].values())
        and all(_has(entry, {"path": str, "digest": str}) for entry in manifest["inputs"].values())
    )


def _has(value: Any, fields: dict[str, Any]) -> bool:
    return isinstance(value, dict) and all(isinstance(value.get(name), kind) for name, kind in fields.items())


def _wrong_size(folder: Path, files: dict[str, dict[str, Any]]) -> str:
    for name, entry in files.items():
        path = folder / name
        if not os.path.lexists(path):
            return f"{name} is missing"
        if not path.is_file():
            return f"{name} is not a file"
        if (size := path.stat().st_size) != entry["size"]:
            return f"{name} has {size:,} bytes, manifest says {entry['size']:,}"
    return ""


def _marked(folder: Path) -> str:
    try:
        return (folder / DAMAGED).read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError):
        return f"{DAMAGED} is there and can't be read"


def verify(folder: Path, manifest: dict[str, Any], progress: Progress = silent) -> list[str]:
    """Hash every file; name those whose bytes differ, and mark the artifact damaged if there are any.

    `progress` counts bytes.
    """
    wrong, files = [], manifest["files"]
    portions = _portions(progress, (entry["size"] for entry in files.values()))
    for (name, entry), told in zip(files.items(), portions, strict=True):
        try:
            found = sha256_file(folder / name, told)
        except DataError as error:
            wrong.append(str(error).removeprefix(f"{folder}{os.sep}"))
            continue
        if found != entry["sha256"]:
            wrong.append(f"{name} has sha256 {found[:16]}…, manifest says {entry['sha256'][:16]}…")
    if wrong:
        with suppress(OSError):  # a disk that is full, or that one may only read: it is still told
            (folder / DAMAGED).write_text("; ".join(wrong) + "\n", encoding="utf-8")
    return wrong


def write_json(path: Path, value: Any) -> None:
    """UTF-8, indented, sorted keys, a newline at the end: readable, and the same bytes every time."""
    path.write_text(json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")


def sweep(final: Path) -> None:
    """Remove what dead processes left while they built `final`."""
    for pattern in (".tmp", ".old"):
        for folder in final.parent.glob(f"{pattern}-{final.name}-*"):
            if not is_alive(folder):
                remove(folder)


def size(path: Path) -> int:
    """Bytes below a path, links not followed; 0 where there is none. What another process removes does not count."""
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
