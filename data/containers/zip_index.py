"""The index of a zip: what its directory says, checked, in arrays that all processes of a machine share."""

from __future__ import annotations

import hashlib
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from data.base.errors import DataError
from data.base.freed_memory import give_back
from data.containers.name_list import NameList, name_order
from data.containers.shared_arrays import SharedArrays, smallest
from data.containers.zip_checks import HEADER_BYTES, check_members, overlap
from data.containers.zip_directory import (
    COLUMNS,
    HEAD_BYTES,
    UTF8,
    Members,
    ReadAt,
    find_directory,
    read_members,
)

_KEPT = [name for name in COLUMNS if name != "external"]  # that one is checked and not needed again


class Member(NamedTuple):
    """A file in a zip. offset: of its local header; crc: of its content; name_crc: of its name as it is written."""

    name: str
    offset: int
    compressed: int
    size: int
    crc: int
    name_crc: int
    method: int
    flags: int


class ZipIndex:
    """All members of a zip, a row each, in the directory's order. Pickles as where its arrays lie.

    It takes about 40 bytes and the name for each member.
    """

    def __init__(self, arrays: SharedArrays, directory: str) -> None:
        self.arrays, self.directory = arrays, directory  # the sha256 of the directory's bytes

    @property
    def names(self) -> NameList:
        """The name of each row, folders included: UTF-8 where that is known, else read as CP437."""
        return NameList(self.arrays["text"], self.arrays["starts"])

    def files(self) -> NDArray[Any]:
        """The rows that are files, not folders."""
        text, ends = self.arrays["text"], self.arrays["starts"][1:]
        rows = np.flatnonzero(text[ends - np.uint64(1)] != ord("/")) if len(text) else np.empty(0, np.int64)
        return rows.astype(smallest(rows))

    def files_by_name(self) -> NDArray[Any]:
        """The same, ordered by name."""
        kept = np.zeros(len(self.names), bool)
        kept[self.files()] = True
        order = self.arrays["order"]
        return order[kept[order]]

    def legacy(self) -> NDArray[np.int64]:
        """The rows whose names are in an encoding that the zip does not state."""
        letters = np.flatnonzero(self.arrays["text"] >= 0x80)
        rows = np.unique(np.searchsorted(self.arrays["starts"], letters, side="right") - 1)
        return rows[(self.arrays["flags"][rows].astype(np.uint16) & UTF8) == 0]

    def find(self, name: str) -> int | None:
        """The row of the member of this name, by bisection."""
        names, order = self.names, self.arrays["order"]
        low, high = 0, len(order)
        while low < high:
            middle = (low + high) // 2
            if names[int(order[middle])].rstrip("/") < name:
                low = middle + 1
            else:
                high = middle
        row = int(order[low]) if low < len(order) else -1
        return row if row >= 0 and names[row] == name else None

    def member(self, row: int) -> Member:
        """What the directory says of a row."""
        return Member(self.names[row], *(int(self.arrays[name][row]) for name in Member._fields[1:]))


def build_index(read: ReadAt, size: int, place: str) -> ZipIndex:
    """The index of an archive of `size` bytes, read in pieces, all members checked. `place` is for messages.

    BadZipFile where it has no whole directory; DataError, which names the member, for what `check_members` refuses,
    for two of one name, for members that share bytes and for an archive that is cut short.
    """
    where, digest = find_directory(read, size), hashlib.sha256()
    gathered = _begun(where.end - where.start)
    for piece, members in read_members(read, where):
        digest.update(piece)
        check_members(place, members)
        for name, values in _arrays(members).items():
            gathered.append(name, values)
    index = ZipIndex(SharedArrays(), digest.hexdigest())
    _add_names(index, gathered, place)
    for name in _KEPT:
        index.arrays.add(name, gathered[name], smallest(gathered[name]))
    _check_places(index, size, place)
    give_back()
    return index


def _begun(directory_bytes: int) -> SharedArrays:
    """Arrays wide enough for any members; a list of small arrays would leave freed memory behind."""
    arrays, most = SharedArrays(), directory_bytes // HEAD_BYTES
    arrays.reserve("text", np.uint8, 3 * directory_bytes)  # of a byte of CP437 three may become
    for name in ("length", "bare"):
        arrays.reserve(name, np.int64, most)
    for name in _KEPT:
        arrays.reserve(name, COLUMNS[name], most)
    return arrays


def _arrays(members: Members) -> dict[str, NDArray[Any]]:
    """bare: the length of the name without a folder's slash, since a file may not have the same name."""
    names = members.names
    return {
        "text": np.frombuffer(b"".join(names), np.uint8),
        "length": np.array([len(name) for name in names]),
        "bare": np.array([len(name.rstrip(b"/")) for name in names]),
    } | {name: members.columns[name] for name in _KEPT}


def _add_names(index: ZipIndex, gathered: SharedArrays, place: str) -> None:
    text = index.arrays.add("text", gathered["text"], np.uint8)
    starts = np.append(0, np.cumsum(gathered["length"]))
    index.arrays.add("starts", starts, smallest(starts))
    order, twice = name_order(text, starts[:-1], starts[:-1] + gathered["bare"])
    if len(twice):
        name = index.names[int(twice[0])]
        raise DataError(f"{place}: refused because of {name!r}: a second member has the same name")
    index.arrays.add("order", order, smallest(order))


def _check_places(index: ZipIndex, size: int, place: str) -> None:
    """DataError where members share bytes or go beyond the end of the file."""
    offset, compressed = (index.arrays[name].astype(np.uint64) for name in ("offset", "compressed"))
    if both := overlap(offset, compressed):
        first, second = (index.names[row] for row in both)
        raise DataError(f"{place}: refused: {first!r} and {second!r} share bytes: a zip bomb")
    beyond = (offset > size) | (compressed > size) | (offset + compressed + np.uint64(HEADER_BYTES) > size)
    for row in np.flatnonzero(beyond)[:1].tolist():
        member = index.member(row)
        end = member.offset + HEADER_BYTES + member.compressed
        raise DataError(f"{place}: cut short: {member.name!r} ends at byte {end:,}, the file has {size:,}")
