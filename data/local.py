"""What the user already has: found, hashed once, used in place.

Standard library only: stages ask here while Luigi builds its graph.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import time
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

from data.errors import DataError
from data.files import FILE_BYTES, PICTURE_BYTES, WEIGHTS_BYTES, check_plain, open_plain
from data.progress import Progress, silent
from data.sources import Source

WEIGHTS = (".pth", ".safetensors")
PICTURES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff"})


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


def sha256_file(path: Path, progress: Progress = silent) -> str:
    """Hex sha256 of a plain file; about 1 GB/s where the processor has the instructions for it."""
    with open_plain(path, FILE_BYTES) as file:
        return _sha256(file, path, progress)


def _sha256(file: BinaryIO, path: Path, progress: Progress) -> str:
    size, done, digest = os.fstat(file.fileno()).st_size, 0, hashlib.sha256()
    try:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
            done += len(chunk)
            progress(done, size, f"hashing {path.name}")
    except OSError as error:
        raise DataError(f"{path}: can't be read: {error.strerror}") from error
    return digest.hexdigest()


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


def is_picture(name: str) -> bool:
    """By its extension; what macOS hides in archives (__MACOSX/, ._name) is no picture."""
    parts = name.split("/")
    hidden = parts[-1].startswith(".") or "__MACOSX" in parts
    return not hidden and "." + parts[-1].rpartition(".")[2].lower() in PICTURES


def folder_files(folder: Path) -> Iterator[str]:
    """Relative names (with /) of all files below a folder; links to folders are named, not followed."""

    def refuse(error: OSError) -> None:
        raise DataError(f"{error.filename}: can't be read: {error.strerror}")

    for where, folders, files in os.walk(folder, onerror=refuse):
        base = os.path.relpath(where, folder).replace(os.sep, "/") + "/"
        base = "" if base == "./" else base
        yield from (base + name for name in files)
        yield from (f"{base}{name}/" for name in folders if Path(where, name).is_symlink())


def file_identity(path: Path, cache: Path, progress: Progress = silent) -> str:
    """A file's sha256, remembered in `cache` (JSON) under its path, size, mtime and inode."""
    with _Hashes(cache) as hashes:
        return hashes.of(path, progress)


def folder_identity(path: Path, cache: Path, progress: Progress = silent) -> str:
    """sha256 over sorted (relative name, file sha256) of the pictures in a folder.

    The first call reads every picture, later ones what changed by size, mtime, ctime or inode.
    DataError if it holds none.
    """
    names = sorted(name for name in folder_files(path) if is_picture(name))
    if not names:
        raise DataError(f"{path}: no pictures in this folder; expected files that end in {_extensions()}")
    digest = hashlib.sha256()
    with _Hashes(cache) as hashes:
        for done, name in enumerate(names, start=1):
            digest.update(json.dumps([name, hashes.of(path / name, largest=PICTURE_BYTES)]).encode() + b"\n")
            progress(done, len(names), f"hashing {path.name}")
    return digest.hexdigest()


def _extensions() -> str:
    return ", ".join(sorted(PICTURES))


def _stamp(entry: os.stat_result) -> list[int]:
    return [entry.st_size, entry.st_mtime_ns, entry.st_ctime_ns, entry.st_ino]


class _Hashes:
    """A file of known hashes. Of two processes the later write wins; what is lost is computed again."""

    def __init__(self, cache: Path) -> None:
        self.cache, self.changed = cache, False
        try:
            known = json.loads(cache.read_bytes())
        except (OSError, ValueError, RecursionError):
            known = {}
        self.known: dict[str, list[object]] = known if isinstance(known, dict) else {}

    def __enter__(self) -> _Hashes:
        return self

    def of(self, path: Path, progress: Progress = silent, largest: int = FILE_BYTES) -> str:
        """A plain file's sha256; for a picture above `largest`, which nobody is going to read, its size."""
        key = str(path.absolute())
        with suppress(OSError):  # is said where it is opened
            entry = path.stat()
            if isinstance(found := self.known.get(key), list) and found[:-1] == _stamp(entry):
                return str(found[-1])
            if entry.st_size > largest < FILE_BYTES and stat.S_ISREG(entry.st_mode):
                return f"{entry.st_size} bytes"
        with open_plain(path, FILE_BYTES) as file:
            entry = os.fstat(file.fileno())
            sha256 = _sha256(file, path, progress)
        # A file written just now could change again within the clock's tick and keep its stamp.
        if time.time_ns() - entry.st_ctime_ns > 2_000_000_000:
            self.known[key], self.changed = [*_stamp(entry), sha256], True
        return sha256

    def __exit__(self, *failure: object) -> None:
        if not self.changed:
            return
        temporary = self.cache.with_name(f"{self.cache.name}.{os.getpid()}.tmp")
        with suppress(OSError):  # no room, or no permission: hashed again the next time
            try:
                self.cache.parent.mkdir(parents=True, exist_ok=True)
                temporary.write_text(json.dumps(self.known), encoding="utf-8")
                temporary.replace(self.cache)
            finally:
                temporary.unlink(missing_ok=True)
