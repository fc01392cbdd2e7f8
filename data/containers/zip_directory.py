"""The directory at the end of a zip, read in pieces from anything that gives bytes at an offset.

That may be a file on the disk or an address that serves ranges. Formats: APPNOTE.TXT 6.3.10 of
PKWARE, 4.3.12 to 4.3.16, the zip64 field (4.5.3) and Info-ZIP's Unicode path (4.6.9).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

ReadAt = Callable[[int, int], bytes]
"""(offset, length) → these bytes of an archive, fewer only where it ends. Threads may call it at the same time."""

PIECE = 1 << 18  # bytes of the directory that are parsed together; a member takes at most 196,651
TAIL = 4096  # bytes that are looked at first: the end records are among them unless a long comment follows
UTF8 = 0x800  # the flag of a name that is UTF-8

_END = b"PK\5\6"
_END_BYTES = 22
_COMMENT_BYTES = 65_535
_END64, _END64_BYTES = b"PK\6\6", 56
_LOCATOR, _LOCATOR_BYTES = b"PK\6\7", 20
_HEAD = b"PK\1\2"
HEAD_BYTES = 46  # without name, extra fields and comment
_ELSEWHERE = 0xFFFFFFFF  # a placeholder: the number is in the zip64 field
_ZIP64, _UNICODE_PATH = 0x0001, 0x7075
_HEAD_FIELDS = np.dtype(
    [
        *[("signature", "<u4"), ("made_by", "<u2"), ("needed", "<u2"), ("flags", "<u2"), ("method", "<u2")],
        *[("time", "<u2"), ("date", "<u2"), ("crc", "<u4"), ("compressed", "<u4"), ("size", "<u4")],
        *[("name_bytes", "<u2"), ("extra_bytes", "<u2"), ("comment_bytes", "<u2"), ("disk", "<u2")],
        *[("internal", "<u2"), ("external", "<u4"), ("offset", "<u4")],
    ]
)


class Place(NamedTuple):
    """Where the directory lies, and how far its offsets are off: an unpacking program may stand before it."""

    start: int
    end: int
    shift: int


class Members(NamedTuple):
    """Some members, in the directory's order: a name in UTF-8 each, and arrays of what the directory says of them.

    offset: of the local header, in the file. name_crc: CRC-32 of the name as it is written. external: the mode of a
    Unix file in its upper half. The UTF8 flag is set for every name that is known to be UTF-8; the names of others
    are their bytes read as CP437, as the format has it.
    """

    names: list[bytes]
    columns: dict[str, NDArray[Any]]


COLUMNS = {
    **{"offset": "<u8", "compressed": "<u8", "size": "<u8", "crc": "<u4", "name_crc": "<u4"},
    **{"method": "<u2", "flags": "<u2", "external": "<u4"},
}


def find_directory(read: ReadAt, size: int) -> Place:
    """Where the directory of an archive of `size` bytes lies. BadZipFile where there is none."""
    tail = read(max(0, size - TAIL), min(size, TAIL))
    at = _end_record(tail)
    if not _ends_there(tail, at) and len(tail) < size:  # a comment precedes the end, or there is none
        longer = min(size, _END_BYTES + _COMMENT_BYTES)
        tail = read(size - longer, longer)
        at = _end_record(tail)
    if at < 0:
        raise BadZipFile("File is not a zip file")
    length, offset = struct.unpack_from("<2L", tail, at + 12)
    end = size - len(tail) + at
    if (place := _zip64(read, end)) is not None:
        return place
    return _checked(end - length, end, offset)


def _end_record(tail: bytes) -> int:
    """Where in the last bytes of an archive its end record begins; -1 without one.

    A comment may follow, in which another may seem to begin: the record is the one whose comment ends with the file.
    """
    last = at = tail.rfind(_END, 0, len(tail) - _END_BYTES + len(_END))
    while at >= 0:
        if _ends_there(tail, at):
            return at
        at = tail.rfind(_END, 0, at)
    return last  # other bytes follow it: a transfer may have added some


def _ends_there(tail: bytes, at: int) -> bool:
    """Does the record that begins at `at` end with the file, comment and all?"""
    return at >= 0 and at + _END_BYTES + int.from_bytes(tail[at + 20 : at + 22], "little") == len(tail)


def _zip64(read: ReadAt, end: int) -> Place | None:
    """The same from the zip64 records before the end of an archive with large numbers; None without them."""
    locator = read(max(0, end - _LOCATOR_BYTES), _LOCATOR_BYTES)
    if len(locator) < _LOCATOR_BYTES or not locator.startswith(_LOCATOR):
        return None
    offset, disks = struct.unpack_from("<QL", locator, 8)
    if disks > 1:
        raise BadZipFile("zipfiles that span multiple disks are not supported")
    for start in (end - _LOCATOR_BYTES - _END64_BYTES, offset):
        record = read(start, _END64_BYTES) if 0 <= start < end else b""
        if len(record) == _END64_BYTES and record.startswith(_END64):
            length, offset = struct.unpack_from("<2Q", record, 40)
            return _checked(start - length, start, offset)
    raise BadZipFile("the zip64 end record is not where it is said to be")


def _checked(start: int, end: int, offset: int) -> Place:
    if start < 0:
        raise BadZipFile("Bad offset for central directory")
    return Place(start, end, start - offset)


def read_members(read: ReadAt, place: Place) -> Iterator[tuple[bytes, Members]]:
    """The directory piece by piece: its bytes, and the members in them. BadZipFile where it is damaged."""
    at, rest = place.start, b""
    while at < place.end:
        new = read(at, min(PIECE, place.end - at))
        at, piece = at + len(new), rest + new
        heads, end = _heads(piece)
        if heads:
            yield piece[:end], _members(piece, np.array(heads), place.shift)
        rest = piece[end:]
        if not new or (at == place.end and rest):
            raise BadZipFile("Truncated central directory")


def _heads(piece: bytes) -> tuple[list[int], int]:
    """Where each whole entry begins, and where the last one ends."""
    heads, at = [], 0
    while at + HEAD_BYTES <= len(piece):
        if not piece.startswith(_HEAD, at):
            raise BadZipFile("Bad magic number for central directory")
        end = at + HEAD_BYTES + sum(struct.unpack_from("<3H", piece, at + 28))
        if end > len(piece):
            break
        heads.append(at)
        at = end
    return heads, at


def _members(piece: bytes, heads: NDArray[np.int64], shift: int) -> Members:
    fixed = np.frombuffer(piece, np.uint8)[heads[:, None] + np.arange(HEAD_BYTES)]
    head = fixed.view(_HEAD_FIELDS)[:, 0]
    columns = {name: head[name].astype(dtype) for name, dtype in COLUMNS.items() if name != "name_crc"}
    starts = heads + HEAD_BYTES
    ends = starts + head["name_bytes"]
    written = [piece[start:end] for start, end in zip(starts.tolist(), ends.tolist(), strict=True)]
    columns["name_crc"] = np.array([zlib.crc32(name) for name in written], np.uint32)
    extras = [
        piece[end : end + count]
        for end, count in zip(ends.tolist(), head["extra_bytes"].tolist(), strict=True)
    ]
    _put_large_numbers(columns, extras)
    columns["offset"] = _shifted(columns["offset"], shift)
    return Members(_names(written, columns["flags"], extras), columns)


def _shifted(offset: NDArray[np.uint64], shift: int) -> NDArray[np.uint64]:
    if shift >= 0:
        return offset + np.uint64(shift)
    if (offset < -shift).any():
        raise BadZipFile("Bad offset of a member")
    return offset - np.uint64(-shift)


def _put_large_numbers(columns: dict[str, NDArray[Any]], extras: list[bytes]) -> None:
    """Take the numbers that 32 bits do not hold from the zip64 field, where they stand in this order."""
    wide = {name: columns[name] == _ELSEWHERE for name in ("size", "compressed", "offset")}
    for row in np.flatnonzero(wide["size"] | wide["compressed"] | wide["offset"]).tolist():
        names = [name for name, rows in wide.items() if rows[row]]
        field = _field(extras[row], _ZIP64)
        if len(field) < 8 * len(names):
            raise BadZipFile(f"Corrupt zip64 extra field. {names[len(field) // 8]} not found.")
        for name, value in zip(names, struct.unpack_from(f"<{len(names)}Q", field), strict=True):
            columns[name][row] = value


def _names(written: list[bytes], flags: NDArray[np.uint16], extras: list[bytes]) -> list[bytes]:
    """Names in UTF-8; sets the flag of those that turn out to be."""
    names = list(written)
    for row in [row for row, name in enumerate(written) if not name.isascii()]:
        if flags[row] & UTF8:
            _check_utf8(written[row])
        elif name := _unicode_path(extras[row], written[row]):
            names[row] = name
            flags[row] |= UTF8
        else:
            names[row] = written[row].decode("cp437").encode()
    return names


def _check_utf8(name: bytes) -> None:
    try:
        name.decode()
    except UnicodeDecodeError as error:
        raise BadZipFile(f"the name {name!r} is said to be UTF-8: {error}") from error


def _unicode_path(extra: bytes, written: bytes) -> bytes:
    """The name in the Unicode path field; b"" where there is none, or one of another name than the one written."""
    field = _field(extra, _UNICODE_PATH)
    if len(field) < 5 or field[0] != 1 or int.from_bytes(field[1:5], "little") != zlib.crc32(written):
        return b""
    _check_utf8(field[5:])
    return field[5:]


def _field(extra: bytes, wanted: int) -> bytes:
    """The content of the extra field of this number; b"" where there is none."""
    at = 0
    while at + 4 <= len(extra):
        number, length = struct.unpack_from("<2H", extra, at)
        if at + 4 + length > len(extra):
            raise BadZipFile(f"Corrupt extra field {number:04x} (size={length})")
        if number == wanted:
            return extra[at + 4 : at + 4 + length]
        at += 4 + length
    return b""
