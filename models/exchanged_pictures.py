"""What a model answers where a question is asked about another picture, and about the mean of all.

Pictures are known by their rows of features, which are all that a model sees of them: two ids with equal rows are one
picture here. Which one takes another's place is drawn for pictures, so that all questions about one get the same other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from hashlib import blake2b
from typing import Any

import numpy as np
import torch

from data.base.progress import Progress, silent
from models.classifiers.interface import Classifier
from models.feature_table import Features
from models.prediction import Predictions, predict

SEED = 0
BLOCK_BYTES = 1 << 26  # of float16 at a time


@dataclass(frozen=True)
class Exchange:
    """pictures: how many different ones the questions are about. The rest is empty where there are fewer than two.

    rows (Q,): of the pictures that questions were asked about in place of their own; answers: `exchanged` to questions
    about these, and `mean_picture` to those about the mean.
    """

    pictures: int
    rows: np.ndarray
    answers: dict[str, Predictions] = field(default_factory=dict)


def exchanged(pictures: np.ndarray, seed: int = SEED) -> np.ndarray | None:
    """For N pictures, numbered alike where they are the same one: (N,) places of the pictures that take theirs.

    The distinct ones are laid in a circle in a random order, and each gets the next one: none keeps its own. None where
    there are fewer than two.
    """
    distinct, firsts, place = np.unique(pictures, return_index=True, return_inverse=True)
    if len(distinct) < 2:
        return None
    circle = np.random.default_rng(seed).permutation(len(distinct))
    following = np.empty(len(distinct), np.int64)
    following[circle] = np.roll(circle, -1)
    return firsts[following[place]]


def survey(features: Features, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(mean, pictures) of ascending, distinct rows of a table in memory or on the disk, in one pass by blocks.

    mean (1, *shape): of each number at its place, of the type in which features are stored; pictures (R,) int64: equal
    numbers where all of the features are equal. ModelError for rows that are not finite.
    """
    total, known = np.zeros(features.shape[1:], np.float64), dict[bytes, int]()
    pictures = np.empty(len(rows), np.int64)
    done = 0
    for taken in features.stream(rows, max(1, BLOCK_BYTES // features.row_bytes)):
        block = taken.numpy()
        total += block.sum(axis=0, dtype=np.float64)
        for row in block:
            pictures[done] = known.setdefault(blake2b(row, digest_size=16).digest(), len(known))
            done += 1
    return (total / len(rows)).astype(block.dtype)[None], pictures


def predict_exchanged(
    module: Classifier,
    tokens: np.ndarray,
    rows: np.ndarray,
    features: Sequence[np.ndarray],
    *,
    choices: np.ndarray | None = None,
    seed: int = SEED,
    progress: Progress = silent,
    **options: Any,
) -> Exchange:
    """Answer each question about another picture, and about the mean of all that are asked about, each once.

    tokens, rows, choices and options are those of `predict`, features the arrays of its table. It is called once, with
    each question twice, so that each is encoded once.
    """
    table = Features(features, torch.device("cpu"))
    table.check(rows)
    distinct, place = np.unique(rows, return_inverse=True)
    mean, pictures = survey(table, distinct)
    places, count = exchanged(pictures, seed), int(pictures.max()) + 1
    if places is None:
        return Exchange(count, rows[:0])
    others = distinct[places][place]
    predictions = predict(
        module,
        np.concatenate([tokens, tokens]),
        np.concatenate([others, np.full(len(rows), table.shape[0])]),
        [*features, mean],
        choices=None if choices is None else np.concatenate([choices, choices]),
        progress=progress,
        **options,
    )
    halves = {"exchanged": slice(0, len(rows)), "mean_picture": slice(len(rows), None)}
    return Exchange(count, others, {name: _part(predictions, half) for name, half in halves.items()})


def _part(predictions: Predictions, part: slice) -> Predictions:
    """Of some of the questions."""
    values: dict[str, Any] = {each.name: getattr(predictions, each.name) for each in fields(predictions)}
    arrays = {name: value[part] for name, value in values.items() if isinstance(value, np.ndarray)}
    return Predictions(**values | arrays)
