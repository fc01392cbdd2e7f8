"""The identity of your own pictures: the same pictures under the same names are the same set, wherever they lie."""

from __future__ import annotations

import hashlib
import json
import posixpath
from pathlib import Path

from data.base.errors import DataError
from data.base.files import PICTURE_BYTES
from data.base.hashes import KnownHashes
from data.base.picture_limits import PICTURES
from data.base.progress import Progress, silent
from data.pictures.folders import PROGRAMS_OWN, expected_files, folder_files, is_picture

_FIRST = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff")


def pictures_identity(path: Path, cache: Path, progress: Progress = silent) -> str:
    """The identity of a folder or a zip of pictures. `cache` remembers hashes (JSON)."""
    return (folder_identity if path.is_dir() else zip_identity)(path, cache, progress)


def folder_identity(path: Path, cache: Path, progress: Progress = silent) -> str:
    """sha256 over sorted (relative name, file sha256) of the pictures in a folder.

    The first call reads every picture, later ones what changed by size, mtime, ctime or inode.
    DataError if it holds none.
    """
    names = sorted(name for name in folder_files(path) if is_picture(name))
    if not names:
        raise DataError(f"{path}: no pictures in this folder; expected {expected_files()}")
    digest = hashlib.sha256()
    with KnownHashes(cache) as hashes:
        for done, name in enumerate(names, start=1):
            digest.update(json.dumps([name, hashes.of(path / name, largest=PICTURE_BYTES)]).encode() + b"\n")
            progress(done, len(names), f"hashing {path.name}")
    return digest.hexdigest()


def zip_identity(path: Path, cache: Path, progress: Progress = silent) -> str:
    """A zip's sha256 if its pictures are those that the first list of endings finds; else another digest.

    So a longer list changes the identity only of zips in which it finds other pictures.
    """
    rule = json.dumps([sorted(PICTURES), sorted(PROGRAMS_OWN)])
    with KnownHashes(cache) as hashes:
        sha256 = hashes.of(path, progress)
        what = f"pictures by {hashlib.sha256(rule.encode()).hexdigest()[:16]}"
        moved = hashes.about(path, what, lambda: _told_otherwise(path))
    return hashlib.sha256(f"{sha256} {moved}".encode()).hexdigest() if moved else sha256


def _told_otherwise(path: Path) -> str:
    """A digest of the names that the first list judges differently; "" where there are none."""
    from data.containers.archives import Archive

    names = sorted(name for name in Archive(path).names if is_picture(name) != _first_told(name))
    return hashlib.sha256(json.dumps(names).encode()).hexdigest() if names else ""


def _first_told(name: str) -> bool:
    """Whether a name counted as a picture before more formats were added and hidden folders were left out."""
    parts = name.split("/")
    hidden = parts[-1].startswith(".") or "__MACOSX" in parts
    return not hidden and posixpath.splitext(parts[-1])[1].lower() in _FIRST
