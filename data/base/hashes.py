"""The sha256 of a file, and a cache of those already known. Whoever hashes a file does it by what is here."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import time
from contextlib import suppress
from io import BufferedReader, FileIO
from pathlib import Path

from data.base.files import FILE_BYTES, open_plain
from data.base.progress import Progress, silent

CHUNK = 1 << 20


def sha256_file(path: Path, progress: Progress = silent) -> str:
    """Hex sha256 of a plain file; about 1 GB/s where the processor has the instructions for it.

    `progress` counts bytes. DataError where it can't be read, or is no plain file.
    """
    with open_plain(path, FILE_BYTES) as file:
        return digest_of(file, progress, f"hashing {path.name}").hexdigest()


def digest_of(file: FileIO | BufferedReader, progress: Progress = silent, note: str = "") -> hashlib._Hash:
    """The running sha256 of an open file's bytes, from where it stands to its end; more can be added to it."""
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
        """A plain file's sha256; for a picture above `largest`, which nobody is going to read, its size."""
        key = str(path.absolute())
        with suppress(OSError):  # is said where it is opened
            entry = path.stat()
            if isinstance(found := self.known.get(key), list) and found[:-1] == _stamp(entry):
                return str(found[-1])
            if entry.st_size > largest < FILE_BYTES and stat.S_ISREG(entry.st_mode):
                return f"{entry.st_size} bytes"
        with open_plain(path, FILE_BYTES) as file:
            entry = os.fstat(file.fileno())
            sha256 = digest_of(file, progress, f"hashing {path.name}").hexdigest()
        # A file written just now could change again within the clock's tick and keep its stamp.
        if time.time_ns() - entry.st_ctime_ns > 2_000_000_000:
            self.known[key], self.changed = [*_stamp(entry), sha256], True
        return sha256

    def __exit__(self, *failure: object) -> None:
        if not self.changed:
            return
        temporary = self.cache.with_name(f"{self.cache.name}.{os.getpid()}.tmp")
        with suppress(OSError):  # no room, or no permission: hashed again the next time
            try:
                self.cache.parent.mkdir(parents=True, exist_ok=True)
                temporary.write_text(json.dumps(self.known), encoding="utf-8")
                temporary.replace(self.cache)
            finally:
                temporary.unlink(missing_ok=True)
