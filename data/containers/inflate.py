"""The content of a member of a zip, whole or as a stream, its size and CRC checked; inflated at ISA-L's speed.

A deflated stream is a gzip file but for a few bytes around it, and is read as one. The text of GloVe is a gigabyte and
v2's annotations are 0.4; ISA-L takes 0.4 of zlib's time for them, and in a thread of its own it runs ahead while lines
are parsed: BuildEmbeddings takes 0.8 of the time (bench.text).
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from typing import IO, Any, cast
from zipfile import ZIP_DEFLATED, BadZipFile

from isal import igzip_lib, igzip_threaded, isal_zlib

from data.containers.zip_checks import HEADER_BYTES
from data.containers.zip_directory import ReadAt
from data.containers.zip_index import Member

Fault = cast(type[Exception], igzip_lib.IsalError)  # what ISA-L raises for bytes that are not deflate

_GZIP_HEADER = b"\x1f\x8b\x08" + bytes(6) + b"\xff"  # deflate, no name, no time, unknown system
_AHEAD = 512  # bytes for the name and the extra field of a local header: one read gets it and the content


def read_content(read: ReadAt, member: Member) -> bytes:
    """All bytes of a member of reasonable size.

    BadZipFile or Fault where they are damaged or not as many as declared.
    """
    if member.compressed > 2 * member.size + 65_536:
        raise BadZipFile(f"declares {member.size:,} bytes in {member.compressed:,}")
    piece = read(member.offset, _AHEAD + member.compressed)
    start = _content_start(member, piece)
    content = memoryview(piece)[start : start + member.compressed]
    if len(content) < member.compressed:  # a longer header
        content = memoryview(read(member.offset + start, member.compressed))
    plain = _inflated(content, member.size) if member.method == ZIP_DEFLATED else bytes(content)
    if len(plain) != member.size:
        raise BadZipFile(_other_size(member, len(plain) > member.size))
    if isal_zlib.crc32(plain) != member.crc:
        raise BadZipFile(f"Bad CRC-32 for file {member.name!r}")
    return plain


def _inflated(content: memoryview, size: int) -> bytes:
    """At most one byte more than declared."""
    inflating = isal_zlib.decompressobj(-zlib.MAX_WBITS)
    plain: bytes = inflating.decompress(content, size + 1)
    if not inflating.eof and len(plain) <= size:
        raise EOFError("its deflated bytes end too early")
    return plain


def _other_size(member: Member, more: bool) -> str:
    return f"{'more' if more else 'less'} than the {member.size:,} bytes that it declares"


def _content_start(member: Member, piece: bytes) -> int:
    """How far behind its local header's start the content begins; `piece`: the bytes from there on."""
    if len(piece) < HEADER_BYTES or not piece.startswith(b"PK\x03\x04"):
        raise BadZipFile("no local header where the directory says")
    name_bytes, extra_bytes = struct.unpack_from("<2H", piece, 26)
    end = HEADER_BYTES + name_bytes
    if len(piece) >= end and zlib.crc32(piece[HEADER_BYTES:end]) != member.name_crc:
        raise BadZipFile(f"its local header has another name, {piece[HEADER_BYTES:end]!r}")
    return end + int(extra_bytes)


def open_content(read: ReadAt, member: Member) -> IO[bytes]:
    """The member as a stream.

    At its end it raises BadZipFile (gzip's own is one of OSError) where CRC or size differ from the directory's,
    EOFError where it is cut short, Fault where it is not deflate.
    """
    start = member.offset + _content_start(member, read(member.offset, HEADER_BYTES + 0xFFFF))
    if member.method != ZIP_DEFLATED:
        return cast(IO[bytes], _Stored(read, member, start))
    return cast(IO[bytes], igzip_threaded.open(_Gzip(read, member, start), "rb"))


class _Pieces(io.RawIOBase):
    """A stream of what `_next` gives."""

    _next: Callable[[int], bytes]

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        piece = self._next(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)


class _Stored(_Pieces):
    """A stored member's bytes; its CRC is checked at the end."""

    def __init__(self, read: ReadAt, member: Member, start: int) -> None:
        self._read, self._member = read, member
        self._at, self._end, self._crc = start, start + member.compressed, 0

    def _next(self, size: int) -> bytes:  # type: ignore[override]
        piece = self._read(self._at, min(size, self._end - self._at))
        self._at += len(piece)
        self._crc = isal_zlib.crc32(piece, self._crc)
        if self._at == self._end and self._crc != self._member.crc:
            raise BadZipFile(f"Bad CRC-32 for file {self._member.name!r}")
        return piece


class _Gzip(_Pieces):
    """A gzip file's header, the member's deflated bytes as they lie in the zip, and its CRC and size."""

    def __init__(self, read: ReadAt, member: Member, start: int) -> None:
        self._read, self._at, self._end = read, start, start + member.compressed
        self._head = _GZIP_HEADER
        self._tail = struct.pack("<2L", member.crc, member.size % (1 << 32))

    def _next(self, size: int) -> bytes:  # type: ignore[override]
        if self._head:
            piece, self._head = self._head[:size], self._head[size:]
        elif self._at < self._end:
            piece = self._read(self._at, min(self._end - self._at, size))
            self._at = self._at + len(piece) if piece else self._end  # cut short: the end will not fit
        else:
            piece, self._tail = self._tail[:size], self._tail[size:]
        return piece
