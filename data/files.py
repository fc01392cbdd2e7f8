"""What several writers of files need: flushing a name to the disk, and lengths while others remove files."""

from __future__ import annotations

import os
from pathlib import Path


def flush(path: Path) -> None:
    """Bring a file's bytes, or a folder's names, to the disk. OSError where the system refuses."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def length(path: Path) -> int:
    """Bytes of a file, a link's own; 0 where there is none any more."""
    try:
        return path.lstat().st_size
    except FileNotFoundError:
        return 0
