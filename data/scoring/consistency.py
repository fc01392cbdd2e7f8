"""Consistency: of two questions in the same words about different pictures with different answers, are both right?

A model that answers from the words alone gives both the same answer, so that one is wrong. VQA v2 was balanced to be
made of such pairs. They are counted by arithmetic: n questions have n (n - 1) / 2 pairs, of which those about one
picture, and those with one answer, are taken away; a wording that is asked 10,000 times has 50 million.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from data.scoring.accuracy import numbered_types, percent
from data.scoring.normalisation import normalise

_WORD = re.compile(r"\w+")


def consistency(
    questions: Sequence[str], pictures: ArrayLike, consensus: Sequence[str], right: ArrayLike
) -> dict[str, Any]:
    """{pairs, both_right, wordings, mean_over_wordings}: shares in percent, None where there is no pair.

    questions (Q,): their texts; pictures (Q,): by any number; consensus (Q,): the answers that most people gave;
    right (Q,) bool: whether the model's answer counts as right. Words are the same without regard to capitals,
    punctuation and white space, answers as the official accuracy compares them.
    """
    wording = numbered_types([" ".join(_WORD.findall(text.lower())) for text in questions])[1]
    answer = numbered_types([normalise(text) for text in consensus])[1]
    picture = np.unique(np.asarray(pictures), return_inverse=True)[1]
    chosen = np.asarray(right, bool)
    pairs = _pairs(wording, picture, answer)
    both = _pairs(wording, picture, answer, chosen)
    paired = pairs > 0
    total, wordings = int(pairs.sum()), int(paired.sum())
    return {
        "pairs": total,
        "both_right": percent(float(both.sum()), total) if total else None,
        "wordings": wordings,
        "mean_over_wordings": percent(float((both[paired] / pairs[paired]).sum()), wordings)
        if total
        else None,
    }


def _pairs(
    wording: NDArray[np.int64],
    picture: NDArray[np.intp],
    answer: NDArray[np.int64],
    chosen: NDArray[np.bool_] | None = None,
) -> NDArray[np.int64]:
    """For each wording, (W,), the pairs of (`chosen`) questions that differ in picture and in answer."""
    size = int(wording.max(initial=-1)) + 1
    if chosen is not None:
        wording, picture, answer = wording[chosen], picture[chosen], answer[chosen]

    def alike(*columns: NDArray[Any]) -> NDArray[np.int64]:
        """Pairs in each wording that are equal in all columns."""
        groups, counts = np.unique(np.stack([wording, *columns]), axis=1, return_counts=True)
        counts = counts.astype(np.int64)
        return np.bincount(groups[0], counts * (counts - 1) // 2, size).astype(np.int64)

    return alike() - alike(picture) - alike(answer) + alike(picture, answer)
