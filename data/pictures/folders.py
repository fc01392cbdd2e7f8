"""What counts as a picture, and which files a folder of pictures has."""

from __future__ import annotations

import os
import posixpath
import zipfile
from collections.abc import Iterator
from pathlib import Path

from data.base.errors import DataError
from data.base.picture_limits import PICTURES, unread_by_name

PROGRAMS_OWN = frozenset(
    {"__MACOSX", "@eaDir", "#recycle", "@Recycle", "$RECYCLE.BIN", "System Volume Information"}
)
"""Folders in which macOS, network drives and Windows keep what is theirs."""


def is_picture(name: str) -> bool:
    """Whether it is one, by its ending and its folders; `why_no_picture` says why not."""
    return not why_no_picture(name)


def why_no_picture(name: str) -> str:
    """Why a file of this path is not taken for a picture; "" for one that is."""
    ending = posixpath.splitext(name.rpartition("/")[2])[1]
    return why_hidden(name) or ("" if ending.lower() in PICTURES else _why_not_read(ending))


def why_hidden(name: str) -> str:
    """Why a file of this path is never a picture, whatever it holds: a program's own, or hidden."""
    *folders, file = name.split("/")
    for folder in folders:
        if folder in PROGRAMS_OWN:
            return f"is in {folder}, where a program keeps its own files"
        if folder.startswith("."):
            return f"is in the hidden folder {folder}"
    return "is hidden, as its name begins with a dot" if file.startswith(".") else ""


def _why_not_read(ending: str) -> str:
    if kind := unread_by_name(ending):
        return f"is {kind}, not decoded here: convert it to JPEG"
    return f"{f'ends in {ending}' if ending else 'has no ending'}, unlike pictures: rename it or convert it to JPEG"


def folder_files(folder: Path) -> Iterator[str]:
    """Relative names (with /) of all files below a folder; links to folders are named, not followed."""

    def refuse(error: OSError) -> None:
        raise DataError(f"{error.filename}: can't be read: {error.strerror}")

    for where, folders, files in os.walk(folder, onerror=refuse):
        base = os.path.relpath(where, folder).replace(os.sep, "/") + "/"
        base = "" if base == "./" else base
        yield from (base + name for name in files)
        yield from (f"{base}{name}/" for name in folders if Path(where, name).is_symlink())


def count_pictures(path: Path | None) -> int | None:
    """How many pictures a folder or a zip of your own has, by their names; None where nothing can be read there."""
    try:
        if path is None:
            return None
        if path.is_dir():
            return sum(map(is_picture, folder_files(path)))
        with zipfile.ZipFile(path) as archive:
            return sum(map(is_picture, archive.namelist()))
    except (DataError, OSError, zipfile.BadZipFile):
        return None


def expected_files() -> str:
    """What a message says was expected."""
    return "files that end in " + ", ".join(sorted(PICTURES))
