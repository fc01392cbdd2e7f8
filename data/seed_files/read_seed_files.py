"""Reads the original project's three files, which may come from anywhere: all that is wrong with them is named by
file and dataset, before anything is trained from it. Writing is in data/seed_files/write_seed_files.py.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import h5py
import msgspec
import numpy as np
from numpy.typing import NDArray

from data.base.errors import DataError
from data.base.files import FILE_BYTES, check_plain
from data.base.progress import Progress, silent
from data.containers.archives import Archive, open_member
from data.containers.documents import read_document
from data.seed_files.write_seed_files import (
    ARRAYS,
    CHOICES,
    HALVES,
    IMAGES,
    NAMES,
    UNKNOWN,
    Half,
    Names,
    NamesFile,
    block_rows,
)
from data.text.questions import MAX_LENGTH, PAD

_MOST = 10_000_000  # questions; VQA v2's test split has 447,793
_MOST_COLUMNS = 1_000_000  # of a row; a 7 × 7 × 2048 grid has 100,352
_COCO = re.compile(r".*COCO_[A-Za-z0-9-]+_([0-9]{12})\.[A-Za-z]+")


@contextmanager
def opened(source: Path, name: str, room: Path) -> Iterator[Path]:
    """One of the three files as a plain file: in the folder `source`, or taken out of the zip `source` into the
    folder `room` (HDF5 can't be read in a zip) and removed afterwards.

    In a zip it may lie in any one folder. DataError where it is not there once, or the archive is damaged.
    """
    if source.is_dir():
        if not os.path.lexists(source / name):
            raise DataError(f"{source}: no {name}; expected {IMAGES}, {ARRAYS} and {NAMES}.")
        check_plain(source / name, FILE_BYTES)
        yield source / name
        return
    unpacked = room / f"unpacked-{name}"
    try:
        with open_member(source, member(source, name)) as packed, unpacked.open("wb") as file:
            shutil.copyfileobj(packed, file, 1 << 20)
        yield unpacked
    except DataError as error:  # about the file in the zip, which is what the user has
        raise DataError(str(error).replace(str(unpacked), f"{source}: {name}")) from error
    finally:
        unpacked.unlink(missing_ok=True)


def member(source: Path, name: str) -> str:
    """What the zip calls the file `name`. DataError unless there is exactly one (macOS's ._ files don't count)."""
    names = [PurePosixPath(name) for name in Archive(source).names]
    paths = [str(path) for path in names if path.name == name and "__MACOSX" not in path.parts]
    if len(paths) != 1:
        raise DataError(
            f"{source}: {len(paths)} files are called {name}; expected {IMAGES}, {ARRAYS} and {NAMES}, one each."
        )
    return paths[0]


def check_images(source: Path) -> None:
    """DataError unless data_img.h5 is there: in a zip by its name, in a folder by its first bytes."""
    if not source.is_dir():
        member(source, IMAGES)
        return
    with opened(source, IMAGES, source) as path, _open(path):
        pass


def read_names(path: Path) -> Names:
    """The words, answers and pictures of data_prepro.json.

    DataError: no such JSON, numbers that are not 1, 2, 3, ..., or a word, answer or picture twice.
    """
    try:
        file = msgspec.json.decode(read_document(path), type=NamesFile)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DataError(
            f"{path}: not the original's names ({error}). Expected JSON with ix_to_word and ix_to_ans "
            '({"1": text, ...}), unique_img_train and unique_img_test (lists of texts).'
        ) from None
    words, answers = (_numbered(path, name, getattr(file, name)) for name in ("ix_to_word", "ix_to_ans"))
    images = {half: tuple(getattr(file, f"unique_img_{half}")) for half in HALVES}
    for half, names in images.items():
        _check_distinct(path, f"unique_img_{half}", names)
    if words[-1] != UNKNOWN:
        raise DataError(
            f"{path}: the last of ix_to_word is {words[-1]!r}; expected {UNKNOWN}, the unknown word."
        )
    # The unknown word is last here too, so the ids stay as they are.
    return Names(words[:-1], answers, images)


def _numbered(path: Path, name: str, texts: dict[str, str]) -> tuple[str, ...]:
    missing = [number for number in range(1, len(texts) + 1) if str(number) not in texts]
    if missing or not texts:
        raise DataError(
            f"{path}: {name} has {len(texts):,} entries but no '{missing[0] if missing else 1}'; "
            "expected the numbers from 1 without a gap."
        )
    ordered = tuple(texts[str(number)] for number in range(1, len(texts) + 1))
    _check_distinct(path, name, ordered)
    return ordered


def _check_distinct(path: Path, name: str, texts: Sequence[str]) -> None:
    if twice := len(texts) - len(set(texts)):
        raise DataError(f"{path}: {name} has {twice:,} texts a second time; expected each once.")


def read_half(path: Path, half: str, names: Names) -> Half:
    """The questions of one half of data_prepro.h5, checked against the names.

    DataError names the file, the dataset, what was found and what was expected: a missing dataset, another
    shape or type, ids and positions out of range, a question twice, zeros elsewhere than behind the words.
    """
    with _open(path) as file:
        unknown = len(names.words) + PAD + 1
        tokens = _integers(path, file, f"ques_{half}", (None, MAX_LENGTH), PAD, unknown)
        count = len(tokens)
        lengths = _integers(path, file, f"ques_length_{half}", (count,), 0, MAX_LENGTH)
        ids = _integers(path, file, f"question_id_{half}", (count,), 0, 2**63 - 1)
        pictures = len(names.images[half])
        rows = _integers(path, file, f"img_pos_{half}", (count,), 1, pictures) - 1
        answers = choices = None
        if half == "train":
            answers = _integers(path, file, "answers", (count,), 1, len(names.answers)) - 1
        else:
            choices = _integers(path, file, "MC_ans_test", (count, CHOICES), 0, len(names.answers)) - 1
    if twice := count - len(np.unique(ids)):
        raise DataError(
            f"{path}: question_id_{half} has {twice:,} ids a second time; expected each question once."
        )
    return Half(
        _zeros_left(path, half, tokens, lengths),
        lengths.astype(np.int32),
        ids,
        rows,
        None if answers is None else answers.astype(np.int32),
        None if choices is None else choices.astype(np.int32),
    )


def _zeros_left(
    path: Path, half: str, tokens: NDArray[np.int64], lengths: NDArray[np.int64]
) -> NDArray[np.int32]:
    places = np.arange(MAX_LENGTH)
    words = places < lengths[:, None]
    if (wrong := ((tokens != PAD) != words).any(axis=1)).any():
        raise DataError(
            f"{path}: {int(wrong.sum()):,} rows of ques_{half} (the first is row {int(wrong.argmax()):,}) do not "
            f"have as many words as ques_length_{half} says; expected word ids from the left and zeros behind."
        )
    moved = np.full(tokens.shape, PAD, np.int32)
    moved[places >= MAX_LENGTH - lengths[:, None]] = tokens[words]
    return moved


@dataclass(frozen=True)
class Pictures:
    """What one half of data_img.h5 holds: `columns` numbers a row, and ascending ids with their names; `coco` says
    whether the ids are COCO's numbers, or 1..N in the file's order."""

    columns: int
    image_ids: NDArray[np.int64]
    image_names: list[str]
    coco: bool


def pictures(path: Path, half: str, names: Names) -> Pictures:
    """What images_`half` of data_img.h5 holds. Reads no row. DataError unless it has a row for each name."""
    listed = names.images[half]
    with _open(path) as file:
        dataset = _dataset(path, file, f"images_{half}")
        fits = dataset.ndim == 2 and len(dataset) == len(listed) > 0 < dataset.shape[1] <= _MOST_COLUMNS
        if dataset.dtype.kind != "f" or not fits:
            raise DataError(
                f"{path}: images_{half} is {dataset.dtype} {dataset.shape}; expected float32, one row for each of "
                f"the {len(listed):,} names in unique_img_{half} of {NAMES}."
            )
        columns = dataset.shape[1]
    ids, coco = picture_ids(listed)
    return Pictures(columns, np.sort(ids), [listed[row] for row in np.argsort(ids)], coco)


def picture_ids(listed: Sequence[str]) -> tuple[NDArray[np.int64], bool]:
    """(N,) int64: the ids of pictures by name: COCO's numbers if each name has another, else 1..N as they come."""
    numbers = [int(match[1]) for match in map(_COCO.fullmatch, listed) if match]
    if len(set(numbers)) == len(listed):
        return np.array(numbers, np.int64), True
    return np.arange(1, len(listed) + 1), False


def feature_blocks(
    path: Path, half: str, names: Names, progress: Progress = silent
) -> Iterator[NDArray[np.float16]]:
    """The rows of images_`half` by ascending image id, as float16, a block at a time.

    DataError where a value is not finite, or too large for float16 (65,504), with the row.
    """
    order = np.argsort(picture_ids(names.images[half])[0])
    with _open(path) as file:
        dataset = _dataset(path, file, f"images_{half}")
        step = block_rows(dataset.shape[1])
        for start in range(0, len(order), step):
            wanted = order[start : start + step]
            sorting = np.argsort(wanted)  # HDF5 takes ascending rows only
            block = np.empty((len(wanted), dataset.shape[1]), np.float32)
            block[sorting] = _rows(dataset, wanted[sorting])
            with np.errstate(over="ignore"):
                halved = block.astype(np.float16)
            if (wrong := ~np.isfinite(halved).all(axis=1)).any():
                raise DataError(
                    f"{path}: row {int(wanted[wrong.argmax()]):,} of images_{half} has values that are not finite, "
                    "or beyond 65,504; expected finite numbers that float16 can hold. Extract it again."
                )
            yield halved
            progress(min(start + step, len(order)), len(order), f"reading {IMAGES}")


def _rows(dataset: Any, wanted: NDArray[np.int64]) -> NDArray[np.float32]:
    first, last = int(wanted[0]), int(wanted[-1]) + 1
    if last - first == len(wanted):  # consecutive, as they come: one read
        return np.asarray(dataset[first:last], np.float32)
    return np.asarray(dataset[wanted], np.float32)


@contextmanager
def _open(path: Path) -> Iterator[Any]:
    """The file; whatever HDF5 fails on in it (it has no single exception for that) is a DataError."""
    try:
        with h5py.File(path, "r") as file:
            yield file
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, MemoryError) as error:
        raise DataError(f"{path}: not an HDF5 file, or a damaged one ({error}). Get it again.") from error


def _dataset(path: Path, file: Any, name: str) -> Any:
    """A dataset that lies in this very file: HDF5 can also point at other files of the disk."""
    if name not in file:
        raise DataError(f"{path}: no dataset {name}; it has {', '.join(sorted(file)[:12]) or 'none'}.")
    dataset = file[name] if isinstance(file.get(name, getlink=True), h5py.HardLink) else None
    if not isinstance(dataset, h5py.Dataset) or dataset.external or dataset.is_virtual:
        raise DataError(f"{path}: {name} is a group or points elsewhere; expected a dataset of its own.")
    return dataset


def _integers(
    path: Path, file: Any, name: str, shape: tuple[int | None, ...], low: int, high: int
) -> NDArray[np.int64]:
    """A dataset of whole numbers as int64, its shape and range checked (None: any number of rows)."""
    dataset = _dataset(path, file, name)
    fits = len(dataset.shape) == len(shape) and all(
        want in (None, actual) for want, actual in zip(shape, dataset.shape, strict=True)
    )
    if dataset.dtype.kind not in "iu" or not fits or not 0 < dataset.shape[0] <= _MOST:
        rows = " × ".join("questions" if size is None else f"{size:,}" for size in shape)
        raise DataError(f"{path}: {name} is {dataset.dtype} {dataset.shape}; expected whole numbers, {rows}.")
    values = dataset[...]
    if int(values.min()) < low or int(values.max()) > high:
        raise DataError(
            f"{path}: {name} has numbers from {values.min()} to {values.max()}; expected {low} to {high:,}."
        )
    return values.astype(np.int64)
