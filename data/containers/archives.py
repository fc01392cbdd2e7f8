"""Zip archives from anywhere, read without unpacking; all members are checked before a byte is used."""

from __future__ import annotations

import io
import os
import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from data.base.errors import ContentError, DataError
from data.base.files import FILE_BYTES, PICTURE_BYTES, open_plain
from data.base.words import nearest
from data.containers.inflate import Fault, inflated

MEMBER_BYTES = 16 << 30
MAX_RATIO = 200  # real JSON and text reach 20; only deflate's degenerate inputs come near its limit of 1,032
BOMB_BYTES = 64 << 20  # a small member may have any ratio: it can't hurt

_BROKEN: tuple[type[Exception], ...] = (
    *(zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError, UnicodeError),
    Fault,
)
"""What the bytes of a damaged zip raise. OSError: a place outside the file; a read that fails is a DataError."""

_BUFFER = 1 << 17  # bytes: what is read ahead stays in the processor's cache
_REGULAR = (0, stat.S_IFREG, stat.S_IFDIR)


class Archive:
    """A zip whose members were all checked when it was opened.

    Holds one handle per process: after a fork or in a spawned worker the path is opened anew, because forked
    processes share one file position. Pickles as its path.
    """

    def __init__(self, path: Path) -> None:
        """Raises DataError if the file is no zip, is cut short, or holds a member that `check` refuses."""
        self.path = Path(path)
        self._zip: zipfile.ZipFile | None = None
        self._pid = -1
        check(self.path, self._open().infolist())

    @property
    def names(self) -> list[str]:
        """Names of the files inside, folders left out, in the archive's order."""
        return [info.filename for info in self._open().infolist() if not info.is_dir()]

    def size(self, member: str, max_bytes: int = MEMBER_BYTES) -> int:
        """Declared bytes of a member. DataError if it is absent or they are more than `max_bytes`."""
        return self._info(member, max_bytes).file_size

    def read(self, member: str, max_bytes: int = PICTURE_BYTES) -> bytes:
        """A member's bytes, CRC checked.

        ContentError if it is damaged or larger than `max_bytes`, DataError if it is absent or the storage fails.
        """
        info = self._info(member, max_bytes)
        try:
            return self._open().read(info)
        except _BROKEN as error:
            raise _damaged(self.path, member, error) from error
        except DataError:
            self._zip = None  # the handle may be stale: the next read opens the path anew
            raise

    @contextmanager
    def open(self, member: str, max_bytes: int = MEMBER_BYTES) -> Iterator[IO[bytes]]:
        """A member as a stream of bytes, fast line by line; its CRC is checked when the end is reached."""
        info = self._info(member, max_bytes)
        try:
            deflated = info.compress_type == zipfile.ZIP_DEFLATED
            raw: IO[bytes] = inflated(self.path, info) if deflated else self._open().open(info)
        except _BROKEN as error:
            raise _damaged(self.path, member, error) from error
        with raw, io.BufferedReader(_Checked(self.path, info, raw), _BUFFER) as file:
            yield file

    def _info(self, member: str, max_bytes: int = MEMBER_BYTES) -> zipfile.ZipInfo:
        try:
            info = self._open().getinfo(member)
        except KeyError:
            near = nearest(member, self.names[:10_000], cutoff=0.3)
            hint = f"; nearest: {near}" if near else ""
            raise DataError(
                f"{self.path}: no member {member}{hint}. It holds {len(self.names):,} files"
            ) from None
        if info.file_size > max_bytes:
            found = f"{self.path}: {member} declares {info.file_size:,} bytes"
            raise ContentError(f"{found}, more than the {max_bytes:,} allowed here")
        return info

    def _open(self) -> zipfile.ZipFile:
        if self._zip is None or self._pid != os.getpid():
            file = open_plain(self.path, FILE_BYTES)
            try:
                self._zip = _Zip(file)
            except _BROKEN as error:
                size = self.path.stat().st_size if self.path.is_file() else 0
                raise DataError(f"{self.path}: not a readable zip ({size:,} bytes): {error}") from error
            self._pid = os.getpid()
        return self._zip

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "_zip": None, "_pid": -1}


class _Zip(zipfile.ZipFile):
    """A zip that closes the file that it was given."""

    def __init__(self, file: IO[bytes]) -> None:
        self._given = file
        super().__init__(file)

    def close(self) -> None:
        super().close()
        self._given.close()


class _Checked(io.RawIOBase):
    """A member's raw stream whose own failures are DataErrors; what its reader raises stays as it is."""

    def __init__(self, path: Path, info: zipfile.ZipInfo, stream: IO[bytes]) -> None:
        self.path, self.info, self.stream = path, info, stream
        self.left = info.file_size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            count: int = self.stream.readinto(buffer)  # type: ignore[attr-defined]
            self.left -= count
            if self.left < 0 or (self.left and not count and len(buffer)):
                what = "more" if self.left < 0 else "less"
                raise zipfile.BadZipFile(f"{what} than the {self.info.file_size:,} bytes that it declares")
        except _BROKEN as error:
            raise _damaged(self.path, self.info.filename, error) from error
        return count


def _damaged(path: Path, member: str, error: Exception) -> ContentError:
    return ContentError(f"{path}: {member} is damaged: {error}; get the archive anew")


def check(path: Path, members: list[zipfile.ZipInfo]) -> None:
    """Refuse, with a DataError that names the member, what no honest archive of data holds.

    Names outside the archive's own tree, links and devices, two members of one name, encrypted or exotically
    compressed ones, members that share bytes (overlap) and members that declare an absurd size.
    """
    seen: set[str] = set()
    for info in members:
        why = _bad_name(info) or _bad_kind(info) or _bad_size(info)
        key = info.filename.rstrip("/")
        if not why and key in seen:
            why = "a second member has the same name"
        if why:
            raise DataError(f"{path}: refused because of {info.orig_filename!r}: {why}")
        seen.add(key)
    _check_overlap(path, members)


def _bad_name(info: zipfile.ZipInfo) -> str:
    name = info.orig_filename  # as written: ZipInfo.filename stops at a NUL
    if "\0" in name or "\\" in name:
        return "a NUL or a backslash in its name"
    if name.startswith("/") or name[1:2] == ":":
        return "its name is an absolute path"
    parts = name.rstrip("/").split("/")
    if any(part in ("", ".", "..") for part in parts):
        return "its name leads out of the archive's own tree, or is not a plain path"
    return ""


def _bad_kind(info: zipfile.ZipInfo) -> str:
    if stat.S_IFMT(info.external_attr >> 16) not in _REGULAR:
        return "a link or a device, not a file"
    if info.flag_bits & 0x1:
        return "it is encrypted"
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return f"compressed by method {info.compress_type}; expected stored or deflated"
    return ""


def _bad_size(info: zipfile.ZipInfo) -> str:
    if info.compress_type == zipfile.ZIP_STORED and info.file_size != info.compress_size:
        return f"stored, but declares {info.file_size:,} bytes in {info.compress_size:,}"
    if info.file_size > BOMB_BYTES and info.file_size > MAX_RATIO * info.compress_size:
        return f"declares {info.file_size:,} bytes in {info.compress_size:,}: a zip bomb"
    return ""


def _check_overlap(path: Path, members: list[zipfile.ZipInfo]) -> None:
    """Members that share bytes make a small file inflate without end, each with an innocent ratio."""
    header = 30  # bytes of a local header without its name
    end, before = 0, ""
    for info in sorted(members, key=lambda info: info.header_offset):
        if info.header_offset < end:
            raise DataError(f"{path}: refused: {before!r} and {info.filename!r} share bytes: a zip bomb")
        end, before = info.header_offset + header + info.compress_size, info.filename
    if members and end > path.stat().st_size:
        raise DataError(
            f"{path}: cut short: {before!r} ends at byte {end:,}, the file has {path.stat().st_size:,}"
        )


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
