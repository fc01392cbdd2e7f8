"""A zip that grows at its end, of stored members that differ in nothing but name and content: same members, same bytes.

What a kill leaves of it is read again member by member; its directory comes last. Format: APPNOTE.TXT 6.3.10.
"""

from __future__ import annotations

import struct
import zlib
from typing import NamedTuple

from data.containers.zip_checks import HEADER_BYTES
from data.containers.zip_directory import UTF8, ReadAt

_DATE = 1 << 5 | 1  # 1980-01-01, the format's first day
_VERSION, _ZIP64_VERSION = 20, 45
_MOST, _LARGEST = 0xFFFF, 0xFFFFFFFF  # what the plain records hold


class Stored(NamedTuple):
    """A member as it lies there. start: of its local header; end: of its content."""

    name: bytes
    crc: int
    size: int
    start: int
    end: int


def member_bytes(name: str, size: int) -> int:
    """What a member takes, its entry in the directory aside."""
    return HEADER_BYTES + len(name.encode()) + size


def header(name: str, content: bytes) -> bytes:
    """A member's local header; its content, of less than 4 GiB, follows."""
    return _header(name.encode(), zlib.crc32(content), len(content))


def _header(name: bytes, crc: int, size: int) -> bytes:
    return struct.pack("<4sH", b"PK\3\4", _VERSION) + _fields(name, crc, size) + struct.pack("<H", 0) + name


def _fields(name: bytes, crc: int, size: int) -> bytes:
    """What local header and directory both hold, from the flags to the length of the name."""
    flags = 0 if name.isascii() else UTF8
    return struct.pack("<4H3LH", flags, 0, 0, _DATE, crc, size, size, len(name))


def read_stored(read: ReadAt, start: int) -> Stored | None:
    """The whole member that begins there, its content checked; None where there is none."""
    head = read(start, HEADER_BYTES)
    if len(head) < HEADER_BYTES:
        return None
    crc, size, _, name_bytes = struct.unpack_from("<3LH", head, 14)
    name = read(start + HEADER_BYTES, name_bytes)
    if head + name != _header(name, crc, size):
        return None
    begin = start + HEADER_BYTES + name_bytes
    content = read(begin, size)
    whole = len(content) == size and zlib.crc32(content) == crc
    return Stored(name, crc, size, start, begin + size) if whole else None


def directory(members: list[Stored], comment: bytes = b"") -> bytes:
    """The end of a zip that consists of these members, one behind the other from its beginning."""
    entries = b"".join(map(_entry, members))
    start = members[-1].end if members else 0
    count = len(members)
    end = struct.pack(
        "<4s4H2LH",
        *(b"PK\5\6", 0, 0, min(count, _MOST), min(count, _MOST)),
        *(min(len(entries), _LARGEST), min(start, _LARGEST), len(comment)),
    )
    wide = count >= _MOST or max(start, len(entries)) >= _LARGEST
    return entries + (_zip64_end(count, start, len(entries)) if wide else b"") + end + comment


def _entry(member: Stored) -> bytes:
    extra = struct.pack("<2HQ", 1, 8, member.start) if member.start >= _LARGEST else b""
    version = _ZIP64_VERSION if extra else _VERSION
    made_by = 3 << 8 | version  # Unix, for the mode
    mode = 0o100644 << 16
    return b"".join(
        (
            struct.pack("<4s2H", b"PK\1\2", made_by, version),
            _fields(member.name, member.crc, member.size),
            struct.pack("<4H2L", len(extra), 0, 0, 0, mode, min(member.start, _LARGEST)),
            *(member.name, extra),
        )
    )


def _zip64_end(count: int, start: int, length: int) -> bytes:
    made_by = 3 << 8 | _ZIP64_VERSION
    record = struct.pack(
        "<4sQ2H2L4Q", b"PK\6\6", 44, made_by, _ZIP64_VERSION, 0, 0, count, count, length, start
    )
    return record + struct.pack("<4sLQL", b"PK\6\7", 0, start + length, 1)
