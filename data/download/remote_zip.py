"""A zip at an address: its directory, kept from run to run, and members of it by Range, several at a time."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from data.base.errors import DataError
from data.base.files import PICTURE_BYTES, atomic_write, write_json
from data.base.hashes import sha256_file
from data.containers.archives import BROKEN
from data.containers.inflate import read_content
from data.containers.zip_checks import HEADER_BYTES
from data.containers.zip_directory import TAIL, find_directory
from data.containers.zip_index import Member, ZipIndex, build_index
from data.download.ranges import RemoteFile
from data.download.responses import Refused, shown
from data.download.resume import write_all

Origin = dict[str, str | int]
"""What a kept directory is of."""

DIRECTORY_BYTES = 1 << 28  # of two million pictures; COCO's have 9 MB
GAP = 1 << 10  # bytes between two members that weigh less than a second request and the headers of its answer
GROUP_BYTES = 1 << 20
_EXTRA = 512  # bytes for the extra field of a local header, whose length only the header tells


class Wrong(Refused):
    """What came is not what the directory says."""


@dataclass(frozen=True)
class RemoteZip:
    """A remote zip's index, which is what `open_images` asks an archive for. end: where its directory begins."""

    index: ZipIndex
    end: int

    def span(self, member: Member) -> tuple[int, int]:
        """The first byte of a member, and where it ends at the latest: only its local header tells its own length."""
        place = int(np.searchsorted(self._offsets, member.offset, side="right"))
        limit = int(self._offsets[place]) if place < len(self._offsets) else self.end
        most = HEADER_BYTES + len(member.name.encode()) + _EXTRA + member.compressed
        return member.offset, min(limit, member.offset + most)

    @cached_property
    def _offsets(self) -> NDArray[np.uint64]:
        return np.sort(self.index.arrays["offset"].astype(np.uint64))


# ------------------------------------------------------------------------------------------ its directory


def open_remote(remote: RemoteFile, path: Path, told: Callable[[int, int], None]) -> RemoteZip:
    """The index of a remote zip. Its last bytes, from the directory on, are kept in a file at `path`.

    What a killed run left there is used where it is of this very zip, by its length, its last bytes and its ETag; a
    directory that was whole, by its hash, too. Refused where the zip or its address are not as they should be.
    """
    size = remote.size
    first = max(0, size - TAIL)
    tail = remote.read(first, size - first)
    try:
        where = find_directory(_over(first, tail, remote.read), size)
        if size - where.start > DIRECTORY_BYTES:
            raise BadZipFile(f"its directory has {size - where.start:,} bytes")
        origin: Origin = {"start": where.start, "end": hashlib.sha256(tail).hexdigest(), "size": size}
        origin |= {"url": shown(remote.url), "validator": remote.validator}
        held = _recall(path, origin)
        _complete(remote, path, where.start, held, told)
        _note(path, origin | {"sha256": sha256_file(path)})
        index = build_index(_over(where.start, path.read_bytes(), remote.read), size, remote.file)
    except (BadZipFile, UnicodeError, DataError) as error:
        forget(path)
        raise Refused(f"not a zip that can be used: {error}") from error
    return RemoteZip(index, where.start)


def forget(path: Path) -> None:
    """Remove a kept directory."""
    path.unlink(missing_ok=True)
    _side(path).unlink(missing_ok=True)


def _over(start: int, held: bytes, beyond: Callable[[int, int], bytes]) -> Callable[[int, int], bytes]:
    """Reads what is held of a file from `start` on, and the rest by `beyond`."""

    def read(offset: int, length: int) -> bytes:
        at = offset - start
        return held[at : at + length] if at >= 0 else beyond(offset, length)

    return read


def _side(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def _recall(path: Path, origin: Origin) -> int:
    """How many bytes of this very directory are here already; those of another one are removed."""
    if path.exists() and _is_of(path, origin):
        return path.stat().st_size
    forget(path)
    _note(path, origin)
    return 0


def _is_of(path: Path, origin: Origin) -> bool:
    try:
        known = json.loads(_side(path).read_bytes())
        other = known["url"] != origin["url"]
        same = all(known[name] == value for name, value in origin.items() if name not in ("url", "validator"))
        same = same and (other or known["validator"] == origin["validator"])
        return same and known.get("sha256") in (None, sha256_file(path))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return False


def _note(path: Path, origin: Origin) -> None:
    with atomic_write(_side(path)) as beside:  # torn by a kill, it would cost the directory once more
        write_json(beside, origin)


def _complete(
    remote: RemoteFile, path: Path, start: int, held: int, told: Callable[[int, int], None]
) -> None:
    """Fetch what is missing at the end; each piece goes straight to the kernel, so that a kill loses none of it."""
    with path.open("ab", buffering=0) as file:

        def put(chunk: bytes) -> None:
            write_all(file, chunk)
            told(file.tell(), remote.size - start)

        told(held, remote.size - start)
        remote.pour(start + held, remote.size, put)


# -------------------------------------------------------------------------------------------- its members


class Group(NamedTuple):
    """Members that one request brings, and the bytes of the zip that it asks for."""

    members: list[Member]
    start: int
    end: int


def groups(archive: RemoteZip, members: Sequence[Member], most: int) -> Iterator[Group]:
    """Members in their order, neighbours in the zip together, in groups of at most about `most` bytes."""
    group: Group | None = None
    for member in members:
        start, end = archive.span(member)
        if group and group.end <= start <= group.end + GAP and end - group.start <= most:
            group = Group([*group.members, member], group.start, end)
        else:
            if group:
                yield group
            group = Group([member], start, end)
    if group:
        yield group


def fetch_group(remote: RemoteFile, group: Group) -> list[bytes]:
    """The content of each member, checked by its size and CRC-32. Wrong where it is other bytes twice."""
    for member in group.members:
        if (most := max(member.size, member.compressed)) > PICTURE_BYTES:
            raise Refused(f"{member.name} declares {most:,} bytes; at most {PICTURE_BYTES:,} are read")
    try:
        return _fetched(remote, group)
    except Wrong:
        return _fetched(remote, group)


def _fetched(remote: RemoteFile, group: Group) -> list[bytes]:
    piece = remote.read(group.start, group.end - group.start)
    return [_content(remote, group.start, piece, member) for member in group.members]


def _content(remote: RemoteFile, start: int, piece: bytes, member: Member) -> bytes:
    def read(offset: int, length: int) -> bytes:
        at = offset - start
        inside = offset == member.offset or at + length <= len(piece)
        return piece[at : at + length] if inside else remote.read(offset, length)

    try:
        return read_content(read, member)
    except BROKEN as error:
        raise Wrong(f"{member.name} is damaged there: {error}") from error
