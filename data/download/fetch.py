"""Fetch a file so that it arrives whole and right, or not at all: over bad lines, kills and wrong servers.

No library does all of it: resume after a kill, refuse a wrong or changed file, several addresses, an end to
patience.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass
from pathlib import Path

from data.base.errors import DataError
from data.base.progress import Progress, silent
from data.catalog.entries import Source
from data.download.local_copies import addresses, local_copy, mismatch, verify_file
from data.download.responses import shown
from data.download.resume import open_part
from data.download.transfer import Job
from data.download.watch import Patience

__all__ = ["Fetched", "Patience", "download", "local_copy", "verify_file"]


@dataclass(frozen=True)
class Fetched:
    """What came, from which address, bytes moved by this run, and why other addresses failed."""

    sha256: str
    bytes: int
    url: str
    transferred: int
    failures: tuple[str, ...]


def download(
    source: Source,
    destination: Path,
    *,
    part_dir: Path,
    mirror: str | None = None,
    progress: Progress = silent,
    patience: Patience | None = None,
) -> Fetched:
    """Put the source's file at `destination`, verified; what has arrived is kept in `part_dir` until then.

    The mirror (a file:// folder or http address that has the file by name) is asked first, then the source's
    own addresses. Two runs at once: the second waits and takes what the first has fetched.
    DataError: no address gave the right file (each is named, with found and expected), or there is no room.
    """
    every = addresses(source, mirror)
    failures: list[str] = []
    try:
        while True:
            with open_part(part_dir, source, progress) as part:
                part.recall(progress)
                if part.taken and mismatch(source, part.sha256, part.size):
                    continue
                job = Job(source, part, progress, patience or Patience())
                url = "another run" if part.taken else job.fetch(every, failures)
                part.finish(destination)
                return Fetched(part.sha256, part.size, shown(url), job.transferred, tuple(failures))
    except OSError as error:
        raise not_written(source.file, error, part_dir) from error


def not_written(file: str, error: OSError, part_dir: Path) -> DataError:
    """What the system refused, for a transfer whose bytes gather in `part_dir`."""
    hint = "make room; " if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""
    where = error.filename or part_dir
    return DataError(f"{file}: can't be written to {where}: {error.strerror}; {hint}what arrived is kept")
