"""A zip of COCO's size that lies nowhere: any bytes of it are made when they are asked for.

Its members have COCO's names, the sizes that add up to the bytes of the real archive, and the fields that Info-ZIP
writes (99 bytes before a picture, 111 in the directory, twelve more behind 4 GiB). A picture is one of a few drawn
JPEGs, the largest that its size has room for, with the member's name in a comment and zeros behind its end: no two are
equal, and decoding one costs what it does for a photograph of this size.
"""

from __future__ import annotations

import hashlib
import random
import struct
import zlib
from bisect import bisect_right
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bench.pictures import photograph

LEVELS = ((30, 0), (80, 0), (90, 0), *((95, grain) for grain in (0, 2, 4, 6, 8, 12, 24, 48)))
"""JPEG quality and grain of drawn pictures, from 20 kB to 290 kB."""
VARIETY = 3  # different pictures of a level
SPREAD = 0.35  # of the logarithm of a picture's size
ZIP64 = 0xFFFFFFFF  # numbers from here on stand in the zip64 fields

_TIME = 1_400_000_000
_LOCAL = struct.pack("<2HBLL", 0x5455, 9, 3, _TIME, _TIME) + struct.pack(
    "<2HBBLBL", 0x7875, 11, 1, 4, 0, 4, 0
)
_CENTRAL = struct.pack("<2HBL", 0x5455, 5, 3, _TIME) + _LOCAL[13:]
_STORED = struct.pack("<3H2H", 10, 0, 0, 0x6B20, 0x44AD)  # version, flags, method, time, date


class BigZip:
    """`size` bytes that `read` makes, and their `sha256`. The pictures' sizes follow from their number and `size`."""

    def __init__(self, folder: str, names: Sequence[str], size: int) -> None:
        mixed = random.Random(0).sample(names, len(names))  # in no order, as a file system lists them
        self.names = [f"{folder}/".encode(), *(f"{folder}/{name}".encode() for name in mixed)]
        self.levels = [[_drawn(number, *level) for number in range(VARIETY)] for level in LEVELS]
        self.bounds = [max(map(len, level)) for level in self.levels]
        self.heads = np.array([len(_local_head(name, 0, 0)) for name in self.names])
        self.size = size
        self.sizes = self._sizes()
        self.starts = self._starts(self.sizes)
        self.crcs: list[int] = []
        self.tail, self.sha256 = self._hashed()

    def read(self, start: int, end: int) -> bytes:
        """These bytes."""
        row = int(np.searchsorted(self.starts, start, side="right")) - 1
        first, pieces, length = int(self.starts[row]), list[bytes](), 0
        while length < end - first:
            pieces.append(self._member(row) if row < len(self.names) else self.tail)
            length += len(pieces[-1])
            row += 1
        return b"".join(pieces)[start - first : end - first]

    def content(self, row: int) -> bytes:
        """A picture; nothing for the folder, which is the first member."""
        name, size = self.names[row], int(self.sizes[row])
        if not size:
            return b""
        head = struct.pack(">HHH", 0xFFD8, 0xFFFE, 2 + len(name)) + name
        level = self.levels[bisect_right(self.bounds, size - len(head)) - 1]
        return (head + level[row % VARIETY]).ljust(size, b"\0")

    def _member(self, row: int) -> bytes:
        return _local_head(self.names[row], self.crcs[row], int(self.sizes[row])) + self.content(row)

    # ------------------------------------------------------------------------------------------------- sizes

    def _sizes(self) -> NDArray[np.int64]:
        """As scattered as photographs are, and such that the archive has its size to the byte."""
        count = len(self.names) - 1
        drawn = np.random.default_rng(0).lognormal(0, SPREAD, count)
        sizes = np.array([0, *(self.size * drawn / drawn.sum()).astype(np.int64)])
        for _ in range(2):
            sizes[1:] += (self.size - self._length(sizes)) // count
        sizes[-1] += self.size - self._length(sizes)
        assert self._length(sizes) == self.size
        return sizes

    def _starts(self, sizes: NDArray[np.int64]) -> NDArray[np.int64]:
        """Where each member begins, and behind the last one the directory."""
        return np.concatenate([[0], np.cumsum(self.heads + sizes)])

    def _length(self, sizes: NDArray[np.int64]) -> int:
        starts = self._starts(sizes)
        wide = int((starts[:-1] >= ZIP64).sum())
        entries = sum(len(_entry(name, 0, 0, 0)) for name in self.names) + 12 * wide
        return int(starts[-1]) + entries + len(_end(len(self.names), int(starts[-1]), entries))

    # ------------------------------------------------------------------------------------------------- bytes

    def _hashed(self) -> tuple[bytes, str]:
        """The directory, and the hash of everything: each picture is made once for that."""
        sha256, entries = hashlib.sha256(), list[bytes]()
        for row, name in enumerate(self.names):
            content, size = self.content(row), int(self.sizes[row])
            self.crcs.append(zlib.crc32(content))
            sha256.update(_local_head(name, self.crcs[row], size))
            sha256.update(content)
            entries.append(_entry(name, self.crcs[row], size, int(self.starts[row])))
        tail = b"".join(entries)
        tail += _end(len(entries), int(self.starts[-1]), len(tail))
        sha256.update(tail)
        return tail, sha256.hexdigest()


def _drawn(number: int, quality: int, grain: int) -> bytes:
    """A JPEG without the two bytes that it begins with."""
    return photograph(number, quality=quality, grain=grain)[2:]


def _local_head(name: bytes, crc: int, size: int) -> bytes:
    fields = struct.pack("<3L2H", crc, size, size, len(name), len(_LOCAL))
    return b"PK\3\4" + _STORED + fields + name + _LOCAL


def _entry(name: bytes, crc: int, size: int, start: int) -> bytes:
    extra = _CENTRAL + (struct.pack("<2HQ", 1, 8, start) if start >= ZIP64 else b"")
    mode = 0o40755 << 16 | 0x10 if name.endswith(b"/") else 0o100644 << 16
    fields = struct.pack("<3L5H2L", crc, size, size, len(name), len(extra), 0, 0, 0, mode, min(start, ZIP64))
    return b"PK\1\2" + struct.pack("<H", 3 << 8 | 30) + _STORED + fields + name + extra


def _end(count: int, start: int, length: int) -> bytes:
    most, wide = 0xFFFF, b""
    if count >= most or start >= ZIP64:
        made_by = 3 << 8 | 45
        wide = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, made_by, 45, 0, 0, count, count, length, start)
        wide += struct.pack("<4sLQL", b"PK\6\7", 0, start + length, 1)
    counts = min(count, most), min(count, most)
    return wide + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, *counts, length, min(start, ZIP64), 0)
