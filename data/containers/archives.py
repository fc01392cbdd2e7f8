"""Zip archives from anywhere, read without unpacking; all members are checked before a byte is used."""

from __future__ import annotations

import io
import os
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from data.base.errors import ContentError, DataError, listed
from data.base.files import FILE_BYTES, PICTURE_BYTES, open_plain
from data.base.storage import read_at
from data.base.words import nearest
from data.containers.inflate import Fault, open_content, read_content
from data.containers.name_list import NameList
from data.containers.name_readings import readings
from data.containers.zip_index import Member, ZipIndex, build_index

MEMBER_BYTES = 16 << 30

BROKEN: tuple[type[Exception], ...] = (
    *(zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError, UnicodeError),
    Fault,
)
"""What the bytes of a damaged zip raise. OSError: gzip's own; a read that fails is a DataError."""

_BUFFER = 1 << 17  # bytes: what is read ahead stays in the processor's cache


class Archive:
    """A zip whose members were all checked when it was opened.

    Pickles as its path and the place of its index, which the processes of a machine share; on another machine it is
    made again. Each process opens the file anew when it first reads.
    """

    def __init__(self, path: Path) -> None:
        """Raises DataError if the file is not a zip, is cut short, or holds a member that is refused."""
        self.path = Path(path)
        self._file: io.BufferedReader | None = None
        self._pid = -1
        self._stamp: tuple[int, int] | None = None
        self._index = self._built()

    @property
    def index(self) -> ZipIndex:
        """What its directory says."""
        if self._index.arrays.gone:
            self._stamp = None  # perhaps a copy of the file with another date
            index = self._built()
            if index.directory != self._index.directory:
                raise DataError(f"{self.path}: has other members here than where it was opened first")
            self._index = index
        return self._index

    @property
    def names(self) -> NameList:
        """Names of the files inside, folders left out, in the archive's order."""
        return self.index.names.picked(self.index.files())

    def size(self, member: str | int, max_bytes: int = MEMBER_BYTES) -> int:
        """Declared bytes of a member, by its name or its row in the index.

        DataError if it is absent or they are more than `max_bytes`.
        """
        return self._member(member, max_bytes).size

    def crc(self, member: str | int, max_bytes: int = MEMBER_BYTES) -> int:
        """The CRC-32 that the directory states of a member's bytes. Raises as `size` does."""
        return self._member(member, max_bytes).crc

    def read(self, member: str | int, max_bytes: int = PICTURE_BYTES) -> bytes:
        """A member's bytes, CRC checked.

        ContentError if it is damaged or larger than `max_bytes`, DataError if it is absent or the storage fails.
        """
        entry = self._member(member, max_bytes)
        try:
            return read_content(self._read, entry)
        except BROKEN as error:
            raise _damaged(self.path, entry.name, error) from error

    @contextmanager
    def open(self, member: str, max_bytes: int = MEMBER_BYTES) -> Iterator[IO[bytes]]:
        """A member as a stream of bytes, fast line by line; its CRC is checked when the end is reached."""
        entry = self._member(member, max_bytes)
        try:
            raw = open_content(self._read, entry)
        except BROKEN as error:
            raise _damaged(self.path, member, error) from error
        with raw, io.BufferedReader(_Checked(self.path, entry, raw), _BUFFER) as file:
            yield file

    def _member(self, member: str | int, max_bytes: int) -> Member:
        entry = self.index.member(self._row(member) if isinstance(member, str) else member)
        if entry.size > max_bytes:
            raise ContentError(
                f"{self.path}: {entry.name} declares {entry.size:,} bytes, more than the {max_bytes:,} allowed here"
            )
        return entry

    def _row(self, member: str) -> int:
        """The row of this name; if there is none, of the one whose name reads the same in any encoding and spelling."""
        row = self.index.find(member)
        if row is not None:
            return row
        rows = self._read_as(member)
        if len(rows) == 1:
            return rows[0]
        names = self.names
        if rows:
            texts = [self.index.names[row] for row in rows]
            raise DataError(f"{self.path}: {len(rows)} members read as {member}: {listed(texts, 3)}")
        near = nearest(member, names[:10_000], cutoff=0.3)
        hint = f"; nearest: {near}" if near else ""
        raise DataError(f"{self.path}: no member {member}{hint}. It holds {len(names):,} files")

    def _read_as(self, member: str) -> list[int]:
        """A name that does not state its encoding may be in any; accents may be separate characters."""
        wanted = unicodedata.normalize("NFC", member)
        legacy = set(self.index.legacy().tolist())
        rows = []
        for row, name in enumerate(self.index.names):
            texts = readings(name) if row in legacy else (name,)
            if wanted in {unicodedata.normalize("NFC", text) for text in texts}:
                rows.append(row)
        return rows

    def _built(self) -> ZipIndex:
        size = os.fstat(self._opened().fileno()).st_size
        try:
            return build_index(self._read, size, str(self.path))
        except (zipfile.BadZipFile, UnicodeError) as error:
            raise DataError(f"{self.path}: not a readable zip ({size:,} bytes): {error}") from error

    def _read(self, offset: int, length: int) -> bytes:
        file = self._opened()
        try:
            return read_at(self.path, file.fileno(), offset, length)
        except DataError:
            self._file = None  # the handle may be stale: the next read opens the path anew
            raise

    def _opened(self) -> io.BufferedReader:
        """This process's handle. DataError where the file has changed since it was first opened."""
        file = self._file
        if file is None or self._pid != os.getpid():
            file = open_plain(self.path, FILE_BYTES)
            entry = os.fstat(file.fileno())
            stamp = entry.st_size, entry.st_mtime_ns
            if self._stamp not in (None, stamp):
                raise DataError(f"{self.path}: was changed while it was read; run the same again")
            self._file, self._pid, self._stamp = file, os.getpid(), stamp
        return file

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_file": None, "_pid": -1}

    def __del__(self) -> None:
        if getattr(self, "_file", None) is not None:
            self._file.close()  # type: ignore[union-attr]


class _Checked(io.RawIOBase):
    """A member's raw stream whose own failures are DataErrors; what its reader raises stays as it is."""

    def __init__(self, path: Path, member: Member, stream: IO[bytes]) -> None:
        self.path, self.member, self.stream = path, member, stream
        self.left = member.size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            count: int = self.stream.readinto(buffer)  # type: ignore[attr-defined]
            self.left -= count
            if self.left < 0 or (self.left and not count and len(buffer)):
                what = "more" if self.left < 0 else "less"
                raise zipfile.BadZipFile(f"{what} than the {self.member.size:,} bytes that it declares")
        except BROKEN as error:
            raise _damaged(self.path, self.member.name, error) from error
        return count


def _damaged(path: Path, member: str, error: Exception) -> ContentError:
    return ContentError(f"{path}: {member} is damaged: {error}; get the archive again")


def read_member(path: Path, member: str, max_bytes: int = MEMBER_BYTES) -> bytearray:
    """One large member's bytes, all checks done. For many members of one zip keep an Archive."""
    archive = Archive(path)
    content = bytearray(archive.size(member, max_bytes))
    with archive.open(member, max_bytes) as file:
        rest, done = memoryview(content), 0
        while done < len(content) and (count := file.readinto(rest[done:])):  # type: ignore[attr-defined]
            done += count
        file.read(1)  # its end, where size and CRC are checked
    return content


@contextmanager
def open_member(path: Path, member: str, max_bytes: int = MEMBER_BYTES) -> Iterator[IO[bytes]]:
    """One member as a stream of bytes (GloVe's text), all checks done; its CRC is checked at its end."""
    with Archive(path).open(member, max_bytes) as file:
        yield file
