"""A file that is being downloaded: its bytes so far (.part), their origin (.part.json), and the lock on both."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path
from typing import IO

from data.base.files import atomic_write, flush, length
from data.base.hashes import digest_of
from data.base.progress import Progress, silent
from data.base.temporary import lives
from data.catalog.entries import Source

CHUNK = 1 << 20

BELONGINGS = ("", ".directory", ".directory.json")
"""The ends of the names of what a part and others keep of a transfer; a part's own .json is about bytes of its own."""

Origin = dict[str, str | int | None]


class Part:
    """The bytes of one source that have arrived, and their running sha256. Survives a kill at any moment.

    `mixed`: the bytes came in more than one answer, so a wrong hash may be the fault of the first.
    `taken`: another run finished this very file while we waited for it, and has moved it away.
    """

    def __init__(self, path: Path, file: FileIO, taken: bool) -> None:
        self.path, self.file, self.taken = path, file, taken
        self.size = os.fstat(file.fileno()).st_size
        self.mixed = self.size > 0
        self.digest = hashlib.sha256()
        self.origin = self._read_origin() if self.size else {}

    @property
    def sha256(self) -> str:
        return self.digest.hexdigest()

    def recall(self, progress: Progress = silent) -> None:
        """Hash what an earlier run left, so that the bytes to come can be added to it."""
        self.file.seek(0)
        self.digest = digest_of(self.file, progress, "checking what has arrived")

    def write(self, chunk: bytes) -> None:
        """Add bytes at the end, straight to the kernel: a kill loses none of them."""
        write_all(self.file, chunk)
        self.digest.update(chunk)
        self.size += len(chunk)

    def cut(self, size: int) -> None:
        """Keep the first `size` bytes only; call `recall` next."""
        self.file.truncate(size)
        self.size = size

    def restart(self) -> None:
        """Forget every byte."""
        self.file.truncate(0)
        self.size, self.mixed, self.digest, self.origin = 0, False, hashlib.sha256(), {}

    def note(self, url: str, etag: str, last_modified: str, total: int | None) -> None:
        """Remember what the bytes belong to: the server's validators and the whole length."""
        self.mixed = self.size > 0
        origin: Origin = {"url": url, "etag": etag, "last_modified": last_modified, "total": total}
        if origin == self.origin:
            return
        self.origin = origin
        with atomic_write(self._side()) as temporary:
            temporary.write_text(json.dumps(self.origin, indent=1) + "\n", encoding="utf-8")

    def changed(self, url: str, etag: str, total: int | None) -> bool:
        """Does an answer with this ETag and length belong to another file than the bytes that are here?"""
        known = self.origin
        tags_differ = known.get("url") == url and bool(etag) and known.get("etag") not in ("", None, etag)
        return tags_differ or (total is not None and known.get("total") not in (None, total))

    def validator(self, url: str) -> str:
        """What If-Range may hold for this address: a strong ETag, else the date; "" if neither is known."""
        if self.origin.get("url") != url:
            return ""
        etag = str(self.origin.get("etag") or "")
        return etag if etag.startswith('"') else str(self.origin.get("last_modified") or "")

    def finish(self, destination: Path) -> None:
        """Flush, then move to `destination` in one rename (by way of a copy on another file system)."""
        os.fsync(self.file.fileno())
        destination.parent.mkdir(parents=True, exist_ok=True)
        if self.taken:
            _link(self.file, destination)
        else:
            _move(self.path, destination)
            self._side().unlink(missing_ok=True)
        flush(destination.parent)

    def close(self) -> None:
        """Release the lock; nothing is left behind where nothing has arrived."""
        if self.size == 0 and not self.taken:
            self.path.unlink(missing_ok=True)
            self._side().unlink(missing_ok=True)
        self.file.close()

    def _side(self) -> Path:
        return self.path.with_name(f"{self.path.name}.json")

    def _read_origin(self) -> Origin:
        try:
            origin = json.loads(self._side().read_bytes())
        except (OSError, ValueError, RecursionError):
            return {}  # the hash still decides in the end
        return origin if isinstance(origin, dict) else {}


def write_all(file: FileIO, chunk: bytes) -> None:
    """Write all of it straight to the kernel."""
    left = memoryview(chunk)
    while left:
        left = left[file.write(left) :]


def part_path(folder: Path, source: Source) -> Path:
    """Where the bytes of a source are gathered; related files have names that begin with this one."""
    pin = source.sha256 or source.sha256_prefix
    key = pin or hashlib.sha256(repr(source.urls).encode()).hexdigest()
    return folder / f"{source.file}.{key[:16]}.part"


@contextmanager
def open_part(folder: Path, source: Source, progress: Progress = silent) -> Iterator[Part]:
    """The part of a source, ours until the block ends: waits while another run downloads the same file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = part_path(folder, source)
    try:
        part = _locked(path, source, progress)
    except _NoLocks:
        part = Part(own := _adopt(path), own.open("a+b", buffering=0), taken=False)
    try:
        yield part
    finally:
        part.close()


class _NoLocks(Exception):
    """This file system (some network ones), or this system, has no flock."""


def _locked(path: Path, source: Source, progress: Progress) -> Part:
    file = path.open("a+b", buffering=0)
    while not _try_lock(path, file):
        arrived = os.fstat(file.fileno()).st_size
        progress(arrived, source.bytes or 0, f"{source.file}: another run downloads it; waiting")
        time.sleep(0.2)
    try:
        taken = not os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        taken = True
    if taken and os.fstat(file.fileno()).st_size == 0:  # the other run gave up and removed it
        file.close()
        return _locked(path, source, progress)
    return Part(path, file, taken)


def _try_lock(path: Path, file: IO[bytes]) -> bool:
    try:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not _locks_lock(path.parent):
            raise OSError(errno.ENOLCK, "a second lock is granted too", str(path))
    except BlockingIOError:
        return False
    except (ImportError, OSError) as error:
        if os.fstat(file.fileno()).st_size == 0:
            path.unlink(missing_ok=True)
        file.close()
        raise _NoLocks from error
    return True


def _locks_lock(folder: Path) -> bool:
    """False where two open descriptions get the same lock: flock that does nothing, as on some network file systems."""
    import fcntl

    handles = [os.open(folder, os.O_RDONLY) for _ in range(2)]
    try:
        for handle in handles:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # as it should be; or folders can't be locked here, which says nothing of files
        return True
    finally:
        for handle in handles:
            os.close(handle)
    return False


def _adopt(path: Path) -> Path:
    """A part of this process's own, begun with the most that a dead one left: a rename has only one winner."""
    own = f"{path.name}.{socket.gethostname()}."
    mine = path.with_name(f"{own}{os.getpid()}")
    pids = {
        name.removeprefix(own).partition(".")[0] for name in os.listdir(path.parent) if name.startswith(own)
    }
    dead = [path.with_name(f"{own}{pid}") for pid in pids if pid.isdigit() and not lives(int(pid))]
    for left in sorted(dead, key=length, reverse=True):
        left.with_name(f"{left.name}.json").unlink(missing_ok=True)
        for end in BELONGINGS:
            _take_over(left.with_name(f"{left.name}{end}"), mine.with_name(f"{mine.name}{end}"))
    return mine


def _take_over(left: Path, mine: Path) -> None:
    with suppress(FileNotFoundError):  # there is none, or another process was faster
        if mine.exists():
            left.unlink()
        else:
            left.rename(mine)


def _link(file: IO[bytes], destination: Path) -> None:
    """Give the open file of another run a second name, where the system can; else copy it."""
    try:
        # Any src_dir_fd makes Python call linkat, which follows /proc's link as plain link() does not.
        os.link(f"/proc/self/fd/{file.fileno()}", destination, src_dir_fd=file.fileno())
    except OSError:
        file.seek(0)
        _copy(file, destination)


def _move(path: Path, destination: Path) -> None:
    try:
        path.replace(destination)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        with path.open("rb") as file:
            _copy(file, destination)
        path.unlink()


def _copy(file: IO[bytes], destination: Path) -> None:
    with atomic_write(destination) as temporary, temporary.open("wb") as copy:
        shutil.copyfileobj(file, copy, CHUNK)
