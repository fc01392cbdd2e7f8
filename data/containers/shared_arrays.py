"""Arrays that the processes of one machine share: each maps them, none copies them.

They lie in a file without a name (on Linux in memory), so that nothing is left when the last process ends, however it
ends. What is pickled is where the file can be opened while the pickling process is alive.
"""

from __future__ import annotations

import mmap
import os
import secrets
import stat
import tempfile
import weakref
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

_KEY_BYTES = 16
_BLOCK = 1 << 14  # values that are converted together


class SharedArrays:
    """Named one-dimensional arrays, which grow at their end and can't be changed.

    Unpickled on another machine, or after the first process has ended, they are `gone`: their owner must be able
    to make them again.
    """

    def __init__(self) -> None:
        self._file: int | None = _file_without_name()
        weakref.finalize(self, os.close, self._file)
        self._key = secrets.token_bytes(_KEY_BYTES)
        os.pwrite(self._file, self._key, 0)
        self._layout: dict[str, tuple[int, int, str]] = {}  # where it begins, how many there are, their type
        self._arrays: dict[str, NDArray[Any]] = {}
        self._end = _KEY_BYTES

    @property
    def gone(self) -> bool:
        """Whether they can't be reached from here."""
        return self._file is None

    def reserve(self, name: str, dtype: DTypeLike, most: int) -> None:
        """Begin an array of at most this length; unused length takes no room."""
        page = mmap.ALLOCATIONGRANULARITY
        start = -(-self._end // page) * page
        self._layout[name] = start, 0, np.dtype(dtype).str
        self._end = start + most * np.dtype(dtype).itemsize

    def append(self, name: str, values: NDArray[Any]) -> None:
        """Add values at an array's end. OSError where there is no room."""
        assert self._file is not None
        start, count, dtype = self._layout[name]
        for first in range(0, len(values), _BLOCK):
            block = np.ascontiguousarray(values[first : first + _BLOCK], dtype)
            _write(self._file, block, start + count * block.itemsize)
            count += len(block)
        self._layout[name] = start, count, dtype

    def add(self, name: str, values: NDArray[Any], dtype: DTypeLike) -> NDArray[Any]:
        """Add a complete array."""
        self.reserve(name, dtype, len(values))
        self.append(name, values)
        return self[name]

    def __getitem__(self, name: str) -> NDArray[Any]:
        if name not in self._arrays:
            self._arrays[name] = self._map(*self._layout[name])
        return self._arrays[name]

    def _map(self, start: int, count: int, dtype: str) -> NDArray[Any]:
        if not count:
            return np.empty(0, dtype)
        assert self._file is not None
        size = count * np.dtype(dtype).itemsize
        content = mmap.mmap(self._file, size, access=mmap.ACCESS_READ, offset=start)
        return np.frombuffer(content, dtype, count)

    def __getstate__(self) -> dict[str, Any]:
        place = "" if self._file is None else f"/proc/{os.getpid()}/fd/{self._file}"
        return {"place": place, "key": self._key, "layout": self._layout}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._key, self._layout, self._arrays = state["key"], state["layout"], {}
        self._file = _opened(state["place"], self._key)
        if self._file is not None:
            weakref.finalize(self, os.close, self._file)


def smallest(values: NDArray[Any]) -> np.dtype[Any]:
    """The smallest unsigned type that holds these numbers, none of which is below 0."""
    return np.min_scalar_type(int(values.max(initial=0)))


def _file_without_name() -> int:
    """A descriptor of a file in memory, where the system has those: no limit of /tmp applies to it."""
    with suppress(AttributeError, OSError):
        return os.memfd_create("vqa-arrays")
    with tempfile.TemporaryFile(buffering=0) as file:
        return os.dup(file.fileno())


def _write(handle: int, block: NDArray[Any], offset: int) -> None:
    left = block.data.cast("B")
    while left:
        written = os.pwrite(handle, left, offset)
        left, offset = left[written:], offset + written


def _opened(place: str, key: bytes) -> int | None:
    """A descriptor of the file that lies there, if it is the one with this key."""
    with suppress(OSError):
        if not stat.S_ISREG(os.stat(place).st_mode):
            return None
        handle = os.open(place, os.O_RDONLY | os.O_CLOEXEC)
        if os.pread(handle, len(key), 0) == key:
            return handle
        os.close(handle)
    return None
