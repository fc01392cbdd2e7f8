"""Which members of a zip, or files of a folder, are the pictures of some ids; and which of them are here already."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from data.base.errors import DataError, listed
from data.catalog.entries import ImageSet
from data.containers.archives import Archive
from data.pictures.image_sets import Images, ids_of


class Wanted(NamedTuple):
    """A picture by its name in the image set's zip. size, crc: by a directory; None where none is known."""

    name: str
    size: int | None = None
    crc: int | None = None


def chosen(images: Images, image_set: ImageSet, ids: Collection[int]) -> dict[str, int]:
    """The row of each picture of these ids, by its name in the image set's zip, ordered by name.

    DataError where some are not there, and where ids depend on which other pictures there are.
    """
    rows = {image_id: images.row(image_id) for image_id in sorted(ids)}
    absent = [_shown(image_id, image_set) for image_id, row in rows.items() if row is None]
    if absent:
        raise DataError(
            f"{images.path}: lacks {len(absent):,} of the {len(rows):,} pictures that are needed: {listed(absent, 3)}"
        )
    by_name = {_name_in_zip(images, image_set, row): row for row in rows.values() if row is not None}
    names = sorted(by_name)
    if not image_set.prefix and set(ids_of(images.path, names, image_set.ids).tolist()) != rows.keys():
        raise DataError(
            f"{images.path}: gives pictures their ids by their order, so that a part of them would have others; "
            "expected names that end in a number"
        )
    return {name: by_name[name] for name in names}


def _shown(image_id: int, image_set: ImageSet) -> str:
    return image_set.member(image_id) if image_set.prefix else str(image_id)


def _name_in_zip(images: Images, image_set: ImageSet, row: int) -> str:
    """A folder of an unpacked COCO zip has the last part of the name only."""
    name = images.names[row]
    if images.archive is None and image_set.prefix:
        return f"{PurePosixPath(image_set.source.file).stem}/{name.rpartition('/')[2]}"
    return name


class Earlier:
    """Zips that were made for fewer pictures: what they hold of the wanted ones does not have to come again."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._archives = [archive for path in paths if (archive := _opened(path))]

    def content(self, picture: Wanted) -> bytes | None:
        """The bytes of a picture; None where it is in none of them whole and as the directory has it."""
        for archive in self._archives:
            row = archive.index.find(picture.name)
            if row is None or not _fits(archive, row, picture):
                continue
            try:
                return archive.read(row)
            except DataError:
                continue
        return None


def _opened(path: Path) -> Archive | None:
    """None for a zip that is gone or damaged: its pictures come again."""
    try:
        return Archive(path)
    except DataError:
        return None


def _fits(archive: Archive, row: int, picture: Wanted) -> bool:
    member = archive.index.member(row)
    return picture.crc is None or (member.size, member.crc) == (picture.size, picture.crc)
