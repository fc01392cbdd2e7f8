"""Some pictures of an image set without all of its zip: out of the remote one by Range, or out of a copy.

They lie in a small zip of stored members, in the order of their names, which are those of the set's own zip: the
same pictures are the same bytes, whichever way they came.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from data.base.errors import DataError
from data.base.progress import Progress, silent
from data.catalog.entries import ImageSet, Source
from data.download.choice import Earlier
from data.download.fetch import addresses, not_written
from data.download.gathering import Gathering
from data.download.local_copies import local_copy
from data.download.ranges import Unranged
from data.download.remote_zip import forget
from data.download.responses import Refused, shown
from data.download.resume import Part, open_part, part_path
from data.download.watch import Patience
from data.download.ways import Ways

ONE_BY_ONE = b"one by one, checked by Content-Length and decoding only"
"""The comment of a small zip for whose pictures no directory vouches."""


@dataclass(frozen=True)
class FetchedMembers:
    """The small zip's sha256 and bytes, its pictures, where they came from, and what it took.

    one_by_one: pictures that came from addresses of their own, checked by Content-Length and by decoding only: all or
    none. directory: sha256 of the directory of the zip that vouches for the others; "" for a folder, and where another
    run fetched them. transferred: bytes received by this run. failures: why other addresses failed.
    """

    sha256: str
    bytes: int
    pictures: int
    one_by_one: int
    directory: str
    url: str
    transferred: int
    failures: tuple[str, ...]


def fetch_members(
    image_set: ImageSet,
    ids: Collection[int],
    to: Path,
    *,
    parts: Path,
    have: Path | None = None,
    earlier: Sequence[Path] = (),
    mirror: str | None = None,
    progress: Progress = silent,
    patience: Patience | None = None,
) -> FetchedMembers:
    """Put the pictures of these ids into a small zip at `to`; what has arrived is kept in `parts` until then.

    have: a zip or folder of the image set that serves, whole (DownloadImages' file); else a copy where `local_copy`
    finds one; else the addresses are asked, as `download` does. Where a server ignores Range, the addresses of single
    pictures are asked that the catalog has. earlier: small zips made for fewer pictures, whose pictures need not come
    again. progress: bytes, pictures in its note.
    DataError: the set lacks pictures (counted, the first three named), no address gave them, or there is no room.
    """
    source, failures = image_set.source, list[str]()
    have = have or local_copy(source, mirror, unpacked=True)
    every = [] if have else addresses(source, mirror)
    try:
        with open_part(parts, _part_source(image_set, ids), progress) as part:
            gathering = Gathering(part, source.file, progress)
            ways = Ways(image_set, ids, gathering, _kept(part), Earlier(earlier), patience or Patience())
            if part.taken:
                part.recall(progress)
                url = "another run"
            else:
                url = _fill(ways, have, every, failures)
            part.finish(to)
            forget(_kept(part))
            return _record(part, ids, ways, url, failures)
    except OSError as error:
        raise not_written(source.file, error, parts) from error


def members_part(parts: Path, image_set: ImageSet, ids: Collection[int]) -> Path:
    """Where the pictures are gathered; related files have names that begin with this one."""
    return part_path(parts, _part_source(image_set, ids))


def _part_source(image_set: ImageSet, ids: Collection[int]) -> Source:
    key = f"{image_set.source.identity} {image_set.prefix} {sorted(set(ids))}"
    return replace(image_set.source, sha256=hashlib.sha256(key.encode()).hexdigest(), bytes=None)


def _kept(part: Part) -> Path:
    """Where a remote zip's directory gathers."""
    return part.path.with_name(f"{part.path.name}.directory")


def _fill(ways: Ways, have: Path | None, every: list[str], failures: list[str]) -> str:
    """Take the first way that brings every picture; returns where they came from."""
    if have is not None:
        ways.copy(have)
        url = str(have)
    else:
        url = _first_address(ways, every, failures)
    ways.gathering.close(ONE_BY_ONE if ways.unvouched else b"")
    return url


def _first_address(ways: Ways, every: list[str], failures: list[str]) -> str:
    """The zip at each address in turn; the pictures by themselves only where a server gives no parts of it."""
    whole_only = False
    for url in every:
        try:
            ways.zip_at(url)
            return shown(url)
        except Refused as error:
            failures.append(f"{shown(url)}: {error}")
            whole_only |= isinstance(error, Unranged)
            ways.gathering.tell(failures[-1])
    for base in ways.image_set.pictures if whole_only else ():
        try:
            ways.one_by_one(base)
            return shown(base)
        except Refused as error:
            failures.append(f"{shown(base)}: {error}")
            ways.gathering.tell(failures[-1])
    raise _nobody(ways.gathering, ways.image_set, failures)


def _nobody(gathering: Gathering, image_set: ImageSet, failures: list[str]) -> DataError:
    count, file = len(gathering.members), image_set.source.file
    kept = f"{count:,} pictures that arrived are kept and continued next time. " if count else ""
    return DataError(
        f"{image_set.name}: pictures of {file} could not be fetched:",
        *(f"  {failure}" for failure in failures),
        f"{kept}If you have {file}, or a folder of its pictures, say so in luigi.cfg: "
        "[sources] mirror = file:///its/folder",
    )


def _record(part: Part, ids: Collection[int], ways: Ways, url: str, failures: list[str]) -> FetchedMembers:
    count = len(set(ids))
    end = os.pread(part.file.fileno(), len(ONE_BY_ONE), max(0, part.size - len(ONE_BY_ONE)))
    return FetchedMembers(
        sha256=part.sha256,
        bytes=part.size,
        pictures=count,
        one_by_one=count if end == ONE_BY_ONE else 0,
        directory=ways.directory,
        url=url,
        transferred=ways.transferred,
        failures=tuple(failures),
    )
