"""A folder of pictures: what counts as one, which files there are, what the folder's identity is."""

from __future__ import annotations

import hashlib
import json
import os
import posixpath
from collections.abc import Iterator
from pathlib import Path

from data.base.errors import DataError
from data.base.files import PICTURE_BYTES
from data.base.hashes import KnownHashes
from data.base.progress import Progress, silent

PICTURES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff"})


def is_picture(name: str) -> bool:
    """By its extension; what macOS hides in archives (__MACOSX/, ._name) is not a picture."""
    parts = name.split("/")
    hidden = parts[-1].startswith(".") or "__MACOSX" in parts
    return not hidden and posixpath.splitext(parts[-1])[1].lower() in PICTURES


def folder_files(folder: Path) -> Iterator[str]:
    """Relative names (with /) of all files below a folder; links to folders are named, not followed."""

    def refuse(error: OSError) -> None:
        raise DataError(f"{error.filename}: can't be read: {error.strerror}")

    for where, folders, files in os.walk(folder, onerror=refuse):
        base = os.path.relpath(where, folder).replace(os.sep, "/") + "/"
        base = "" if base == "./" else base
        yield from (base + name for name in files)
        yield from (f"{base}{name}/" for name in folders if Path(where, name).is_symlink())


def folder_identity(path: Path, cache: Path, progress: Progress = silent) -> str:
    """sha256 over sorted (relative name, file sha256) of the pictures in a folder.

    The first call reads every picture, later ones what changed by size, mtime, ctime or inode.
    DataError if it holds none.
    """
    names = sorted(name for name in folder_files(path) if is_picture(name))
    if not names:
        raise DataError(f"{path}: no pictures in this folder; expected files that end in {_extensions()}")
    digest = hashlib.sha256()
    with KnownHashes(cache) as hashes:
        for done, name in enumerate(names, start=1):
            digest.update(json.dumps([name, hashes.of(path / name, largest=PICTURE_BYTES)]).encode() + b"\n")
            progress(done, len(names), f"hashing {path.name}")
    return digest.hexdigest()


def _extensions() -> str:
    return ", ".join(sorted(PICTURES))
