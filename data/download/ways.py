"""The ways to some pictures of an image set: a copy, the zip at an address, or an address for each of them."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Collection, Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TypeVar, cast

from data.base.errors import DataError
from data.catalog.entries import ImageSet
from data.containers.archives import Archive
from data.containers.zip_index import Member
from data.download.choice import Earlier, Wanted, chosen
from data.download.gathering import Gathering
from data.download.in_order import in_order
from data.download.lines import MOST, Lines
from data.download.local_copies import file_path
from data.download.pictures import PictureServer
from data.download.ranges import Changed, RemoteFile
from data.download.remote_zip import (
    GROUP_BYTES,
    Group,
    RemoteZip,
    Wrong,
    fetch_group,
    forget,
    groups,
    open_remote,
)
from data.download.responses import Refused, shown
from data.download.watch import Patience
from data.pictures.image_sets import Images, open_images

LOST = 100  # a kill loses what is under way; that is at most a hundredth of all
_Work = TypeVar("_Work")


class Ways:
    """Each fills `gathering` with the pictures of these ids, and goes on where the one before it ended.

    kept: where a remote zip's directory gathers. transferred: bytes received. directory: sha256 of the one that vouches
    for the pictures, "" for a folder. unvouched: none does, they came one by one.
    """

    def __init__(
        self,
        image_set: ImageSet,
        ids: Collection[int],
        gathering: Gathering,
        kept: Path,
        earlier: Earlier,
        patience: Patience,
    ) -> None:
        self.image_set = replace(image_set, images=None)  # what counts is that the wanted ones are there
        self.ids, self.gathering, self.earlier = ids, gathering, earlier
        self.kept, self.patience = kept, patience
        self.transferred, self.directory, self.unvouched = 0, "", False
        self._known: dict[str, Wanted] = {}
        self._said, self._at_once = "", True

    # ------------------------------------------------------------------------------------------- a copy

    def copy(self, path: Path) -> None:
        """From a zip or a folder. DataError where it lacks some of them, or is damaged."""
        self._check_length(path)
        images = open_images(path, self.image_set)
        self.directory = images.archive.index.directory if images.archive else ""
        rows = chosen(images, self.image_set, self.ids)
        to_come = self.gathering.resume([_wanted(name, images, row) for name, row in rows.items()])
        self.gathering.add((images.read(rows[picture.name]) for picture in to_come), f"from {path}")

    def _check_length(self, path: Path) -> None:
        expected = None if self.image_set.source.path else self.image_set.source.bytes
        if path.is_file() and expected not in (None, length := path.stat().st_size):
            raise DataError(f"{path}: found {length:,} bytes, expected {expected:,}")

    # ---------------------------------------------------------------------------- the zip at an address

    def zip_at(self, url: str) -> None:
        """Out of the zip at an address, which may be a file's. Refused where it does not give them."""
        self._at_once = True
        if (path := file_path(url)) is None:
            return self._by_ranges(url)
        try:
            self.copy(path)
        except DataError as error:
            raise Refused(str(error)) from error

    def _by_ranges(self, url: str) -> None:
        """It may change, or be wrong, once."""
        try:
            self._ranges(url)
        except (Changed, Wrong) as error:
            self.gathering.tell(f"{shown(url)}: {error}; once more from its directory on")
            forget(self.kept)
            self._ranges(url)

    def _ranges(self, url: str) -> None:
        source = self.image_set.source
        with Lines(self.patience, self._tell) as lines:
            remote = RemoteFile(url, source.file, source.bytes, lines, self._tell)
            try:
                archive = open_remote(remote, self.kept, self._tell_directory)
                members = self._members(archive)
                self._known = {name: Wanted(name, it.size, it.crc) for name, it in members.items()}
                to_come = self.gathering.resume(list(self._known.values()))
                absent = self._absent(to_come)
                most = self.gathering.total // LOST
                work = groups(archive, [members[picture.name] for picture in absent], min(most, GROUP_BYTES))
                fetched = self._fetched(lines, work, partial(fetch_group, remote), _span, most, url)
                self._gather(to_come, absent, fetched, url)
            finally:
                self.transferred += remote.arrived

    def _members(self, archive: RemoteZip) -> dict[str, Member]:
        self.directory = archive.index.directory
        try:
            images = open_images(Path(self.image_set.source.file), self.image_set, cast(Archive, archive))
            rows = chosen(images, self.image_set, self.ids)
        except DataError as error:
            raise Refused(str(error)) from error
        return {name: images.member(row) for name, row in rows.items()}

    # -------------------------------------------------------------------------- an address for each one

    def one_by_one(self, base: str) -> None:
        """Each by itself, from below `base`: checked by a directory where one has come, else by length and decoding."""
        names = [self.image_set.member(image_id) for image_id in sorted(set(self.ids))]
        self.unvouched, self._at_once = not self._known, True
        with Lines(self.patience, self._tell) as lines:
            server = PictureServer(base, lines, self._tell)
            try:
                to_come = self.gathering.resume([self._known.get(name, Wanted(name)) for name in names])
                absent = self._absent(to_come)
                most = min(MOST, len(names) // LOST)
                fetched = self._fetched(lines, absent, partial(_single, server), _one, most, base)
                self._gather(to_come, absent, fetched, base)
            finally:
                self.transferred += server.arrived

    # ----------------------------------------------------------------------------------- what they share

    def _absent(self, pictures: Sequence[Wanted]) -> list[Wanted]:
        """Those that no earlier zip has."""
        return [picture for picture in pictures if self.earlier.content(picture) is None]

    def _fetched(
        self,
        lines: Lines,
        work: Iterable[_Work],
        fetch: Callable[[_Work], list[bytes]],
        cost: Callable[[_Work], int],
        ahead: int,
        url: str,
    ) -> Generator[list[bytes], None, None]:
        """What threads fetch for each piece of work, in order."""

        def idle() -> None:
            self.gathering.tell(self._said or f"from {shown(url)}")
            self._said = ""

        return in_order(work, fetch, cost, threads=MOST, ahead=ahead, idle=idle, stop=lines.close)

    def _gather(
        self,
        to_come: Sequence[Wanted],
        absent: Collection[Wanted],
        fetched: Generator[list[bytes], None, None],
        url: str,
    ) -> None:
        """Put together what is fetched of the absent ones and what earlier zips have of the others."""
        missing, self._at_once = set(absent), False
        with closing(fetched):
            new = chain.from_iterable(fetched)
            contents = (next(new) if it in missing else self.earlier.content(it) or b"" for it in to_come)
            self.gathering.add(contents, f"from {shown(url)}")
        self._at_once = True

    def _tell(self, why: str) -> None:
        """While many threads have something to say, the one that reports progress passes on the last of it."""
        if self._at_once:
            self.gathering.tell(why)
        else:
            self._said = why

    def _tell_directory(self, done: int, total: int) -> None:
        self.gathering.progress(done, total, f"the directory of {self.image_set.source.file}")


def _wanted(name: str, images: Images, row: int) -> Wanted:
    return Wanted(name, images.size(row), images.crc(row))


def _span(group: Group) -> int:
    return group.end - group.start


def _one(picture: Wanted) -> int:
    return 1


def _single(server: PictureServer, picture: Wanted) -> list[bytes]:
    content = server.fetch(picture.name)
    if picture.crc is not None and (len(content), zlib.crc32(content)) != (picture.size, picture.crc):
        raise Refused(f"{picture.name}: is not the picture that the zip has by this name")
    return [content]
