"""Models set side by side, each trained with several seeds: means, deviations, and which differences are noise.

Two things move an accuracy: other pictures, which the bootstrap tells, and another seed of the training, which several
seeds tell. An interval here has both: the distance to each of its ends is the root of the sum of the two distances
squared. The seeds' is Student's t times the standard error, so that three seeds do not look like thirty.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from statistics import fmean, stdev
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from data.scoring.intervals import Interval, chance, intervals

_T = (
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228),
    *(2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086),
    *(2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042),
)
"""Student's t at 97.5 %, for 1 to 30 degrees of freedom."""
_T_OF_MANY = 1.96


@dataclass(frozen=True)
class Training:
    """One training that was judged.

    model: the same name for all seeds of one model. accuracy: its accuracy.json. scores: (Q,) in 0..1 for the same
    questions in each training, NaN where it has no answer. facts: what else is to be told of it.
    """

    model: str
    seed: int
    accuracy: Mapping[str, Any]
    scores: NDArray[np.float64]
    facts: Mapping[str, Any] = field(default_factory=dict)


def side_by_side(
    trainings: Sequence[Training], pictures: ArrayLike, answer_types: Sequence[str]
) -> dict[str, Any]:
    """{models, pairs, part, questions, pictures}: each model's figures over its seeds, best first, and each two models.

    pictures and answer_types: of each question. Intervals and differences are over the questions that all answered.
    part: what is to be said of a part of the data; empty for all of it.
    """
    by_model: dict[str, list[Training]] = {}
    for training in trainings:
        by_model.setdefault(training.model, []).append(training)
    best_first = sorted(by_model, key=lambda name: (-_mean(by_model[name]), name))
    means = {name: np.mean([training.scores for training in by_model[name]], axis=0) for name in best_first}
    common = np.isfinite(np.sum(list(means.values()), axis=0))
    bounds = _bounds(means, common, np.asarray(pictures)[common], np.asarray(answer_types)[common].tolist())
    return {
        "models": [_model(name, by_model[name], bounds["gains"][name]) for name in best_first],
        "pairs": [_pair(pair, by_model, bounds) for pair in combinations(best_first, 2)],
        "part": trainings[0].accuracy.get("part", {}).get("note", ""),
        "questions": int(common.sum()),
        "pictures": bounds["pictures"],
    }


def _mean(of_model: Sequence[Training]) -> float:
    return fmean(training.accuracy["overall"] for training in of_model)


def _bounds(
    means: Mapping[str, NDArray[np.float64]], common: NDArray[np.bool_], pictures: ArrayLike, types: list[str]
) -> dict[str, Any]:
    """Intervals of every model's mean score, by name, and of each two's difference, by both names, in their order."""
    scores = {name: mean[common] for name, mean in means.items()}
    wanted: dict[Any, ArrayLike] = dict(scores)
    for name, other in combinations(scores, 2):
        wanted[name, other] = scores[name] - scores[other]
    nothing = np.zeros(int(common.sum()))
    return intervals(nothing, pictures, types, types, wanted)


def _model(name: str, of_model: Sequence[Training], bounds: Mapping[str, Any]) -> dict[str, Any]:
    figures = [training.accuracy for training in of_model]
    types = sorted({kind for figure in figures for kind in figure["perAnswerType"]})
    return {
        "name": name,
        "overall": spread([figure["overall"] for figure in figures], bounds["overall"]),
        "perAnswerType": {
            kind: spread(
                [figure["perAnswerType"][kind] for figure in figures], bounds["perAnswerType"].get(kind)
            )
            for kind in types
        },
        "consistency": _of_all(figures, "consistency", "both_right"),
        "picture_worth": _of_all(figures, "picture_worth", "exchanged", "worth", "overall"),
        "prior": _best_prior(figures[0]),
        "seeds": [
            {"seed": training.seed, "overall": training.accuracy["overall"], **training.facts}
            for training in sorted(of_model, key=lambda training: training.seed)
        ],
    }


def _best_prior(accuracy: Mapping[str, Any]) -> float | None:
    """What the best guess without the picture scores, in percent."""
    return max((prior["overall"] for prior in accuracy.get("baselines", {}).values()), default=None)


def _of_all(figures: Sequence[Mapping[str, Any]], *path: str) -> dict[str, Any] | None:
    """The spread of a figure that lies deeper in accuracy.json; None where a seed has none."""
    values = []
    for figure in figures:
        value: Any = figure
        for name in path:
            value = value.get(name) if isinstance(value, Mapping) else None
        values.append(value)
    return None if any(value is None for value in values) else spread(values, None)


def spread(values: Sequence[float], pictures: Interval) -> dict[str, Any]:
    """{mean, deviation, interval} over seeds; the deviation is None for one seed, and then not in the interval.

    values: percent. pictures: the interval of the mean that the bootstrap gives.
    """
    mean = fmean(values)
    deviation = stdev(values) if len(values) > 1 else None
    interval = widened(mean, pictures, [values])
    return {
        "mean": round(mean, 2),
        "deviation": None if deviation is None else round(deviation, 2),
        "interval": interval and [max(0.0, interval[0]), min(100.0, interval[1])],
    }


def widened(middle: float, pictures: Interval, groups: Sequence[Sequence[float]]) -> Interval:
    """An interval around `middle`, wider by what the seeds of one model, or of two, tell."""
    if pictures is None:
        return None
    seeds = _half_width([group for group in groups if len(group) > 1])
    low, high = (math.hypot(middle - end, seeds) for end in pictures)
    return [round(middle - low, 2), round(middle + high, 2)]


def _half_width(groups: Sequence[Sequence[float]]) -> float:
    """Half of the 95 % interval of a mean, or of two means' difference (Welch), by the spread of the seeds."""
    errors = [(stdev(group) ** 2 / len(group), len(group) - 1) for group in groups]
    variance = sum(error for error, _ in errors)
    if not variance:
        return 0.0
    freedom = max(1, int(variance**2 / sum(error**2 / degrees for error, degrees in errors)))
    return (_T[freedom - 1] if freedom <= len(_T) else _T_OF_MANY) * math.sqrt(variance)


def _pair(
    pair: tuple[str, str], by_model: Mapping[str, Sequence[Training]], bounds: Mapping[str, Any]
) -> dict[str, Any]:
    """What the first, which is the better, is above the second: in points, with its interval and what that says."""
    groups = [[training.accuracy["overall"] for training in by_model[name]] for name in pair]
    difference = _mean(by_model[pair[0]]) - _mean(by_model[pair[1]])
    interval = widened(difference, bounds["gains"][pair]["overall"], groups)
    return {
        "better": pair[0],
        "other": pair[1],
        "difference": round(difference, 2) + 0.0,
        "interval": interval,
        "chance": chance(interval, bounds["pictures"]),
    }
