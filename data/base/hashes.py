"""The sha256 of a file, and a cache of known hashes. All hashing of files is done here."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import time
from collections.abc import Callable
from contextlib import suppress
from io import BufferedReader, FileIO
from pathlib import Path

from data.base.files import FILE_BYTES, atomic_write, open_plain
from data.base.progress import Progress, silent

CHUNK = 1 << 20


def sha256_file(path: Path, progress: Progress = silent) -> str:
    """Hex sha256 of a plain file; about 1 GB/s where the processor has the instructions for it.

    `progress` counts bytes. DataError where it can't be read, or is not a plain file.
    """
    with open_plain(path, FILE_BYTES) as file:
        return digest_of(file, progress, f"hashing {path.name}").hexdigest()


def digest_of(file: FileIO | BufferedReader, progress: Progress = silent, note: str = "") -> hashlib._Hash:
    """The running sha256 of an open file's bytes, from its current position to its end; more can be added to it."""
    size, done, digest = os.fstat(file.fileno()).st_size, 0, hashlib.sha256()
    chunk = memoryview(bytearray(min(max(size, 1), CHUNK)))
    while read := file.readinto(chunk):
        digest.update(chunk[:read])
        done += read
        progress(done, size, note)
    return digest


def file_identity(path: Path, cache: Path, progress: Progress = silent) -> str:
    """A file's sha256, remembered in `cache` (JSON) under its path, size, mtime and inode."""
    with KnownHashes(cache) as hashes:
        return hashes.of(path, progress)


def _stamp(entry: os.stat_result) -> list[int]:
    return [entry.st_size, entry.st_mtime_ns, entry.st_ctime_ns, entry.st_ino]


class KnownHashes:
    """A file of known hashes. Of two processes the later write wins; what is lost is computed again."""

    def __init__(self, cache: Path) -> None:
        self.cache, self.changed = cache, False
        try:
            known = json.loads(cache.read_bytes())
        except (OSError, ValueError, RecursionError):
            known = {}
        self.known: dict[str, list[object]] = known if isinstance(known, dict) else {}

    def __enter__(self) -> KnownHashes:
        return self

    def of(self, path: Path, progress: Progress = silent, largest: int = FILE_BYTES) -> str:
        """A plain file's sha256; for a picture above `largest`, which is never read, its size."""
        key = str(path.absolute())
        with suppress(OSError):  # reported where it is opened
            entry = path.stat()
            if isinstance(remembered := self.known.get(key), list) and remembered[:-1] == _stamp(entry):
                return str(remembered[-1])
            if entry.st_size > largest < FILE_BYTES and stat.S_ISREG(entry.st_mode):
                return f"{entry.st_size} bytes"
        with open_plain(path, FILE_BYTES) as file:
            entry = os.fstat(file.fileno())
            sha256 = digest_of(file, progress, f"hashing {path.name}").hexdigest()
        self._keep(key, entry, sha256)
        return sha256

    def about(self, path: Path, what: str, find: Callable[[], str]) -> str:
        """`find()`, a text that follows from a file's content, remembered under `what` as its sha256 is."""
        key = f"{path.absolute()} ({what})"
        entry = path.stat()
        if isinstance(remembered := self.known.get(key), list) and remembered[:-1] == _stamp(entry):
            return str(remembered[-1])
        text = find()
        self._keep(key, entry, text)
        return text

    def _keep(self, key: str, entry: os.stat_result, text: str) -> None:
        # A file written just now could change again within the clock's tick and keep its stamp.
        if time.time_ns() - entry.st_ctime_ns > 2_000_000_000:
            self.known[key], self.changed = [*_stamp(entry), text], True

    def __exit__(self, *failure: object) -> None:
        if not self.changed:
            return
        with suppress(OSError):  # no room, or no permission: hashed again the next time
            self.cache.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(self.cache) as temporary:
                temporary.write_text(json.dumps(self.known), encoding="utf-8")
