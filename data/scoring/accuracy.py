"""The official VQA accuracy, vectorised, and the three figures of the original model.

Official rule (Antol et al. 2015; GT-Vision-Lab/VQA, vqaEval.py): a prediction earns, over the ten humans, the
mean of min(1, matches among the other nine / 3): 0, .3, .6, .9, 1 for 0, 1, 2, 3, 4 or more humans who agree.
Answers are compared as cleaned text where the ten are all identical, else as normalised text
(data.scoring.normalisation).

A validation split has 1.2 million answers but few distinct ones, so each distinct string is treated once,
becomes a number, and the rest is integer arithmetic on (questions, humans) arrays.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from decimal import ROUND_HALF_UP, Decimal
from itertools import chain, count
from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from data.base.errors import DataError
from data.scoring.normalisation import clean, normalise

OFFICIAL_HUMANS = 10
"""With fewer humans the official rule has no meaning of its own, and `metric` says 'few-answers'."""

_NOBODY = -1  # fills the rows of questions that have fewer humans than the largest


def question_scores(predictions: Sequence[str], humans: Sequence[Sequence[str]]) -> NDArray[np.float64]:
    """Accuracy of each question, (Q,) float64 in 0..1.

    `humans` holds the raw answers of each question. With ten or more, the official rule; with fewer (own
    data), min(1, matches / min(3, n)), nobody left out. DataError where a question has no answers or lengths
    differ.
    """
    return _scores(*_agreement(predictions, humans))


def answers_right(predictions: Sequence[str], humans: Sequence[Sequence[str]]) -> NDArray[np.bool_]:
    """Whether three humans or more gave the prediction, all of them where fewer answered: (Q,) bool.

    A count, because the score of three of ten is 0.9 or a bit less by their order. DataError as by
    `question_scores`.
    """
    agreeing, counts = people_agreeing(predictions, humans)
    return agreeing >= np.minimum(3, counts)


def people_agreeing(
    predictions: Sequence[str], humans: Sequence[Sequence[str]]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """How many humans gave the prediction, and how many answered: both (Q,) int64."""
    agree, counts = _agreement(predictions, humans)
    return agree.sum(axis=1), counts


def answer_scores_table(
    humans: Sequence[Sequence[str]], absent: int = -2
) -> tuple[list[str], NDArray[np.int32], NDArray[np.float64]]:
    """What each answer would earn on its question: the soft targets of a training split.

    Returns `texts`, distinct, as they are compared (normalised, or cleaned where all humans gave the same
    answer); `codes` (Q, K) int32, places in `texts`: the distinct compared answers of a question by first
    appearance, then `absent`; `scores` (Q, K) float64, zeros behind. K is the largest number of distinct
    answers of any question.
    """
    counts = _human_counts(humans)
    codes, _, texts = _encode(humans, (), counts)
    matches = np.zeros(codes.shape, np.int64)
    first = codes != _NOBODY
    for human in range(codes.shape[1]):
        same = codes == codes[:, human, None]
        matches += same
        first[:, human + 1 :] &= ~same[:, human + 1 :]
    scores = np.where(first, _score_of_matches(matches, counts[:, None]), 0.0)
    order = np.argsort(~first, axis=1, kind="stable")[:, : max(1, int(first.sum(axis=1).max(initial=0)))]
    chosen = np.take_along_axis(np.where(first, codes, absent), order, axis=1)
    return texts, chosen.astype(np.int32), np.take_along_axis(scores, order, axis=1)


def accuracy(
    predictions: Sequence[str],
    humans: Sequence[Sequence[str]],
    question_types: Sequence[str],
    answer_types: Sequence[str],
) -> dict[str, Any]:
    """The official figures of one answer per question, all four sequences in the order of the annotations.

    {overall, perAnswerType, perQuestionType, metric, questions}: percentages rounded to two decimals.
    """
    scores = question_scores(predictions, humans)
    few = min(map(len, humans), default=0) < OFFICIAL_HUMANS
    return {
        **percentages(scores, question_types, answer_types),
        "metric": "few-answers" if few else "official",
        "questions": len(scores),
    }


def percentages(
    scores: NDArray[np.float64], question_types: Sequence[str], answer_types: Sequence[str]
) -> dict[str, Any]:
    """{overall, perAnswerType, perQuestionType} of per-question scores (Q,); types sorted by name."""
    if not len(scores):
        raise DataError("There are no questions to score: the annotations are empty.")
    return {
        "overall": percent(np.add.accumulate(scores)[-1], len(scores)),
        "perAnswerType": _percent_by(scores, answer_types),
        "perQuestionType": _percent_by(scores, question_types),
    }


def seed_figures(
    losses: ArrayLike, predicted: ArrayLike, consensus: ArrayLike, humans: ArrayLike
) -> dict[str, Any]:
    """The three figures that the original model prints, with answers outside the classes counted as wrong.

    losses (Q,): cross-entropy, in nats, of the consensus answer's class (ignored where it has none);
    predicted (Q,) class ids, negative for an answer outside the classes; consensus (Q,) and humans (Q, H)
    class ids, negative outside the classes or where there is no such human.

    {loss, loss_questions, exact_match, any_of_ten}: `loss` is the mean over the `loss_questions` questions
    whose consensus has a class (None where none has); the other two are fractions of all questions.
    """
    losses, predicted = np.asarray(losses, np.float64), np.asarray(predicted)
    consensus, humans = np.asarray(consensus), np.asarray(humans)
    if not len(predicted):
        raise DataError("There are no questions to score: the predictions are empty.")
    inside, answered = consensus >= 0, predicted >= 0
    bad = int(np.count_nonzero(~np.isfinite(losses[inside])))
    if bad:
        raise DataError(
            f"The loss of {bad} of {len(losses)} questions is not a finite number: the model diverged."
        )
    return {
        "loss": float(losses[inside].mean()) if inside.any() else None,
        "loss_questions": int(inside.sum()),
        "exact_match": float(((predicted == consensus) & answered).mean()),
        "any_of_ten": float(((humans == predicted[:, None]).any(axis=1) & answered).mean()),
    }


def _agreement(
    predictions: Sequence[str], humans: Sequence[Sequence[str]]
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Who gave the prediction, (Q, H) bool, and how many humans answered, (Q,) int64."""
    if len(predictions) != len(humans):
        raise DataError(f"{len(predictions)} predictions for {len(humans)} questions: expected one each.")
    counts = _human_counts(humans)
    answers, said, _ = _encode(humans, predictions, counts)
    return answers == said[:, None], counts


def _human_counts(humans: Sequence[Sequence[str]]) -> NDArray[np.int64]:
    """Humans of each question, (Q,) int64; refuses a question without any."""
    counts = np.fromiter(map(len, humans), np.int64, len(humans))
    empty = np.flatnonzero(counts == 0)
    if len(empty):
        places = ", ".join(str(place) for place in empty[:3])
        raise DataError(
            f"{len(empty)} of {len(counts)} questions have no human answers (positions {places} from 0): "
            "expected at least one answer for each question that is scored."
        )
    return counts


def _encode(
    humans: Sequence[Sequence[str]], predictions: Sequence[str], counts: NDArray[np.int64]
) -> tuple[NDArray[np.int32], NDArray[np.int32], list[str]]:
    """Answers (Q, H) and predictions (Q,) or (0,) as numbers of the texts that are compared, and all texts.

    H is the most humans of any question; a missing human is _NOBODY.
    """
    numbers: defaultdict[str, int] = defaultdict(count().__next__)  # each new text gets the next number

    def numbered(some: Iterable[str], size: int) -> NDArray[np.int32]:
        return np.fromiter(map(numbers.__getitem__, some), np.int32, size)

    present = np.arange(counts.max(initial=0)) < counts[:, None]
    raw = np.full(present.shape, _NOBODY, np.int32)
    raw[present] = numbered(chain.from_iterable(humans), int(counts.sum()))
    said = numbered(predictions, len(predictions))
    distinct = list(numbers)
    cleaned = numbered(map(clean, distinct), len(distinct))
    normalised = numbered(map(normalise, distinct), len(distinct))

    plain = cleaned[raw]
    unanimous = ((plain == plain[:, :1]) | ~present).all(axis=1)
    answers = np.where(present, np.where(unanimous[:, None], plain, normalised[raw]), _NOBODY)
    if len(said):
        said = np.where(unanimous, cleaned[said], normalised[said])
    return answers, said, list(numbers)


def _scores(agree: NDArray[np.bool_], counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Per question, from who agrees with the prediction (Q, H).

    Adds human by human, left to right, as the official loop does: the closed form `_score_of_matches` differs
    from it in the last bit, and a last bit decides the second decimal where a percentage is a tie (possible
    when a type has 16 questions, or 48, 80, ...).
    """
    matches = agree.sum(axis=1)
    total = np.zeros(len(agree))
    for human in range(agree.shape[1]):
        others = matches - agree[:, human]
        total += np.where(human < counts, np.minimum(1.0, others / 3), 0.0)
    return np.where(counts < OFFICIAL_HUMANS, _few(matches, counts), total / counts)


def _score_of_matches(matches: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Score of an answer that `matches` of `counts` humans gave, whoever they are."""
    agreeing = matches * np.minimum(1.0, (matches - 1) / 3)
    official = (agreeing + (counts - matches) * np.minimum(1.0, matches / 3)) / counts
    return np.where(counts < OFFICIAL_HUMANS, _few(matches, counts), official)


def _few(matches: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.minimum(1.0, matches / np.minimum(3, counts))


def numbered_types(types: Sequence[str]) -> tuple[list[str], NDArray[np.int64]]:
    """The distinct types, and the place of each question's among them: (Q,) int64."""
    numbers: defaultdict[str, int] = defaultdict(count().__next__)
    places = np.fromiter(map(numbers.__getitem__, types), np.int64, len(types))
    return list(numbers), places


def _percent_by(scores: NDArray[np.float64], types: Sequence[str]) -> dict[str, float]:
    """Mean score of each type in percent, by name."""
    if len(types) != len(scores):
        raise DataError(f"{len(types)} types for {len(scores)} questions: expected one each.")
    names, group = numbered_types(types)
    sums, sizes = np.bincount(group, weights=scores), np.bincount(group)
    return {
        name: percent(sums[number], sizes[number])
        for number, name in sorted(enumerate(names), key=itemgetter(1))
    }


def percent(total: float, size: int) -> float:
    """A mean in percent, rounded as the official code rounds.

    Its total is added one question after another. So do add.accumulate and bincount; np.sum adds pairwise,
    and Python's own sum compensates since 3.12. It is Python 2's round, which takes a tie away from zero where
    Python 3 takes it to the even digit: 1 of 32 is 3.13. The double itself is rounded, so only ties differ.
    """
    percent = Decimal(100 * float(total) / int(size))
    return float(percent.quantize(Decimal("0.01"), ROUND_HALF_UP))
