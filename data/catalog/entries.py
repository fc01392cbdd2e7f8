"""What a catalog holds, as plain records: sources, image sets, splits, datasets, word vectors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from data.base.errors import DataError
from data.base.words import nearest


@dataclass(frozen=True)
class Source:
    """One file: its name, its addresses, and what proves that it is the right one."""

    name: str
    file: str
    urls: tuple[str, ...] = ()
    sha256: str | None = None
    sha256_prefix: str | None = (
        None  # torch's convention: the file name ends in the hash's first eight digits
    )
    bytes: int | None = None
    licence: str = ""
    made_by: str | None = None  # a stage makes the file ("sample", "own:mine"): nothing to download
    path: Path | None = None  # your own file or folder, used where it is
    about_mb: int | None = None  # for `plan`; nothing is compared with it

    @property
    def size(self) -> int | None:
        """Bytes, exact where they are known, else about."""
        return self.bytes or (self.about_mb * 1_000_000 if self.about_mb else None)

    @property
    def restriction(self) -> str:
        """The licence, where it forbids a use."""
        return self.licence if "not for commercial use" in self.licence else ""

    @property
    def identity(self) -> str:
        """What goes into a fingerprint. For a path that depends on its content: see data.download.local_copies."""
        if self.made_by:
            return f"made by {self.made_by}: {self.file}"
        return self.sha256 or self.sha256_prefix or f"unpinned: {self.file}"


Ids = Literal["paths", "numbers or paths", "numbers"]
IDS: tuple[Ids, ...] = get_args(Ids)  # from the laxest to the strictest


@dataclass(frozen=True)
class ImageSet:
    """A set of pictures. `prefix` is what COCO file names start with, whose number is the id. Without one, `ids`:

    "paths": COCO's numbers if all names have one, else 1..N by sorted path (tables name files);
    "numbers": the numbers that the names end in, or refused (official questions ask by image_id);
    "numbers or paths": those if each name has one of its own, else 1..N by sorted path (official questions of [own],
    which may name their file; ConvertOwnData refuses those that ask by image_id then).
    `images`, where published, is how many there must be. `pictures`: where each is served by itself, under these
    addresses and its name in the zip.
    """

    name: str
    source: Source
    images: int | None
    prefix: str
    ids: Ids = "paths"
    pictures: tuple[str, ...] = ()

    def member(self, image_id: int) -> str:
        """The name that COCO's zips give a picture: train2014/COCO_train2014_000000000009.jpg."""
        return f"{Path(self.source.file).stem}/{self.prefix}{image_id:012}.jpg"

    @property
    def picture_bytes(self) -> int:
        """The mean size of a picture in its archive; 0 where the catalog does not tell."""
        return (self.source.bytes or 0) // (self.images or 1)

    @property
    def directory_bytes(self) -> int:
        """About what the archive's directory takes, which is read first: 111 bytes a picture in COCO's."""
        return 111 * (self.images or 0)

    @property
    def identity(self) -> dict[str, str]:
        """What goes into the fingerprints of stages that use picture ids: nothing where the ids do not matter."""
        return {} if self.ids == "paths" else {"ids": self.ids}


@dataclass(frozen=True)
class Split:
    """The questions of one split: `members[subset][task]` inside their zip; `annotations` may be secret."""

    name: str
    image_set: str
    questions: Source
    members: dict[str, dict[str, str]]
    question_count: int | None
    annotations: Source | None
    annotations_member: str | None


@dataclass(frozen=True)
class Published:
    """One published result: accuracy in percent of `model`, trained on one split and scored on another."""

    model: str
    trained_on: str
    split: str
    task: str
    accuracy: float


SEED_FILES = ("data_img.h5", "data_prepro.h5", "data_prepro.json")


@dataclass(frozen=True)
class ReadyMade:
    """The original project's three files, in a zip or a folder, that take the place of pictures and texts.

    `annotated_by` is the dataset whose annotations judge them; `settles`: flags whose values they fix.
    """

    path: Path
    annotated_by: str
    settles: dict[str, str]


@dataclass(frozen=True)
class Own:
    """Tables of your own questions (.csv, .jsonl, or .json in the official format, with `annotations`).

    Each by its split; or one under "", which is split by picture: `val` is the share of pictures held out.
    """

    questions: dict[str, Path]
    annotations: dict[str, Path]
    val: float
    seed: int


@dataclass(frozen=True)
class Dataset:
    """Base splits by name, unions of them (trainval), defaults of other flags, results of others.

    `models`: the defaults that hold for one model alone, by its name.
    """

    name: str
    splits: dict[str, Split]
    unions: dict[str, tuple[str, ...]]
    humans: int | None  # answers that every question must have; None = one to any number
    defaults: dict[str, str]
    published: tuple[Published, ...]
    seed: dict[str, float]  # the figures of the Keras port, where it has any
    ready_made: ReadyMade | None = None
    own: Own | None = None
    models: dict[str, dict[str, str]] = field(default_factory=dict)
    part_of: str | None = None  # the dataset whose files it reads, and whose pictures it has some of

    @property
    def whole(self) -> str:
        """The name of the dataset that the files belong to."""
        return self.part_of or self.name

    def parts(self, split: str) -> tuple[str, ...]:
        """The base splits that `split` consists of: trainval → (train, val). DataError if unknown."""
        if split in self.unions:
            return self.unions[split]
        return (self.split(split).name,)

    def split(self, name: str) -> Split:
        """The base split of this name. DataError if there is none."""
        return find(name, self.splits, f"split of {self.name}", self.unions)

    def tasks(self) -> tuple[str, ...]:
        """Tasks that every split has questions for: open-ended, and multiple-choice where published."""
        every = [set(tasks) for split in self.splits.values() for tasks in split.members.values()]
        return tuple(sorted(set.intersection(*every), reverse=True)) if every else ()

    def member(self, split: str, task: str, subset: str | None = None) -> str:
        """The questions' file inside its zip. A split has a subset of its own name; test also test-dev."""
        subsets = self.split(split).members
        tasks = find(subset or split, subsets, f"subset of {self.name} {split}")
        return find(task, tasks, f"task of {self.name} {split}")


@dataclass(frozen=True)
class Glove:
    """Word vectors: the text file `member` of the source's zip, a word and `dimensions` numbers a line."""

    name: str
    source: Source
    member: str
    dimensions: int
    words: int | None


@dataclass(frozen=True)
class Catalog:
    """The whole catalog. data/catalog/sources.py finds entries in the one in force."""

    image_sets: dict[str, ImageSet] = field(default_factory=dict)
    datasets: dict[str, Dataset] = field(default_factory=dict)
    gloves: dict[str, Glove] = field(default_factory=dict)
    weights: dict[str, Source] = field(default_factory=dict)


def find(name: str, entries: Mapping[str, Any], what: str, more: Iterable[str] = ()) -> Any:
    """The entry of this name, or a DataError that names the nearest one and lists all."""
    if name in entries:
        return entries[name]
    valid = [*entries, *more]
    near = nearest(name, valid)
    hint = f"; nearest: {near}" if near else ""
    raise DataError(f"no {what} is called '{name}'{hint}. There are: {', '.join(valid) or 'none'}")
