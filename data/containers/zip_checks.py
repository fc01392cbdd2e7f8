"""What no honest archive of data holds: it is refused before a byte is used."""

from __future__ import annotations

import re
import stat
from typing import Any, NamedTuple
from zipfile import ZIP_DEFLATED, ZIP_STORED

import numpy as np
from numpy.typing import NDArray

from data.base.errors import DataError
from data.containers.zip_directory import UTF8, Members

MAX_RATIO = 200  # real JSON and text reach 20; only deflate's degenerate inputs come near its limit of 1,032
BOMB_BYTES = 64 << 20  # a small member may have any ratio: it can't hurt
HEADER_BYTES = 30  # of a local header, without its name

_REGULAR = (0, stat.S_IFREG, stat.S_IFDIR)
_ENCRYPTED, _PATCH = 0x1, 0x20  # flags
_SUSPICIOUS = re.compile(rb"[\0\\]|(?:^|/)\.{0,2}(?:/|$)|^.:", re.DOTALL)  # most names need no other check
_SECOND_HALF = re.compile(rb"[\x81-\xfe]\\")  # a backslash that is half of a Chinese or Japanese letter


class _Entry(NamedTuple):
    """What the directory says of a member; `name` as it is shown."""

    name: str
    flags: int
    method: int
    external: int
    size: int
    compressed: int


def check_members(place: str, members: Members) -> None:
    """Refuse, with a DataError that names the first, members that can't be data: `place` is the archive's name.

    Names outside the archive's own tree, links and devices, encrypted or exotically compressed members, and those
    that declare an absurd size.
    """
    suspects = _strange(members.columns)
    suspects |= np.array([bool(_SUSPICIOUS.search(name)) for name in members.names], bool)
    for row in np.flatnonzero(suspects).tolist():
        values = {name: int(members.columns[name][row]) for name in _Entry._fields[1:]}
        entry = _Entry(members.names[row].decode(), **values)
        if why := _bad_name(entry) or _bad_kind(entry) or _bad_size(entry):
            raise DataError(f"{place}: refused because of {entry.name!r}: {why}")


def _strange(columns: dict[str, NDArray[Any]]) -> NDArray[np.bool_]:
    """True where `_bad_kind` or `_bad_size` finds a fault."""
    size, compressed, method = columns["size"], columns["compressed"], columns["method"]
    return (
        ~np.isin(columns["external"] >> 16 & 0o170000, _REGULAR)
        | ((columns["flags"] & (_ENCRYPTED | _PATCH)) != 0)
        | (method != ZIP_DEFLATED) & ((method != ZIP_STORED) | (size != compressed))
        | (size > BOMB_BYTES) & (size // MAX_RATIO >= compressed)
    )


def _bad_name(entry: _Entry) -> str:
    name = entry.name
    if "\0" in name or "\\" in _without_letters(entry):
        return "a NUL or a backslash in its name"
    if name.startswith("/") or name[1:2] == ":":
        return "its name is an absolute path"
    parts = name.rstrip("/").split("/")
    if any(part in ("", ".", "..") for part in parts):
        return "its name leads out of the archive's own tree, or is not a plain path"
    return ""


def _without_letters(entry: _Entry) -> str:
    """The name without the letters whose second byte looks like a backslash."""
    if entry.flags & UTF8 or entry.name.isascii():
        return entry.name
    return _SECOND_HALF.sub(b"", entry.name.encode("cp437")).decode("cp437")


def _bad_kind(entry: _Entry) -> str:
    if stat.S_IFMT(entry.external >> 16) not in _REGULAR:
        return "a link or a device, not a file"
    if entry.flags & _ENCRYPTED:
        return "it is encrypted"
    if entry.flags & _PATCH:
        return "it is a patch, not a file"
    if entry.method not in (ZIP_STORED, ZIP_DEFLATED):
        return f"compressed by method {entry.method}; expected stored or deflated"
    return ""


def _bad_size(entry: _Entry) -> str:
    if entry.method == ZIP_STORED and entry.size != entry.compressed:
        return f"stored, but declares {entry.size:,} bytes in {entry.compressed:,}"
    if entry.size > BOMB_BYTES and entry.size > MAX_RATIO * entry.compressed:
        return f"declares {entry.size:,} bytes in {entry.compressed:,}: a zip bomb"
    return ""


class Overlap(NamedTuple):
    """Two members that share bytes, by their rows."""

    first: int
    second: int


def overlap(offset: NDArray[Any], compressed: NDArray[Any]) -> Overlap | None:
    """Members that share bytes make a small file inflate without end, each with an innocent ratio."""
    order = np.argsort(offset, kind="stable")
    ends = offset[order] + compressed[order] + np.uint64(HEADER_BYTES)
    shared = np.flatnonzero(offset[order][1:] < ends[:-1])
    return Overlap(int(order[shared[0]]), int(order[shared[0] + 1])) if len(shared) else None
