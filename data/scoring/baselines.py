"""What can be reached without looking: the baselines that a model has to beat (the 'priors' of Antol et al. 2015)."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from data.base.errors import DataError
from data.scoring.accuracy import percentages, question_scores


def commonest(answers: Iterable[str]) -> str:
    """The commonest answer; of equally common ones the first by alphabet, so that a run can be repeated."""
    counts = Counter(answers)
    if not counts:
        raise DataError(
            "There are no training answers, so no commonest one: the training annotations are empty."
        )
    return min(counts, key=lambda answer: (-counts[answer], answer))


def commonest_by_type(answers: Sequence[str], question_types: Sequence[str]) -> dict[str, str]:
    """The commonest answer of each question type of the training split."""
    by_type: defaultdict[str, list[str]] = defaultdict(list)
    for answer, question_type in zip(answers, question_types, strict=True):
        by_type[question_type].append(answer)
    return {question_type: commonest(of_type) for question_type, of_type in by_type.items()}


def guesses(
    train_answers: Sequence[str], train_question_types: Sequence[str], question_types: Sequence[str]
) -> dict[str, list[str]]:
    """What both priors answer to questions of these types, by the prior's name."""
    overall = commonest(train_answers)
    of_type = commonest_by_type(train_answers, train_question_types)
    return {
        "commonest_answer": [overall] * len(question_types),
        "commonest_per_question_type": [of_type.get(kind, overall) for kind in question_types],
    }


def baselines(
    train_answers: Sequence[str],
    train_question_types: Sequence[str],
    humans: Sequence[Sequence[str]],
    question_types: Sequence[str],
    answer_types: Sequence[str],
) -> dict[str, Any]:
    """Both priors, learned from the consensus answers of training, scored officially on the evaluation split.

    {commonest_answer, commonest_per_question_type}: each as `percentages` gives them; the first also has `answer`.
    A question type that training lacks gets the overall commonest answer.
    """
    figures: dict[str, Any] = {}
    for name, predictions in guesses(train_answers, train_question_types, question_types).items():
        figures[name] = percentages(question_scores(predictions, humans), question_types, answer_types)
    figures["commonest_answer"]["answer"] = commonest(train_answers)
    return figures


def trained_baseline(path: Path) -> dict[str, Any]:
    """What another model's accuracy.json says, in the form of a prior."""
    figures = json.loads(path.read_text(encoding="utf-8"))
    return {name: figures[name] for name in ("overall", "perAnswerType", "perQuestionType")}
