"""A small file system of a stated size, filled up to what a test leaves free: a tmpfs, which only root can mount."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

PAGE = 4096  # what a tmpfs gives and takes


class Disk:
    """A small file system; `leave` fills it up to so many free bytes."""

    def __init__(self, path: Path, size: int) -> None:
        self.path = path
        path.mkdir()
        self._mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs")

    def _mount(self, *words: str) -> None:
        done = subprocess.run(["mount", *words, str(self.path)], capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"mounting is not permitted here: {done.stderr.strip()}")

    def free(self) -> int:
        return shutil.disk_usage(self.path).free

    def leave(self, size: int) -> None:
        self.release()
        with (self.path / "ballast").open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, self.free() - size)
        assert self.free() == size

    def release(self) -> None:
        (self.path / "ballast").unlink(missing_ok=True)

    def read_only(self) -> None:
        self._mount("-o", "remount,ro")

    def close(self) -> None:
        """Fails where a file is still open: a writer that failed must have closed what it had."""
        subprocess.run(["umount", str(self.path)], check=True)


@contextmanager
def small_disks(path: Path) -> Iterator[Callable[[int], Disk]]:
    """A function that mounts a disk of so many bytes at `path`; unmounted in the end."""
    disks: list[Disk] = []

    def make(size: int) -> Disk:
        disks.append(Disk(path, size))
        return disks[0]

    yield make
    for disk in disks:
        disk.close()
