"""The page that sets two trained models side by side: what differs, what each reached, where they disagree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.base.words import Lines
from data.report import cards, views
from data.report.charts import compared_charts
from data.report.report_data import Judged
from data.report.templates import render
from data.scoring.accuracy import answers_right, question_scores
from data.scoring.intervals import Interval, chance, intervals

GALLERY = 60
"""Pictures on the page, half of them where the one model is right and half where the other is."""


@dataclass(frozen=True)
class Side:
    """One of the two trained models.

    parameters: its flags in force. history: as in a report. accuracy: its accuracy.json, or {} where it was not
    judged. seconds: of training; finished: seconds of the epoch. made_with: device, versions and the like.
    """

    name: str
    parameters: Mapping[str, Any]
    history: Sequence[Mapping[str, float]]
    accuracy: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    finished: float = 0.0
    made_with: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Comparison:
    """Two models and, where they were judged on the same questions, these.

    about: what they were judged on, such as 'sample val, open-ended'; '' where that is not the same for both.
    several: the two as rows of models_page.rows, or none where they don't compare.
    remarks: sentences on what can't be compared, and why. pairs: each question with both models' answers.
    """

    first: Side
    second: Side
    about: str = ""
    remarks: Sequence[str] = ()
    pairs: Sequence[tuple[Judged, Judged]] = ()
    several: Sequence[Mapping[str, Any]] = ()

    @cached_property
    def scores(self) -> NDArray[np.float64]:
        """(Q, 2) in 0..1: what each model earns on the questions of both."""
        humans = [question.humans for question, _ in self.pairs]
        sides = ([pair[side].prediction for pair in self.pairs] for side in (0, 1))
        return np.stack([question_scores(said, humans) for said in sides], axis=1)

    @cached_property
    def gains(self) -> Mapping[str, Any]:
        """Intervals of B − A in points over the questions of both, as `intervals` gives them; {} for none."""
        if not self.pairs or not self.about:
            return {}
        questions = [question for question, _ in self.pairs]
        return intervals(
            self.scores[:, 1] - self.scores[:, 0],
            [question.image_id for question in questions],
            [question.question_type for question in questions],
            [question.answer_type for question in questions],
        )


def differences(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """(name, first's value, second's) of what is not the same in both, by name; '–' for what one has not."""
    names = sorted(first.keys() | second.keys())
    rows = [(name, first.get(name, "–"), second.get(name, "–")) for name in names]
    return [(name, value, other) for name, value, other in rows if value != other]


def figures(both: Comparison) -> list[dict[str, Any]]:
    """Overall and each answer type: both accuracies in percent and, where they compare, the difference in points with
    its interval."""
    first, second = both.first.accuracy, both.second.accuracy
    row = _row("overall", first.get("overall"), second.get("overall"), both, both.gains.get("overall"))
    priors = [views.best_prior(side) for side in (first, second)]
    return [row | {"priors": priors}, *_typed("perAnswerType", both)]


def question_types(both: Comparison) -> list[dict[str, Any]]:
    """Each question type as in `figures`, with how often it is asked, commonest first."""
    counts = Counter(question.question_type for question, _ in both.pairs)
    rows = [row | {"count": counts[row["name"]]} for row in _typed("perQuestionType", both)]
    return sorted(rows, key=lambda row: (-row["count"], row["name"]))


def _typed(key: str, both: Comparison) -> list[dict[str, Any]]:
    first, second = (side.accuracy.get(key, {}) for side in (both.first, both.second))
    bounds = both.gains.get(key, {})
    priors = [views.best_priors(side.accuracy, key) for side in (both.first, both.second)]
    return [
        _row(name, first.get(name), second.get(name), both, bounds.get(name))
        | {"priors": [prior.get(name) for prior in priors]}
        for name in sorted(first.keys() | second.keys())
    ]


def _row(
    name: str, first: float | None, second: float | None, both: Comparison, interval: Interval
) -> dict[str, Any]:
    compares = both.about and first is not None and second is not None
    gain = round(second - first, 2) if compares and first is not None and second is not None else None
    bounds = None if gain is None else interval
    told = chance(bounds, both.gains.get("pictures", 0))
    return {"name": name, "first": first, "second": second, "gain": gain, "interval": bounds, "chance": told}


def seed_figures(both: Comparison) -> list[dict[str, Any]]:
    """The original's three figures of both, where both have them."""
    first, second = (side.accuracy.get("seed") or {} for side in (both.first, both.second))
    official = both.first.accuracy.get("metric", "official") == "official"
    ten = "any of ten" if official else "any answer given"
    names = {"loss": "loss", "exact_match": "exact match", "any_of_ten": ten}
    return [
        {"name": text, "first": first.get(name), "second": second.get(name)}
        for name, text in names.items()
        if first and second
    ]


def outcomes(both: Comparison) -> dict[str, Any]:
    """On the questions of both: counts of who is right where, and what their difference says of chance."""
    if not both.pairs:
        return {}
    humans = [question.humans for question, _ in both.pairs]
    predictions = [[pair[side].prediction for pair in both.pairs] for side in (0, 1)]
    right, wrong = np.stack([answers_right(said, humans) for said in predictions], axis=1), both.scores == 0
    only_first, only_second = right[:, 0] & wrong[:, 1], right[:, 1] & wrong[:, 0]
    return {
        "only_first": np.flatnonzero(only_first).tolist(),
        "only_second": np.flatnonzero(only_second).tolist(),
        "both": int(right.all(axis=1).sum()),
        "neither": int((~right).all(axis=1).sum()),
        "same": sum(first.prediction == other.prediction for first, other in both.pairs),
        "questions": len(both.pairs),
        "pictures": both.gains.get("pictures", 0),
        "chance": chance(both.gains.get("overall"), both.gains.get("pictures", 0)),
    }


def disagreements(
    both: Comparison, outcome: Mapping[str, Any], picture: Callable[[int], bytes], gallery: int
) -> list[dict[str, Any]]:
    """Questions that one gets right and the other wrong, in turns, with the picture and both answers."""
    if not outcome:
        return []
    numbers = [*outcome["only_first"], *outcome["only_second"]]
    questions = [both.pairs[number][0] for number in numbers]
    by_second = [False] * len(outcome["only_first"]) + [True] * len(outcome["only_second"])
    kinds, pictures = (
        [question.answer_type for question in questions],
        [question.image_id for question in questions],
    )
    chosen = cards.choose(by_second, kinds, pictures, gallery)
    return [_card(both.pairs[numbers[k]], "second" if by_second[k] else "first", picture) for k in chosen]


def _card(pair: tuple[Judged, Judged], winner: str, picture: Callable[[int], bytes]) -> dict[str, Any]:
    first, other = pair
    card = cards.card(first, 0.0, (winner, ""), picture)
    answers = [(side.prediction, dict(side.top).get(side.prediction, 0.0)) for side in pair]
    text = f"{card['text']} {other.prediction}".lower()
    return card | {"answers": answers, "text": text}


def _right(both: Comparison) -> str:
    most = max((len(question.humans) for question, _ in both.pairs), default=0)
    return cards.enough_people(both.first.accuracy.get("metric", "official"), most)


def render_comparison(
    both: Comparison, picture: Callable[[int], bytes], gallery: int = GALLERY
) -> tuple[str, dict[str, Any]]:
    """The page as text, and facts about it: questions, only_first, only_second, gallery."""
    outcome = outcomes(both)
    shown = disagreements(both, outcome, picture, gallery)
    page = render(
        "comparison.html.j2",
        both=both,
        sides=[("first", both.first), ("second", both.second)],
        when=views.when,
        parameters=differences(both.first.parameters, both.second.parameters),
        made_with=differences(both.first.made_with, both.second.made_with),
        figures=figures(both),
        seed=seed_figures(both),
        question_types=question_types(both),
        outcomes=outcome,
        several=both.several,
        right=_right(both),
        charts=compared_charts({"A": both.first.history, "B": both.second.history}),
        cards=shown,
        kinds=sorted({card["question_type"] for card in shown}),
        types=sorted({card["answer_type"] for card in shown}),
    )
    return page, {
        "questions": len(both.pairs),
        "only_first": len(outcome.get("only_first", ())),
        "only_second": len(outcome.get("only_second", ())),
        "gallery": len(shown),
    }


def format_comparison(both: Comparison, facts: Mapping[str, Any]) -> str:
    """The figures as text: flags that differ, accuracies and differences, what `render_comparison` counted, remarks."""
    lines = [f"A  {both.first.name}", f"B  {both.second.name}", ""]
    changed = differences(both.first.parameters, both.second.parameters)
    lines += [f"{name}: {value} → {other}" for name, value, other in changed] or ["no flag differs"]
    scored = [row for row in figures(both) if row["first"] is not None or row["second"] is not None]
    if scored:
        width = max(len(row["name"]) for row in scored)
        lines += ["", " " * width + "".join(map(_cell, ("A", "B", "B − A", "95 % from", "to")))]
        lines += [row["name"].ljust(width) + "".join(map(_cell, _values(row))) for row in scored]
    if both.pairs:
        alone = f"A alone is right on {facts['only_first']:,}, B alone on {facts['only_second']:,}"
        lines += ["", f"of {facts['questions']:,} questions {alone}"]
    return Lines(*lines, *(["", *both.remarks] if both.remarks else []))


def _values(row: Mapping[str, Any]) -> list[str]:
    plain = ["–" if row[side] is None else f"{row[side]:.2f}" for side in ("first", "second")]
    gain = [row["gain"], *(row["interval"] or (None, None))]
    return [*plain, *("–" if points is None else f"{points:+.2f}" for points in gain)]


def _cell(text: str) -> str:
    return f"  {text:>9}"
