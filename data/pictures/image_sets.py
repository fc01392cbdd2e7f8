"""Pictures of an image set: ids and bytes, straight from a zip or a folder. Decoding is the backbone's."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from data.base.errors import DataError, listed
from data.base.files import PICTURE_BYTES, read_plain
from data.catalog.entries import Ids, ImageSet
from data.containers.archives import Archive
from data.pictures.folders import PICTURES, folder_files, folder_identity, is_picture
from data.pictures.picture_ids import coco_number, last_number, without_own_number

__all__ = ["Images", "folder_identity", "open_images"]


@dataclass(frozen=True)
class Images:
    """Pictures in the order of their ids. Pickles; each process opens the archive anew.

    ids: (N,) int64, ascending. names: relative paths, a row each. skipped: what else was there, sorted.
    """

    path: Path
    ids: npt.NDArray[np.int64]
    names: list[str]
    skipped: list[str]
    archive: Archive | None

    def __len__(self) -> int:
        return len(self.names)

    def read(self, index: int) -> bytes:
        """The encoded bytes of row `index`.

        ContentError if the picture is at fault: damaged by its CRC, or above 64 MiB. DataError if it can't be read.
        """
        name = self.names[index]
        if self.archive is not None:
            return self.archive.read(name)
        return read_plain(self.path / name, PICTURE_BYTES)


def open_images(path: Path, image_set: ImageSet | None = None) -> Images:
    """List the pictures of a zip or folder (nothing is decoded) and give them their ids.

    An image set with a prefix takes the number in each COCO name, and its count must be the catalog's; another one
    gives ids as its `ids` says (see ImageSet); without one they are the COCO numbers if every name has one, else 1..N
    by sorted relative path. DataError if there is no picture, the count is wrong, two pictures have one id, or a name
    lacks the number that it must end in.
    """
    path = Path(path)
    archive = None if path.is_dir() else Archive(path)
    found = sorted(folder_files(path) if archive is None else archive.names)
    names = [name for name in found if is_picture(name)]
    if image_set is not None and image_set.prefix:
        names = [name for name in names if coco_number(name, image_set.prefix) is not None]
    _check_names(path, names)
    kept = set(names)
    skipped = [name for name in found if name not in kept]
    ids = _ids(path, names, image_set.ids if image_set else "paths")
    order = np.argsort(ids, kind="stable")
    images = Images(path, ids[order], [names[row] for row in order], skipped, archive)
    _check(images, image_set)
    return images


def _ids(path: Path, names: list[str], rule: Ids) -> npt.NDArray[np.int64]:
    if rule == "paths":
        return _coco_or_counted(path, names)
    faults = without_own_number(names)
    if not faults:
        return np.array([last_number(name) for name in names], np.int64)
    if rule == "numbers":
        raise DataError(
            f"{path.resolve()}: official questions ask about these pictures by image_id, but {len(faults):,} of "
            f"{len(names):,} have no number of their own at the end of their name: {listed(faults)}. Rename or remove "
            "them, or state the data as [own.NAME], where a question may name its file in image or file_name"
        )
    return _counted(names)


def _counted(names: list[str]) -> npt.NDArray[np.int64]:
    return np.arange(1, len(names) + 1, dtype=np.int64)


def _coco_or_counted(path: Path, names: list[str]) -> npt.NDArray[np.int64]:
    numbers = [coco_number(name) for name in names]
    if None in numbers:
        return _counted(names)
    ids = np.array(numbers, dtype=np.int64)
    values, counts = np.unique(ids, return_counts=True)
    if len(values) < len(ids):
        twice = int(values[counts > 1][0])
        both = [name for name, number in zip(names, numbers, strict=True) if number == twice]
        raise DataError(f"{path}: two pictures have id {twice}: {both[0]} and {both[1]}; remove one")
    return ids


def _check_names(path: Path, names: list[str]) -> None:
    """A feature file keeps the names as UTF-8; a folder from an old system may hold others."""
    for name in names:
        try:
            name.encode()
        except UnicodeEncodeError:
            raise DataError(f"{path}: the file name {name!r} is not UTF-8; rename it") from None


def _check(images: Images, image_set: ImageSet | None) -> None:
    others = f"; {len(images.skipped):,} other files, such as {images.skipped[0]}" if images.skipped else ""
    if not images.names:
        if image_set is not None and image_set.prefix:
            expected = f"names such as {image_set.prefix}000000000009.jpg"
        else:
            expected = "files that end in " + ", ".join(sorted(PICTURES))
        raise DataError(f"{images.path}: no pictures; expected {expected}{others}")
    if image_set is not None and image_set.images not in (None, len(images)):
        raise DataError(
            f"{images.path}: found {len(images):,} pictures, expected the {image_set.images:,} of "
            f"{image_set.name}{others}"
        )
