"""Finds the pictures that rows of your own data name."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Set
from copy import copy
from functools import cached_property

from data.base.errors import listed
from data.containers.name_readings import ENCODINGS, read_as, readings, written
from data.own.absent_pictures import reasons
from data.pictures.image_sets import Images

_AMBIGUOUS = -1  # in the place of a picture's id


class PictureNames:
    """The pictures of an image set by path, and by each shorter end of it (b/c.jpg and c.jpg for a/b/c.jpg).

    names: all names that are going to be looked up. Where a zip does not state the encoding of its names, they are
    read in the one in which most of these are found.
    elsewhere: names that were found only by their end, because they begin with another folder.
    """

    def __init__(self, images: Images, names: Iterable[str]) -> None:
        self.images, self.names = images, dict.fromkeys(names)
        self.place = images.path.resolve().name.removesuffix(".zip")
        self.elsewhere: dict[str, str] = {}
        self.tables = self._tables()

    def find(self, name: str) -> int | str:
        """The id of the picture of this name, or why there is none.

        The name is a path inside the image set or the end of one; else the longest end of it that is a picture's
        decides: the table may hold paths of another machine.
        """
        numbers = {encoding: table.find(name) for encoding, table in self.tables.items()}
        number = next(iter(numbers.values()))
        if len(set(numbers.values())) > 1:
            return self._told_readings(name, numbers)
        if number is None:
            return f"no picture {name!r}{self._reasons.get(name, '')}"
        if number == _AMBIGUOUS:
            return f"several pictures are called {name!r}: give the folder too"
        if any(name in table.elsewhere for table in self.tables.values()):
            self.elsewhere[name] = name_of(self.images, number)
        return number

    def _told_readings(self, name: str, numbers: dict[str, int | None]) -> str:
        texts = [
            f"{encoding}: {'none' if number is None else name_of(self.images, number)}"
            for encoding, number in numbers.items()
            if number != _AMBIGUOUS
        ]
        return f"{name!r} depends on the encoding of the zip's names, which it does not tell ({listed(texts, 3)})"

    def told_elsewhere(self) -> str:
        pairs = [f"{name!r} is {picture!r}" for name, picture in self.elsewhere.items()]
        return (
            f"{len(pairs):,} pictures are named by another place and taken by their end: {listed(pairs, 3)}"
        )

    @cached_property
    def _reasons(self) -> dict[str, str]:
        encoding, table = next(iter(self.tables.items()))
        return reasons(self.images, [name for name in self.names if table.find(name) is None], encoding)

    def _tables(self) -> dict[str, _Table]:
        """A table by encoding: one, or several in which equally many but different pictures are found.

        Encoding "" where the names state their own.
        """
        certain, legacy = _Table(self.place, self.names), set(self.images.legacy_rows().tolist())
        for row, (name, number) in enumerate(zip(self.images.names, self.images.ids.tolist(), strict=True)):
            if row not in legacy:
                certain.add(name, number)
        if not legacy:
            return {"": certain}
        names = {int(self.images.ids[row]): written(self.images.names[row]) for row in legacy}
        return self._best({encoding: _read(certain, names, encoding) for encoding in ENCODINGS})

    def _best(self, tables: dict[str, _Table]) -> dict[str, _Table]:
        """The tables that find most of the names; of those that find the same pictures, one."""
        askers: dict[str, list[str]] = {end: [] for table in tables.values() for end in table.added}
        for name in self.names:
            for end in {name.removeprefix("./"), *_ends(name)} & askers.keys():
                askers[end].append(name)
        answers = {encoding: table.answers(askers) for encoding, table in tables.items()}
        most = max(map(len, answers.values()))
        distinct: dict[str, _Table] = {}
        for encoding, numbers in answers.items():
            if len(numbers) == most and all(numbers != answers[other] for other in distinct):
                distinct[encoding] = tables[encoding]
        return distinct


class _Table:
    """The ids of pictures by name, for the names that will be looked up."""

    def __init__(self, place: str, names: Iterable[str]) -> None:
        self.place = place
        self.wanted = {end for name in names for end in (name.removeprefix("./"), *_ends(name))}
        self.spelt: dict[str, int] = {}
        self.exact: dict[str, int] = {}
        self.ends: dict[str, int] = {}
        self.folders: set[str] = set()
        self.elsewhere: set[str] = set()
        self.lasts = {end.rpartition("/")[2] for end in self.wanted}
        self.settled: Set[str] = frozenset()  # full names, which less certain ones do not replace
        self.added: set[str] = set()  # since it was copied

    def copy(self) -> _Table:
        """A copy, to which less certain names can be added."""
        other = copy(self)
        other.spelt, other.exact, other.ends = dict(self.spelt), dict(self.exact), dict(self.ends)
        other.folders, other.settled = set(self.folders), self.exact.keys()
        other.elsewhere, other.added = set(), set()
        return other

    def add(self, name: str, number: int) -> None:
        """A picture's name, with its id."""
        whole, *ends = _ends(name)
        self.folders.update(whole.split("/")[:-1])
        if whole not in self.settled:
            self._put(self.spelt, name, number)
            self._put(self.exact, whole, number)
        for end in ends:
            self._put(self.ends, end, number)

    def _put(self, names: dict[str, int], name: str, number: int) -> None:
        if name in self.wanted:
            names[name] = _AMBIGUOUS if name in names else number
            self.added.add(name)

    def find(self, name: str) -> int | None:
        """The id, _AMBIGUOUS or None: as it is spelt, else whatever code points its accents are written in."""
        number = self.spelt.get(name.removeprefix("./"), self._known(plain_name(name)))
        return self._by_end(name) if number is None else number

    def answers(self, askers: Mapping[str, Iterable[str]]) -> dict[str, int]:
        """What is found under the names that were added; `askers`: the names to look up that end in each."""
        numbers = {name: self.find(name) for end in self.added for name in askers[end]}
        return {name: number for name, number in numbers.items() if number is not None}

    def _known(self, path: str) -> int | None:
        return self.exact.get(path, self.ends.get(path))

    def _by_end(self, name: str) -> int | None:
        """The picture of the longest matching end; None where the folder before it is there and lacks the picture."""
        before = self.place
        for end in _ends(name):
            number = self._known(end)
            if number is not None:
                if before in self.folders and before != self.place:
                    return None
                if before != self.place and number != _AMBIGUOUS:
                    self.elsewhere.add(name)
                return number
            before = end.split("/")[0]
        return None


def _read(certain: _Table, names: Mapping[int, bytes], encoding: str) -> _Table:
    """A table with `names`, by their ids, in one encoding. For most names a look at the last part is enough."""
    table, folders = certain.copy(), set()
    for number, name in names.items():
        if (text := read_as(name, encoding)) is not None:
            folder, _, last = text.rpartition("/")
            folders.add(folder)
            if unicodedata.normalize("NFC", last) in table.lasts or last in table.lasts:
                table.add(text, number)
    table.folders.update(part for folder in folders for part in plain_name(folder).split("/") if part)
    return table


def name_of(images: Images, image_id: int) -> str:
    """The path of a picture that is there."""
    row = images.row(image_id)
    assert row is not None
    return images.names[row]


def described(images: Images) -> str:
    """Where pictures were looked for, and what a name there looks like."""
    told = f"{images.path.resolve()} has {len(images):,} pictures, such as {listed(images.names[:1])}"
    legacy = images.legacy_rows()
    if not len(legacy):
        return told
    name = images.names[int(legacy[0])]
    texts = [f"{text!r} in {encoding}" for text, encoding in readings(name).items()]
    return f"{told}. It does not say in which encoding {len(legacy):,} of its names are: one is {listed(texts, 6)}"


def plain_name(name: str) -> str:
    """One spelling of a letter with its accent: macOS stores two code points where a table has one."""
    return unicodedata.normalize("NFC", name).removeprefix("./")


def _ends(name: str) -> Iterator[str]:
    """The path, then each shorter end of it, in one spelling."""
    parts = re.split(r"[/\\]+", plain_name(name))
    return ("/".join(parts[start:]) for start in range(len(parts)))
