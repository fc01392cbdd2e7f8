"""When freed memory is kept for the next request."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

from data.base.freed_memory import give_back

# malloc.h of glibc
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
_DEFAULTS = {_TRIM_THRESHOLD: 128 << 10, _MMAP_MAX: 65_536}
_KEEP = {_TRIM_THRESHOLD: (1 << 31) - 1, _MMAP_MAX: 0}


@contextmanager
def memory_kept() -> Iterator[None]:
    """Inside, the C library keeps freed blocks for the next request, and returns them at the end.

    A network frees and requests the same megabytes with every layer and batch. glibc returns such blocks at once,
    and the system clears each page of a fresh one when it is touched: a quarter of the time of VGG-16 and of
    prediction (`python -m bench.variants --only "freed memory given back"`). Other C libraries are left as they are.
    """
    library = ctypes.CDLL(None)
    if not hasattr(library, "mallopt"):
        yield
        return
    for option, value in _KEEP.items():
        library.mallopt(option, value)
    try:
        yield
    finally:
        for option, value in _DEFAULTS.items():
            library.mallopt(option, value)
        give_back()
