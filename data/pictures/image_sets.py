"""Pictures of an image set: ids and bytes, straight from a zip or a folder. Decoding is the backbone's."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.base.errors import DataError, listed
from data.base.files import PICTURE_BYTES, read_plain
from data.base.freed_memory import give_back
from data.catalog.entries import Ids, ImageSet
from data.containers.archives import Archive
from data.containers.name_list import NameList, name_arrays
from data.containers.shared_arrays import SharedArrays, smallest
from data.containers.zip_index import Member
from data.pictures.folders import expected_files, folder_files, is_picture
from data.pictures.picture_ids import coco_number, last_number, numbers_of, without_own_number


@dataclass(frozen=True, eq=False)
class Images:
    """Pictures in the order of their ids; `length` may leave out the last ones, `only` all but those with these ids.

    Names and ids lie in arrays that all processes of a machine share. It pickles as where they lie; on another
    machine the pictures are listed again. Each process opens the archive anew.
    """

    path: Path
    image_set: ImageSet | None
    archive: Archive | None
    listed: SharedArrays
    digest: str
    length: int
    only: frozenset[int] | None = None

    def __len__(self) -> int:
        return self.length

    @property
    def ids(self) -> NDArray[np.int64]:
        """(N,) int64, ascending."""
        return self._arrays["ids"][: self.length]

    @cached_property
    def names(self) -> NameList:
        """Relative paths, a row each."""
        return self._names("rows")[: self.length]

    @cached_property
    def skipped(self) -> NameList:
        """What else was there, sorted; a folder that is linked ends in a slash."""
        return self._names("skipped")

    def read(self, index: int) -> bytes:
        """The encoded bytes of row `index`.

        ContentError if the picture is at fault: its CRC differs, or it is above 64 MiB. DataError if it can't be read.
        """
        if self.archive is not None:
            return self.archive.read(self._member(index))
        return read_plain(self.path / self.names[index], PICTURE_BYTES)

    def size(self, index: int) -> int:
        """Bytes of row `index`, by the zip's directory or the file's entry."""
        if self.archive is not None:
            return self.archive.size(self._member(index))
        return (self.path / self.names[index]).stat().st_size

    def crc(self, index: int) -> int:
        """The CRC-32 of the bytes of row `index`: a zip's directory has it. Raises as `read` does."""
        if self.archive is not None:
            return self.archive.crc(self._member(index), PICTURE_BYTES)
        return zlib.crc32(self.read(index))

    def member(self, index: int) -> Member:
        """What a zip's directory says of row `index`."""
        assert self.archive is not None
        return self.archive.index.member(self._member(index))

    def row(self, image_id: int) -> int | None:
        """The row of an id, if there is one."""
        row = int(np.searchsorted(self.ids, image_id))
        return row if row < len(self) and self.ids[row] == image_id else None

    def legacy_rows(self) -> NDArray[np.int64]:
        """The rows whose names are in an encoding that the zip does not state: they were read as CP437."""
        if self.archive is None:
            return np.empty(0, np.int64)
        return np.flatnonzero(np.isin(self._arrays["rows"][: self.length], self.archive.index.legacy()))

    def _member(self, index: int) -> int:
        """Its row in the archive's index."""
        return int(self._arrays["rows"][index])

    @cached_property
    def _arrays(self) -> SharedArrays:
        if not self.listed.gone:
            return self.listed
        again = open_images(self.path, self.image_set, self.archive, self.only)
        if again.digest != self.digest:
            raise DataError(f"{self.path}: has other pictures here than where it was opened first")
        return again.listed

    def _names(self, rows: str) -> NameList:
        arrays = self._arrays if self.archive is None else self.archive.index.arrays
        return NameList(arrays["text"], arrays["starts"], self._arrays[rows])

    def __getstate__(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in fields(self)}


def open_images(
    path: Path,
    image_set: ImageSet | None = None,
    archive: Archive | None = None,
    only: Collection[int] | None = None,
) -> Images:
    """List the pictures of a zip or folder (nothing is decoded) and give them their ids.

    An image set with a prefix takes the number in each COCO name, and its count must be the catalog's; another one
    gives ids as its `ids` says (see ImageSet); without one they are the COCO numbers if every name has one, else 1..N
    by sorted relative path. DataError if there is no picture, the count is wrong, two pictures have one id, or a name
    lacks the number that it must end in. `archive`: the zip, where it is open already. `only`: leave out all pictures
    but those with these ids; DataError if one of them is not there.
    """
    images = _listed(Path(path), image_set, archive)
    give_back()  # of a million names: 100 MB
    _check(images)
    return images if only is None else _only(images, frozenset(only))


def _listed(path: Path, image_set: ImageSet | None, archive: Archive | None) -> Images:
    arrays = SharedArrays()
    if path.is_dir():
        text, starts = name_arrays(sorted(folder_files(path)))
        files = NameList(arrays.add("text", text, np.uint8), arrays.add("starts", starts, smallest(starts)))
    else:
        archive = archive or Archive(path)
        files = archive.index.names.picked(archive.index.files_by_name())
    wanted = np.fromiter((_is_wanted(name, image_set) for name in files), bool, len(files))
    names, skipped = files[wanted], files[~wanted]
    if archive is None:
        _check_names(path, names)
    ids = ids_of(path, names, image_set.ids if image_set else "paths")
    order = np.argsort(ids, kind="stable")
    arrays.add("ids", ids[order], np.int64)
    for kind, picked in (("rows", names.places()[order]), ("skipped", skipped.places())):
        arrays.add(kind, picked, smallest(picked))
    return Images(path, image_set, archive, arrays, _digest(arrays, archive), len(names))


def _only(images: Images, wanted: frozenset[int]) -> Images:
    ids, rows, arrays = images.ids, images.listed["rows"], SharedArrays()
    kept = np.isin(ids, np.fromiter(wanted, np.int64, len(wanted)))
    if missing := sorted(wanted - set(ids[kept].tolist())):
        raise DataError(lacking(images.path, images.image_set, missing, len(wanted)))
    if images.archive is None:
        for name in ("text", "starts"):
            arrays.add(name, images.listed[name], images.listed[name].dtype)
    arrays.add("ids", ids[kept], np.int64)
    arrays.add("rows", rows[kept], rows.dtype)
    arrays.add("skipped", images.listed["skipped"], images.listed["skipped"].dtype)
    digest = _digest(arrays, images.archive)
    return replace(images, listed=arrays, digest=digest, length=int(kept.sum()), only=wanted)


def lacking(path: Path, image_set: ImageSet | None, missing: Sequence[int], of: int) -> str:
    """What a message says of pictures that questions are about and that are not there, by the names they must have."""
    prefix = image_set.prefix if image_set else ""
    names = [f"{prefix}{number:012d}.jpg" if prefix else f"image_id {number}" for number in missing]
    return (
        f"{path}: lacks {len(missing):,} of the {of:,} pictures that are asked about: {listed(names)}. Expected all of "
        "them; do they belong to these questions?"
    )


def _is_wanted(name: str, image_set: ImageSet | None) -> bool:
    prefix = image_set.prefix if image_set else ""
    return is_picture(name) and not (prefix and coco_number(name, prefix) is None)


def _digest(arrays: SharedArrays, archive: Archive | None) -> str:
    digest = hashlib.sha256(archive.index.directory.encode() if archive else arrays["text"].tobytes())
    for name in ("ids", "rows"):
        digest.update(arrays[name].tobytes())
    return digest.hexdigest()


def ids_of(path: Path, names: Sequence[str], rule: Ids) -> NDArray[np.int64]:
    if rule == "paths":
        return _coco_or_counted(path, names)
    faults = without_own_number(names)
    if not faults:
        return numbers_of(names, last_number, len(names))
    if rule == "numbers":
        raise DataError(
            f"{path.resolve()}: official questions ask about these pictures by image_id, but {len(faults):,} of "
            f"{len(names):,} have no number of their own at the end of their name: {listed(faults)}. Rename or remove "
            "them, or state the data as [own.NAME], where a question may name its file in image or file_name"
        )
    return _counted(names)


def _counted(names: Sequence[str]) -> NDArray[np.int64]:
    return np.arange(1, len(names) + 1, dtype=np.int64)


def _coco_or_counted(path: Path, names: Sequence[str]) -> NDArray[np.int64]:
    ids = numbers_of(names, coco_number, len(names))
    if (ids < 0).any():
        return _counted(names)
    values, counts = np.unique(ids, return_counts=True)
    if len(values) < len(ids):
        twice = int(values[counts > 1][0])
        both = [names[int(row)] for row in np.flatnonzero(ids == twice)]
        raise DataError(f"{path}: two pictures have id {twice}: {both[0]} and {both[1]}; remove one")
    return ids


def _check_names(path: Path, names: NameList) -> None:
    """A feature file keeps the names as UTF-8; a folder from an old system may hold others."""
    for name in names:
        try:
            name.encode()
        except UnicodeEncodeError:
            raise DataError(f"{path}: the file name {name!r} is not UTF-8; rename it") from None


def _check(images: Images) -> None:
    image_set, skipped = images.image_set, images.skipped
    others = f"; {len(skipped):,} other files, such as {skipped[0]}" if len(skipped) else ""
    if not len(images):
        if image_set is not None and image_set.prefix:
            expected = f"names such as {image_set.prefix}000000000009.jpg"
        else:
            expected = expected_files()
        raise DataError(f"{images.path}: no pictures; expected {expected}{others}")
    if image_set is not None and image_set.images not in (None, len(images)):
        raise DataError(
            f"{images.path}: found {len(images):,} pictures, expected the {image_set.images:,} of "
            f"{image_set.name}{others}"
        )
