"""What the user already has: found, hashed once, used in place.

Standard library only: stages ask here while Luigi builds its graph.
"""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit
from urllib.request import url2pathname

from data.base.errors import DataError
from data.base.files import FILE_BYTES, WEIGHTS_BYTES, check_plain, open_plain
from data.base.hashes import sha256_file
from data.base.progress import Progress, silent
from data.base.text_heads import GZIP, HEAD, ZIP, check_head
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


def addresses(source: Source, mirror: str | None) -> list[str]:
    """Where a file can be had: from the mirror first, then from the source's own addresses.

    DataError where it is not downloaded, or for an address of another kind than https://, http:// and file://.
    """
    if source.made_by or source.path:
        raise DataError(f"{source.name}: {source.file} is not downloaded, it is made or already here")
    own = [f"{mirror.rstrip('/')}/{quote(source.file)}"] if mirror else []
    for url in (every := [*own, *source.urls]):
        if urlsplit(url).scheme not in ("http", "https", "file"):
            raise DataError(
                f"{source.name}: {url}: expected an address that begins with https://, http:// or file://"
            )
    return every


def local_copy(
    source: Source, mirror: str | None = None, *, unpacked: bool = False, text: str = ""
) -> Path | None:
    """The user's own copy, used where it is: the source's `path`, or what a file:// mirror holds by name.

    `unpacked`: also a folder of the archive's name without .zip (train2014/ for train2014.zip). `text`: also this
    file of the archive, by itself or in a folder. None if there is none. DataError where something else lies there, or
    what can't be the file by its first or last bytes.
    """
    if source.path is not None:
        if not os.path.lexists(source.path):
            raise DataError(f"{source.name}: {source.path} does not exist; mend the path where it is stated")
        if text:
            return _archive_or_text(source.path, text)
        return source.path if unpacked and os.path.isdir(source.path) else _usable(source.path, unpacked)
    folder = file_path(mirror) if mirror else None
    if folder is None:
        return None
    if not os.path.isdir(folder):
        raise DataError(f"[sources] mirror = {mirror}: {folder} is not a folder")
    if os.path.lexists(folder / source.file):
        return _usable(folder / source.file, False, source.bytes)
    stem = folder / Path(source.file).stem
    if text:
        loose = (path for path in (stem / text, folder / text) if os.path.lexists(path))
        return next(map(_text, loose), None)
    return stem if unpacked and os.path.isdir(stem) else None


def _archive_or_text(path: Path, text: str) -> Path:
    """The zip at a path, or the file `text` that the path is, or holds as a folder."""
    if path.is_dir():
        if not os.path.lexists(path / text):
            raise DataError(
                f"{path}: is a folder without {text}; expected this file, or the zip that it came in"
            )
        return _text(path / text)
    if path.name == text:
        return _text(path)
    if path.suffix == ".zip" or (head := _head(path)).startswith(ZIP):
        return _usable(path, True)
    if head.startswith(GZIP):
        raise DataError(f"{path}: is gzipped; expected {text}, or the zip that it came in: unpack it first")
    raise DataError(f"{path}: not a zip; a text by itself has to be called {text}, as members says")


def _text(path: Path) -> Path:
    """DataError unless a file begins as a text may."""
    head = _head(path)
    if head.startswith((ZIP, GZIP)):
        raise DataError(f"{path}: is packed, though its name says that it is a text; unpack it first")
    check_head(str(path), head)
    return path


def _head(path: Path) -> bytes:
    with open_plain(path, FILE_BYTES) as file:
        return file.read(HEAD)


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
                f"{path}: not a readable zip ({size:,} bytes): it does not end as one; get it again"
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
    sha256 = "" if why else sha256_file(path, progress)
    if why := why or mismatch(source, sha256, size):
        raise DataError(f"{path}: not {source.name}: {why}; remove it, or point [sources] mirror elsewhere")
    return sha256
