"""The original project's ready-made files: data_img.h5, data_prepro.h5 and data_prepro.json.

They come from prepro.py and prepro_img.lua of GT-Vision-Lab/VQA_LSTM_CNN, and its Keras re-write trains from them.
Lua counts from 1 and pads behind, so there every position, word, answer and picture starts at 1 and 0 means
"none"; here classes and rows start at 0 and padding stands in front. This module is where the two meet.

The "train" half has only questions whose consensus answer is a class; the "test" half has all of its split and no
answers. Writing is here, reading in data/seed_files/read_seed_files.py; docs/seed-files.md lists the arrays.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from data.base.errors import DataError
from data.base.progress import Progress, silent
from data.catalog.entries import SEED_FILES as FILES
from data.containers import hdf5
from data.text.answers import OUTSIDE
from data.text.questions import MAX_LENGTH, PAD

IMAGES, ARRAYS, NAMES = FILES
HALVES = ("train", "test")
CHOICES = 18
"""Answers to choose from that a multiple-choice question of VQA v1 has."""
UNKNOWN = "UNK"
"""What prepro.py appends to its words; no question can hold it, because words are lower-cased."""
BLOCK_BYTES = 16 << 20
"""Features that are in memory at a time, as float32: 1,024 rows of 4,096."""


@dataclass(frozen=True)
class Half:
    """One half's questions, in this project's conventions.

    tokens (Q, 26) int32, zeros on the left; lengths (Q,) int32; question_ids (Q,) int64; rows (Q,) int64, rows
    of the half's pictures from 0. answers (Q,) int32 classes from 0, None for test; choices (Q, 18) int32
    classes, OUTSIDE for what is not one, None for train.
    """

    tokens: NDArray[np.int32]
    lengths: NDArray[np.int32]
    question_ids: NDArray[np.int64]
    rows: NDArray[np.int64]
    answers: NDArray[np.int32] | None = None
    choices: NDArray[np.int32] | None = None


@dataclass(frozen=True)
class Names:
    """What the ids stand for: words have ids from 1 (the unknown word left out), answers classes from 0;
    `images` are the pictures' names of each half, in the order of their rows."""

    words: tuple[str, ...]
    answers: tuple[str, ...]
    images: dict[str, tuple[str, ...]]


class NamesFile(msgspec.Struct):
    """data_prepro.json as it is written."""

    ix_to_word: dict[str, str]
    ix_to_ans: dict[str, str]
    unique_img_train: list[str]
    unique_img_test: list[str]


def write_arrays(path: Path, train: Half, test: Half) -> None:
    """data_prepro.h5, all uint32 as the original's. DataError where an id does not fit that."""
    with hdf5.create(path) as file:
        for half, questions in zip(HALVES, (train, test), strict=True):
            arrays: dict[str, NDArray[Any]] = {
                f"ques_{half}": _zeros_right(questions.tokens, questions.lengths),
                f"ques_length_{half}": questions.lengths,
                f"question_id_{half}": questions.question_ids,
                f"img_pos_{half}": questions.rows + 1,
            }
            if questions.answers is not None:
                arrays["answers"] = questions.answers + 1
            if questions.choices is not None:
                arrays["MC_ans_test"] = np.where(questions.choices == OUTSIDE, 0, questions.choices + 1)
            for name, array in arrays.items():
                if len(array) and not 0 <= array.min() <= array.max() < 2**32:
                    raise DataError(
                        f"{path}: {name} would hold {array.min()} to {array.max()}; the format has room for "
                        "whole numbers from 0 to 4,294,967,295 only."
                    )
                file.create_dataset(name, data=array.astype(np.uint32), track_times=False)


def write_names(path: Path, names: Names) -> None:
    """data_prepro.json. The unknown word comes behind the others, as in the original."""
    content = NamesFile(
        {str(number): word for number, word in enumerate((*names.words, UNKNOWN), PAD + 1)},
        {str(number): answer for number, answer in enumerate(names.answers, 1)},
        list(names.images["train"]),
        list(names.images["test"]),
    )
    path.write_bytes(msgspec.json.encode(content) + b"\n")


def write_images(
    path: Path,
    halves: Mapping[str, tuple[int, int, Iterable[NDArray[Any]]]],
    progress: Progress = silent,
) -> None:
    """data_img.h5: for each half (rows, columns, blocks of such rows), as float32, a block at a time."""
    total = sum(rows for rows, _, _ in halves.values())
    written = 0
    with hdf5.create(path) as file:
        for half, (rows, columns, blocks) in halves.items():
            dataset = file.create_dataset(f"images_{half}", (rows, columns), np.float32, track_times=False)
            done = 0
            for block in blocks:
                dataset[done : done + len(block)] = block.reshape(len(block), -1)
                done += len(block)
                written += len(block)
                progress(written, total, f"writing {IMAGES}")


def block_rows(columns: int) -> int:
    """How many rows of this length are read or written at a time."""
    return max(1, BLOCK_BYTES // (4 * columns))


def _zeros_right(tokens: NDArray[np.int32], lengths: NDArray[np.int32]) -> NDArray[np.int32]:
    """Rows with padding in front to rows with padding behind."""
    places, moved = np.arange(MAX_LENGTH), np.full_like(tokens, PAD)
    moved[places < lengths[:, None]] = tokens[places >= MAX_LENGTH - lengths[:, None]]
    return moved
