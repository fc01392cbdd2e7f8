"""Pictures that are both trained on and judged by: the same one of an image set, or two with equal bytes."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from data.base.errors import ContentError
from data.base.progress import Progress, silent
from data.pictures.image_sets import Images


@dataclass(frozen=True)
class SplitPictures:
    """The pictures of an image set that questions of a split are about, by their ids."""

    image_set: str
    images: Images
    ids: frozenset[int]

    def rows(self) -> list[int]:
        """Their rows in `images`."""
        return [row for row, number in enumerate(self.images.ids.tolist()) if number in self.ids]


@dataclass(frozen=True)
class Shared:
    """A judged picture that is in training too. `twin` is its name there, or that of a picture with equal bytes."""

    image_id: int
    name: str
    twin: str


@dataclass(frozen=True)
class _Picture:
    images: Images
    row: int

    @property
    def name(self) -> str:
        return self.images.names[self.row]


_Pictures = Sequence[_Picture]


def shared_pictures(
    trained: Sequence[SplitPictures], judged: SplitPictures, progress: Progress = silent
) -> list[Shared]:
    """The judged pictures that are in training too, by id.

    Nothing is decoded. Bytes are read only where sizes are equal, and CRC-32s too: those stand in a zip's directory.
    An empty file, and one that can't be read as a picture's bytes, equals nothing. `progress` counts
    judged pictures of a size that others have.
    """
    same = frozenset().union(*(part.ids for part in trained if part.image_set == judged.image_set))
    by_path = [row for row in judged.rows() if int(judged.images.ids[row]) in same]
    names = {row: judged.images.names[row] for row in by_path}
    ours = [_Picture(judged.images, row) for row in judged.rows() if row not in names]
    theirs = [_Picture(part.images, row) for part in trained for row in part.rows()]
    names |= {mine.row: twin.name for mine, twin in _equal(ours, theirs, progress)}
    return [
        Shared(int(judged.images.ids[row]), judged.images.names[row], twin)
        for row, twin in sorted(names.items())
    ]


def _equal(ours: _Pictures, theirs: _Pictures, progress: Progress) -> Iterator[tuple[_Picture, _Picture]]:
    """Each of our pictures that one of theirs has the bytes of, with the first such."""
    of_one_size = _alike(ours, theirs, _size)
    total, done = sum(len(mine) for mine, _ in of_one_size), 0
    for pictures in of_one_size:
        for of_one_crc in _alike(*pictures, _crc):
            for mine, others in _alike(*of_one_crc, _hash):
                yield from ((picture, others[0]) for picture in mine)
        done += len(pictures[0])
        progress(done, total, "comparing pictures")


def _alike(
    ours: _Pictures, theirs: _Pictures, tell: Callable[[_Picture], Any]
) -> list[tuple[list[_Picture], list[_Picture]]]:
    """Pictures, ours and theirs, for which `tell` gives the same value, where both have some. None matches nothing."""
    groups: defaultdict[Any, tuple[list[_Picture], list[_Picture]]] = defaultdict(lambda: ([], []))
    for side, pictures in enumerate((ours, theirs)):
        for picture in pictures:
            groups[tell(picture)][side].append(picture)
    groups.pop(None, None)
    return [(mine, others) for mine, others in groups.values() if mine and others]


def _size(picture: _Picture) -> int | None:
    return picture.images.size(picture.row) or None


def _crc(picture: _Picture) -> int | None:
    with suppress(ContentError):
        return picture.images.crc(picture.row)
    return None


def _hash(picture: _Picture) -> str | None:
    with suppress(ContentError):
        content = picture.images.read(picture.row)
        return hashlib.sha256(content).hexdigest()
    return None
