"""JSON and tables as people keep them: plain, gzipped, or alone in a zip; with a byte order mark or without.

The bytes decide which, never the name. All that is read here is bounded: what inflates without end is refused.
"""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path, PurePosixPath

from data.base.errors import ContentError, DataError, listed
from data.base.files import TEXT_BYTES, open_plain, read_plain
from data.base.text_heads import GZIP, HEAD, ZIP, byte_order_mark, check_head
from data.containers.archives import Archive, read_member
from data.containers.zip_checks import BOMB_BYTES, MAX_RATIO

_CHUNK = 1 << 20


def read_document(path: Path, member: str | None = None, max_bytes: int = TEXT_BYTES) -> memoryview:
    """A text's bytes in UTF-8, without its mark: of a file, or of `member` inside the zip `path`.

    A file may be gzipped, or a zip that holds one file. UTF-16 and UTF-32 are recognised by their mark;
    whether other bytes are valid UTF-8 is left to the caller. DataError for a zip of several files, for zeros at the
    beginning; ContentError for what is damaged, or larger than `max_bytes`.
    """
    name = f"{path}: {member}" if member else str(path)
    content = _content(path, member, max_bytes)
    check_head(name, bytes(content[:HEAD]))
    length, encoding = byte_order_mark(bytes(content[:4]))
    if encoding == "utf-8":
        return memoryview(content)[length:]
    try:
        return memoryview(str(memoryview(content)[length:], encoding).encode())
    except UnicodeError as error:
        raise DataError(
            f"{name}: begins with the mark of {encoding.upper()}, but is not ({error}); save it as UTF-8"
        ) from error


def inner_name(path: Path) -> str:
    """The name of the text itself: qa.csv for qa.csv and qa.csv.gz, the member's for a zip."""
    if _head(path).startswith(ZIP):
        return PurePosixPath(only_member(path)).name
    return path.name[:-3] if path.suffix.lower() == ".gz" else path.name


def only_member(path: Path) -> str:
    """The only file in a zip, apart from what macOS adds. DataError where there are several, or none."""
    names = [name for name in Archive(path).names if not _is_shadow(PurePosixPath(name))]
    if len(names) != 1:
        holds = f"{len(names):,} files ({listed(names, 3)})" if names else "no file"
        raise DataError(
            f"{path}: a zip that holds {holds}; expected one text. A spreadsheet is saved as CSV by its own program"
        )
    return names[0]


def _is_shadow(name: PurePosixPath) -> bool:
    return "__MACOSX" in name.parts or name.name.startswith(".")


def _content(path: Path, member: str | None, max_bytes: int) -> bytes | bytearray:
    if member:
        return read_member(path, member, max_bytes)
    head = _head(path)
    if head.startswith(ZIP):
        return read_member(path, only_member(path), max_bytes)
    if head.startswith(GZIP):
        return _gunzipped(path, max_bytes)
    check_head(str(path), head)  # before the rest is held
    return read_plain(path, max_bytes)


def _head(path: Path) -> bytes:
    with open_plain(path, TEXT_BYTES) as file:
        return file.read(HEAD)


def _gunzipped(path: Path, max_bytes: int) -> bytearray:
    """The content of a gzip file. ContentError as soon as it inflates more than any text does."""
    content = bytearray()
    try:
        with open_plain(path, max_bytes) as file, gzip.GzipFile(fileobj=file) as inflated:
            while piece := inflated.read(_CHUNK):
                content += piece
                check_head(str(path), bytes(content[:HEAD]))
                limit = min(max_bytes, max(BOMB_BYTES, MAX_RATIO * file.tell()))
                if len(content) > limit:
                    raise ContentError(
                        f"{path}: inflates to more than {limit:,} bytes; a text of its length does not"
                    )
    except (OSError, EOFError, zlib.error) as error:
        raise ContentError(f"{path}: damaged gzip: {error}; get it again") from error
    return content
