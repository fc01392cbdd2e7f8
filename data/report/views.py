"""What the report shows, as plain dicts ready to be laid out: chosen, counted, sorted and put into words."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from data.scoring.accuracy import answer_scores_table
from data.scoring.intervals import chance
from data.scoring.normalisation import clean, normalise

if TYPE_CHECKING:
    from data.catalog.entries import Published
    from data.report.report_data import BuiltStage, Judged, ReportData

CONFUSIONS = 12

_PRIORS = {
    "commonest_per_question_type": "commonest answer of the question's type",
    "commonest_answer": "commonest answer of all",
    "language_only": "language-only model trained alike",
}


def headline(accuracy: Mapping[str, Any]) -> dict[str, Any]:
    """The accuracy and how far it lies above the best of what does without the picture, in points, with intervals.

    `chance`: what the gain's interval says, as data.scoring.intervals.chance does.
    """
    best = max(_priors(accuracy), key=lambda name: accuracy["baselines"][name]["overall"])
    prior, intervals = accuracy["baselines"][best]["overall"], intervals_of(accuracy)
    gained = intervals["gains"].get(best, {}).get("overall")
    return {
        "overall": accuracy["overall"],
        "interval": intervals["overall"],
        "prior": prior,
        "prior_name": _PRIORS[best],
        "gain": round(accuracy["overall"] - prior, 2),
        "gain_interval": gained,
        "pictures": intervals["pictures"],
        "chance": chance(gained, intervals["pictures"]),
    }


def intervals_of(accuracy: Mapping[str, Any]) -> Mapping[str, Any]:
    """The intervals of an accuracy.json, none of any where it has none."""
    nothing: dict[str, Any] = {
        "overall": None,
        "perAnswerType": {},
        "perQuestionType": {},
        "gains": {},
        "pictures": 0,
    }
    bounds: Mapping[str, Any] = accuracy.get("intervals") or nothing
    return bounds


def _priors(accuracy: Mapping[str, Any]) -> dict[str, Any]:
    """The baselines that were scored: the two priors always, a trained one where it was asked for."""
    scored = accuracy.get("baselines", {})
    return {name: scored[name] for name in _PRIORS if name in scored}


def lines(data: ReportData) -> dict[str, list[Any]]:
    """Accuracies side by side, lowest first: `here` those trained on the same split and scored on the same split and
    task, `elsewhere` the other published ones. A prior's `gain` is how far the model lies above it."""
    overall, intervals = data.accuracy["overall"], intervals_of(data.accuracy)
    here: list[dict[str, Any]] = [
        {
            "label": _PRIORS[key],
            "accuracy": prior["overall"],
            "kind": "prior",
            "gain": round(overall - prior["overall"], 2),
            "gain_interval": intervals["gains"].get(key, {}).get("overall"),
        }
        for key, prior in _priors(data.accuracy).items()
    ]
    this = (data.parameters.get("train_split", "train"), data.split, data.task)
    here.append(
        {"label": "this model", "accuracy": overall, "kind": "model", "interval": intervals["overall"]}
    )
    elsewhere: list[Published] = []
    for line in data.published:
        if (line.trained_on, line.split, line.task) != this:
            elsewhere.append(line)
            continue
        here.append({"label": f"{line.model} (published)", "accuracy": line.accuracy, "kind": "published"})
    here.sort(key=lambda line: (line["accuracy"], line["label"]))
    return {"here": here, "elsewhere": elsewhere}


def answer_types(data: ReportData) -> list[dict[str, Any]]:
    """Each answer type with its questions, the model's accuracy, the best baseline's, and the gain over that,
    commonest first."""
    counts = Counter(question.answer_type for question in data.questions)
    rows = [
        {"name": name, "count": counts[name], "accuracy": value, **_above_best(data.accuracy, name, value)}
        for name, value in data.accuracy["perAnswerType"].items()
    ]
    return sorted(rows, key=lambda row: (-row["count"], row["name"]))


def _above_best(accuracy: Mapping[str, Any], kind: str, value: float) -> dict[str, Any]:
    """For one answer type the interval of the accuracy, the best baseline, and the gain over it with its interval."""
    priors = {name: prior["perAnswerType"].get(kind, 0.0) for name, prior in _priors(accuracy).items()}
    best, intervals = max(priors, key=lambda name: priors[name]), intervals_of(accuracy)
    return {
        "interval": intervals["perAnswerType"].get(kind),
        "prior": priors[best],
        "gain": round(value - priors[best], 2),
        "gain_interval": intervals["gains"].get(best, {}).get("perAnswerType", {}).get(kind),
    }


def question_types(data: ReportData) -> list[dict[str, Any]]:
    """Each question type with its questions, accuracy, interval and best baseline (None in files of earlier versions),
    commonest first."""
    counts = Counter(question.question_type for question in data.questions)
    bounds = intervals_of(data.accuracy)["perQuestionType"]
    marks = best_priors(data.accuracy, "perQuestionType")
    rows = [
        {
            "name": name,
            "count": counts[name],
            "accuracy": value,
            "interval": bounds.get(name),
            "prior": marks.get(name),
        }
        for name, value in data.accuracy["perQuestionType"].items()
    ]
    return sorted(rows, key=lambda row: (-row["count"], row["name"]))


def best_prior(accuracy: Mapping[str, Any]) -> float | None:
    """What the best baseline scores over all questions; None where there is none."""
    return max((prior["overall"] for prior in _priors(accuracy).values()), default=None)


def best_priors(accuracy: Mapping[str, Any], family: str) -> dict[str, float]:
    """For each type of a family, such as perQuestionType, what the best baseline scores there."""
    by_type: defaultdict[str, list[float]] = defaultdict(list)
    for prior in _priors(accuracy).values():
        for name, value in prior.get(family, {}).items():
            by_type[name].append(value)
    return {name: max(values) for name, values in by_type.items()}


def reach(questions: Sequence[Judged], classes: Sequence[str]) -> dict[str, Any]:
    """What no choice among the classes can reach: questions whose consensus has none, and the best possible score."""
    known = set(classes)
    outside = sum(question.consensus not in known for question in questions)
    compared = {clean(text) for text in known} | {normalise(text) for text in known}
    texts, codes, scores = answer_scores_table([question.humans for question in questions])
    inside = np.array([text in compared for text in texts] + [False])  # the last: codes that are absent (-2)
    best = np.where(inside[np.where(codes < 0, -1, codes)], scores, 0.0).max(axis=1)
    return {
        "classes": len(known),
        "outside": outside,
        "share": 100 * outside / len(questions),
        "best": 100 * float(best.mean()),
    }


def confusions(questions: Sequence[Judged], right: Sequence[bool]) -> list[dict[str, Any]]:
    """The commonest pairs of consensus and wrong prediction: each with an example of the question, and `numbers`, the
    places of its questions."""
    examples: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
    of_consensus = Counter(question.consensus for question in questions)
    for number, (question, is_right) in enumerate(zip(questions, right, strict=True)):
        if not is_right and question.prediction != question.consensus:
            examples[question.consensus, question.prediction].append(number)
    ranked = sorted(examples.items(), key=lambda item: (-len(item[1]), item[0]))[:CONFUSIONS]
    return [
        {
            "consensus": consensus,
            "prediction": prediction,
            "count": len(of_pair),
            "share": 100 * len(of_pair) / of_consensus[consensus],
            "example": _commonest(questions[number].question for number in of_pair),
            "numbers": of_pair,
        }
        for (consensus, prediction), of_pair in ranked
    ]


def _commonest(texts: Iterable[str]) -> str:
    return min(Counter(texts).items(), key=lambda item: (-item[1], item[0]))[0]


def stages(built: Sequence[BuiltStage]) -> list[dict[str, Any]]:
    """The stages with the share of the time that each took, and which stage each input came from."""
    total = sum(stage.seconds for stage in built) or 1.0
    name_of = {stage.digest: stage.name for stage in built}
    return [
        {
            "name": stage.name,
            "folder": stage.folder,
            "about": stage.folder.rpartition("/")[2].rpartition("-")[0],
            "digest": stage.digest,
            "seconds": stage.seconds,
            "share": 100 * stage.seconds / total,
            "size": stage.size,
            "device": stage.device,
            "warnings": stage.warnings,
            "when": when(stage.finished),
            "host": stage.host,
            "version": stage.version,
            "inputs": [(name, digest, name_of.get(digest, "")) for name, digest in stage.inputs.items()],
        }
        for stage in built
    ]


def when(finished: float) -> str:
    """Seconds of the epoch → '2026-11-23 07:11 UTC', the same wherever it is read; '' for 0."""
    return f"{datetime.fromtimestamp(finished, UTC):%Y-%m-%d %H:%M} UTC" if finished else ""
