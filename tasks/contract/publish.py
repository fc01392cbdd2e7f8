"""A finished folder moves into its place by one rename, whatever is there."""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from collections.abc import Callable
from pathlib import Path

from data.base.files import flush
from data.base.temporary import temporary_name
from tasks.contract.artifacts import remove


def fsync_tree(folder: Path) -> None:
    """Flush every file, then the folders that name them: after the rename nothing may be in memory only."""
    paths = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    for path in [*paths, *(path for path in folder.rglob("*") if path.is_dir()), folder]:
        flush(path)


def publish(built: Path, final: Path, keep: Callable[[], bool]) -> bool:
    """Move a finished folder into place with one rename. True if ours is there now.

    If something is there already, `keep` decides: if another run finished the same artifact first, that one
    stays and ours is dropped; what is damaged, stale or to be made again is exchanged for ours.
    """
    fsync_tree(built)
    for _ in range(10):
        try:
            os.rename(built, final)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise
            if keep():
                remove(built)
                return False
            if not _swap(built, final):
                continue  # another run has just moved what was there: look again
        flush(final.parent)
        return True
    raise OSError(errno.EBUSY, "other processes keep replacing the folder", str(final))


def _swap(built: Path, final: Path) -> bool:
    """Exchange the two at once where the system can (renameat2), else by way of .old-*; False if it must be retried."""
    if _exchange(built, final):
        remove(built)  # that name now holds the old artifact
        return True
    old = temporary_name(final, "old")
    try:
        os.rename(final, old)
        os.rename(built, final)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTEMPTY, errno.EEXIST):
            raise
        return False
    remove(old)
    return True


def _exchange(first: Path, second: Path) -> bool:
    if not sys.platform.startswith("linux"):
        return False
    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except AttributeError:
        return False
    at_cwd, exchange = -100, 2
    return bool(renameat2(at_cwd, os.fsencode(first), at_cwd, os.fsencode(second), exchange) == 0)
