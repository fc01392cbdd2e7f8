"""What the user already has: found, hashed once, used in place.

Standard library only: stages ask here while Luigi builds its graph.
"""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

from data.base.errors import DataError
from data.base.files import FILE_BYTES, WEIGHTS_BYTES, check_plain, open_plain
from data.base.hashes import sha256_file
from data.base.progress import Progress, silent
from data.catalog.entries import Source

WEIGHTS = (".pth", ".safetensors")


def file_path(url: str) -> Path | None:
    """The path that a file:// address names, None for any other address."""
    parts = urlsplit(url)
    if parts.scheme != "file":
        return None
    if parts.netloc not in ("", "localhost"):
        raise DataError(f"{url}: names the machine {parts.netloc!r}; write file:///absolute/path")
    return Path(url2pathname(unquote(parts.path)) if os.name == "nt" else unquote(parts.path))


def local_copy(source: Source, mirror: str | None = None, *, unpacked: bool = False) -> Path | None:
    """The user's own copy, used where it is: the source's `path`, or what a file:// mirror holds by name.

    `unpacked`: also a folder of the archive's name without .zip (train2014/ for train2014.zip). None if there
    is none. DataError where something else lies there, or what can't be the file by its first or last bytes.
    """
    if source.path is not None:
        if not os.path.lexists(source.path):
            raise DataError(f"{source.name}: {source.path} does not exist; mend the path where it is stated")
        return source.path if unpacked and source.path.is_dir() else _usable(source.path, unpacked)
    folder = file_path(mirror) if mirror else None
    if folder is None:
        return None
    if not folder.is_dir():
        raise DataError(f"[sources] mirror = {mirror}: {folder} is not a folder")
    if os.path.lexists(folder / source.file):
        return _usable(folder / source.file, False, source.bytes)
    stem = folder / Path(source.file).stem
    return stem if unpacked and stem.is_dir() else None


def _usable(path: Path, zipped: bool, size: int | None = None) -> Path:
    """The path of a plain file that can be what it has to be; where no `size` tells, by a look at its bytes."""
    if size is not None:
        check_plain(path, FILE_BYTES)
    elif zipped or path.suffix == ".zip":
        check_zip(path)
    elif path.suffix in WEIGHTS:
        check_weights_file(path)
    else:
        check_plain(path, FILE_BYTES)
    return path


def check_zip(path: Path) -> None:
    """DataError unless a plain file ends as a zip does: asked before gigabytes are hashed."""
    with open_plain(path, FILE_BYTES) as file:
        if not zipfile.is_zipfile(file):
            size = os.fstat(file.fileno()).st_size
            raise DataError(
                f"{path}: not a readable zip ({size:,} bytes): it does not end as one; get it anew"
            )


def check_weights_file(path: Path) -> None:
    """DataError unless a plain file begins as torch.save's or safetensors' files do."""
    with open_plain(path, WEIGHTS_BYTES) as file:
        head = file.read(9)
    if path.suffix == ".safetensors":
        right = len(head) == 9 and head.endswith(b"{")  # eight bytes of length, then JSON
    else:
        right = head.startswith((b"PK\x03\x04", b"\x80\x02"))  # a zip, or a pickle as before torch 1.6
    if not right:
        raise DataError(
            f"{path}: not a file of tensors: begins with {head!r}; expected {' or '.join(WEIGHTS)}"
        )


def mismatch(source: Source, sha256: str, size: int) -> str:
    """What is wrong with a file of this hash and size, found and expected; "" if it is the source's."""
    if source.bytes is not None and size != source.bytes:
        return f"found {size:,} bytes, expected {source.bytes:,}"
    if source.sha256 and sha256 != source.sha256:
        return f"found sha256 {sha256}, expected {source.sha256}"
    if source.sha256_prefix and not sha256.startswith(source.sha256_prefix):
        return f"found sha256 {sha256}, expected one that starts with {source.sha256_prefix}"
    return ""


def verify_file(path: Path, source: Source, progress: Progress = silent) -> str:
    """Hash a file and return its sha256. DataError says what was found and what expected."""
    size = path.stat().st_size
    why = mismatch(source, "", size) if source.bytes not in (None, size) else ""
    found = "" if why else sha256_file(path, progress)
    if why := why or mismatch(source, found, size):
        raise DataError(f"{path}: not {source.name}: {why}; remove it, or point [sources] mirror elsewhere")
    return found
