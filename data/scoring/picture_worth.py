"""What the picture is worth to a model: the points that it loses where questions are asked about other pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from data.scoring.accuracy import percentages, question_scores
from data.scoring.intervals import Interval, intervals
from data.text.official import Annotation

NAMES = {"exchanged": "another question's picture", "mean_picture": "the mean picture"}
"""What is seen in place of a question's own picture, in words."""


def picture_worth(
    annotations: Sequence[Annotation], predictions: Sequence[str], others: Mapping[str, Sequence[str]]
) -> dict[str, Any]:
    """By the name of what was seen in place of the picture: {overall, perAnswerType, worth, intervals}.

    predictions: to the questions about their own pictures; others: to the same about others, by name. overall and
    perAnswerType are the accuracies of the latter in percent, worth {overall, perAnswerType} the points that they lack,
    intervals the same of the paired difference, over pictures (see data/scoring/intervals.py).
    """
    humans = [annotation.answers for annotation in annotations]
    types = [annotation.answer_type for annotation in annotations]
    nameless = [""] * len(annotations)
    scores = {name: question_scores(said, humans) for name, said in {"": predictions, **others}.items()}
    own = scores.pop("")
    bounds = intervals(
        own,
        [annotation.image_id for annotation in annotations],
        nameless,
        types,
        {name: own - other for name, other in scores.items()},
    )["gains"]
    whole = percentages(own, nameless, types)
    return {
        name: _worth(whole, percentages(other, nameless, types)) | {"intervals": bounds[name]}
        for name, other in scores.items()
    }


def _worth(own: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    by_type = {
        name: round(own["perAnswerType"][name] - there, 2) for name, there in other["perAnswerType"].items()
    }
    return {
        "overall": other["overall"],
        "perAnswerType": other["perAnswerType"],
        "worth": {"overall": round(own["overall"] - other["overall"], 2), "perAnswerType": by_type},
    }


def worth_line(worth: Mapping[str, Any] | None) -> str:
    """'what the picture is worth: 26.71 points [24.10 to 29.33] against another question's picture, ...'."""
    if worth is None:
        return "what the picture is worth: not known, fewer than two pictures were asked about"
    told = [
        f"{worth[name]['worth']['overall']:.2f} points{_bounds(worth[name]['intervals']['overall'])} against {words}"
        for name, words in NAMES.items()
    ]
    return f"what the picture is worth: {', '.join(told)}"


def _bounds(interval: Interval) -> str:
    return " [{:.2f} to {:.2f}]".format(*interval) if interval else ""
