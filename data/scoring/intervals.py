"""How sure an accuracy is: 95 % intervals by a bootstrap over pictures.

Questions about one picture share what is hard about it, so pictures are drawn, each with all its questions. A resample
is how often each picture was drawn; times a table of each picture's sums it gives all means of that resample, so that
2,000 of them are one product of matrices, done in blocks. That is in float32: counts are exact below 2**24, and a mean
is off by some 1e-6, where an interval is told to 1e-4.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from data.scoring.accuracy import numbered_types

RESAMPLES = 2000
LEVEL = 95  # percent of the resamples that lie inside
SEED = 0

FEWEST = 10
"""With fewer pictures nothing is called a difference, and an interval without width is left out: draws from so few
pictures vary too little, and where they all agree they say nothing about other pictures."""

_WEIGHTS = 1 << 23  # numbers of a block of weights: 32 MB
_TABLE = 1 << 26  # numbers of a table: 256 MB, more only where one column is longer

Interval = list[float] | None
"""[from, to] in percent or points; None where fewer than two pictures have such questions, or a few that all agree."""


def intervals(
    scores: ArrayLike,
    pictures: ArrayLike,
    question_types: Sequence[str],
    answer_types: Sequence[str],
    gains: Mapping[str, ArrayLike] | None = None,
) -> dict[str, Any]:
    """Intervals of mean scores: {overall, perAnswerType, perQuestionType, gains, pictures, resamples}.

    scores (Q,): in 0..1, or differences of two models' scores for the interval of their paired difference;
    pictures (Q,): the picture of each question, by any number. gains: differences (Q,) by name, such as to a
    prior, which get an interval {overall, perAnswerType} each. The same input gives the same figures.
    """
    distinct, picture = np.unique(np.asarray(pictures), return_inverse=True)
    families = {"overall": [""] * len(picture), "perAnswerType": answer_types}
    wanted: _Wanted = {("", family): (scores, types) for family, types in families.items()}
    wanted["", "perQuestionType"] = scores, question_types
    for name, differences in (gains or {}).items():
        wanted |= {(name, family): (differences, types) for family, types in families.items()}
    by_family = _intervals_of(picture, wanted)
    return {
        **_named(by_family, ""),
        "gains": {name: _named(by_family, name) for name in gains or {}},
        "pictures": len(distinct),
        "resamples": RESAMPLES,
    }


def chance(difference: Interval, pictures: int) -> str:
    """What the interval of a difference says: it is 'beyond' chance, 'within' it, or 'unknown' from so few pictures."""
    if difference is None or pictures < FEWEST:
        return "unknown"
    return "beyond" if difference[0] > 0 or difference[1] < 0 else "within"


_Wanted = dict[tuple[str, str], tuple[ArrayLike, Sequence[str]]]
"""By whose they are (a gain's name, "" for the accuracy) and family: each question's value and type."""


def _named(by_family: Mapping[tuple[str, str], dict[str, Interval]], name: str) -> dict[str, Any]:
    """The families of one name; 'overall' is a single interval."""
    of_name = {family: by_type for (whose, family), by_type in by_family.items() if whose == name}
    return {family: by_type[""] if family == "overall" else by_type for family, by_type in of_name.items()}


def _intervals_of(picture: NDArray[np.intp], wanted: _Wanted) -> dict[tuple[str, str], dict[str, Interval]]:
    """What is wanted, by type in order of name: a column of the table for each type of each family."""
    types: list[list[str]] = []
    columns, values = [], []
    for scores, of_questions in wanted.values():
        names, places = numbered_types(of_questions)
        columns.append(places + sum(map(len, types)))
        values.append(np.asarray(scores, np.float64))
        types.append(names)
    entries = np.tile(picture, len(columns)), np.concatenate(columns), np.concatenate(values)
    bounds = chain.from_iterable(map(_bounds, _tables(*entries, sum(map(len, types)))))
    by_type = [dict(zip(names, bounds, strict=False)) for names in types]
    return {key: dict(sorted(of_family.items())) for key, of_family in zip(wanted, by_type, strict=True)}


def _tables(
    picture: NDArray[np.intp], column: NDArray[np.int64], values: NDArray[np.float64], columns: int
) -> Iterator[NDArray[np.float32]]:
    """For C columns at a time (P, 2C) float32: each picture's sums in these columns, then its counts of questions."""
    pictures = int(picture.max(initial=-1)) + 1
    width = max(1, _TABLE // (2 * max(1, pictures)))
    for first in range(0, columns, width):
        size = min(width, columns - first)
        here = (column >= first) & (column < first + size)
        cells = picture[here] * size + (column[here] - first)
        table = np.empty((pictures, 2, size), np.float32)
        table[:, 0] = np.bincount(cells, values[here], pictures * size).reshape(pictures, size)
        table[:, 1] = np.bincount(cells, minlength=pictures * size).reshape(pictures, size)
        yield table.reshape(pictures, 2 * size)


def _bounds(table: NDArray[np.float32]) -> list[Interval]:
    """The interval of each column in percent; a resample without any question of a column does not count there."""
    resampled = np.concatenate([weights @ table for weights in _resamples(len(table))])
    sums, counts = np.split(resampled, 2, axis=1)
    means = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
    pictures = (np.split(table, 2, axis=1)[1] > 0).sum(axis=0)
    tail = (100 - LEVEL) / 2
    limits = 100 * np.nanpercentile(means, [tail, 100 - tail], axis=0) + 0.0
    low, high = np.round(limits, 2)
    told = (pictures > 1) & ((pictures >= FEWEST) | (low < high))
    return [
        [*bound] if tells else None for *bound, tells in zip(low.tolist(), high.tolist(), told, strict=True)
    ]


def _resamples(pictures: int) -> Iterator[NDArray[np.float32]]:
    """How often each picture is drawn, (R, P) float32, in blocks that are RESAMPLES rows together."""
    rng = np.random.default_rng(SEED)
    rows = max(1, _WEIGHTS // pictures)
    for first in range(0, RESAMPLES, rows):
        block = np.empty((min(rows, RESAMPLES - first), pictures), np.float32)
        for row in block:
            row[:] = np.bincount(rng.integers(0, pictures, pictures), minlength=pictures)
        yield block
