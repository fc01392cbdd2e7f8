"""What the report shows, as plain dicts ready to be laid out: chosen, counted, sorted and put into words."""

from __future__ import annotations

import base64
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from random import Random
from typing import TYPE_CHECKING, Any

import numpy as np

from data.pictures.thumbnails import thumbnail
from data.scoring.accuracy import answer_scores_table
from data.scoring.normalisation import clean, normalise

if TYPE_CHECKING:
    from data.catalog.entries import Published
    from data.report.report_data import BuiltStage, Judged, ReportData

THUMBNAIL = 400  # pixels of the longer side: sharp on a phone's screen, about 12 kB
CONFUSIONS = 12

_PRIORS = {
    "commonest_per_question_type": "commonest answer of the question's type",
    "commonest_answer": "commonest answer of all",
    "language_only": "language-only model trained alike",
}


def headline(accuracy: Mapping[str, Any]) -> dict[str, Any]:
    """The accuracy and how far it lies above the best of what does without the picture, in points."""
    priors = {name: prior["overall"] for name, prior in _priors(accuracy).items()}
    best = max(priors, key=lambda name: priors[name])
    gain = round(accuracy["overall"] - priors[best], 2)
    return {"overall": accuracy["overall"], "prior": priors[best], "prior_name": _PRIORS[best], "gain": gain}


def _priors(accuracy: Mapping[str, Any]) -> dict[str, Any]:
    """The baselines that were scored: the two priors always, a trained one where it was asked for."""
    return {name: accuracy["baselines"][name] for name in _PRIORS if name in accuracy["baselines"]}


def lines(data: ReportData) -> dict[str, list[Any]]:
    """Accuracies side by side, lowest first: `here` those trained on the same split and scored on the same split and
    task, `elsewhere` the other published ones."""
    here: list[dict[str, Any]] = [
        {"label": _PRIORS[key], "accuracy": prior["overall"], "kind": "prior"}
        for key, prior in _priors(data.accuracy).items()
    ]
    this = (data.parameters.get("train_split", "train"), data.split, data.task)
    here.append({"label": "this model", "accuracy": data.accuracy["overall"], "kind": "model"})
    elsewhere: list[Published] = []
    for line in data.published:
        if (line.trained_on, line.split, line.task) != this:
            elsewhere.append(line)
            continue
        here.append({"label": f"{line.model} (published)", "accuracy": line.accuracy, "kind": "published"})
    here.sort(key=lambda line: (line["accuracy"], line["label"]))
    return {"here": here, "elsewhere": elsewhere}


def answer_types(data: ReportData) -> list[dict[str, Any]]:
    """Each answer type with its questions, the model's accuracy and the best baseline's, commonest first."""
    counts = Counter(one.answer_type for one in data.questions)
    priors = [prior["perAnswerType"] for prior in _priors(data.accuracy).values()]
    rows = [
        {
            "name": name,
            "count": counts[name],
            "accuracy": value,
            "prior": max(prior.get(name, 0.0) for prior in priors),
        }
        for name, value in data.accuracy["perAnswerType"].items()
    ]
    return sorted(rows, key=lambda row: (-row["count"], row["name"]))


def question_types(data: ReportData) -> list[dict[str, Any]]:
    """Each question type with its questions and accuracy, commonest first."""
    counts = Counter(one.question_type for one in data.questions)
    rows = [
        {"name": name, "count": counts[name], "accuracy": value}
        for name, value in data.accuracy["perQuestionType"].items()
    ]
    return sorted(rows, key=lambda row: (-row["count"], row["name"]))


def reach(questions: Sequence[Judged], classes: Sequence[str]) -> dict[str, Any]:
    """What no choice among the classes can reach: questions whose consensus has none, and the best possible score."""
    known = set(classes)
    outside = sum(one.consensus not in known for one in questions)
    compared = {clean(text) for text in known} | {normalise(text) for text in known}
    texts, codes, scores = answer_scores_table([one.humans for one in questions])
    inside = np.array([text in compared for text in texts] + [False])  # the last: codes that are absent (-2)
    best = np.where(inside[np.where(codes < 0, -1, codes)], scores, 0.0).max(axis=1)
    return {
        "classes": len(known),
        "outside": outside,
        "share": 100 * outside / len(questions),
        "best": 100 * float(best.mean()),
    }


def confusions(questions: Sequence[Judged], right: Sequence[bool]) -> list[dict[str, Any]]:
    """The commonest pairs of consensus and wrong prediction, each with an example of the question."""
    asked: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    of_consensus = Counter(one.consensus for one in questions)
    for one, is_right in zip(questions, right, strict=True):
        if not is_right and one.prediction != one.consensus:
            asked[one.consensus, one.prediction].append(one.question)
    ranked = sorted(asked.items(), key=lambda item: (-len(item[1]), item[0]))[:CONFUSIONS]
    return [
        {
            "consensus": consensus,
            "prediction": prediction,
            "count": len(of_pair),
            "share": 100 * len(of_pair) / of_consensus[consensus],
            "example": min(Counter(of_pair).items(), key=lambda item: (-item[1], item[0]))[0],
        }
        for (consensus, prediction), of_pair in ranked
    ]


def choose(
    right: Sequence[bool], answer_types: Sequence[str], image_ids: Sequence[int], count: int
) -> list[int]:
    """Numbers of `count` questions for the gallery, the same each time.

    Right and not right, and all answer types, take turns, so the gallery is no fair sample of the accuracy; a
    picture comes again only after the others.
    """
    order = list(range(len(right)))
    Random(0).shuffle(order)
    seen: Counter[int] = Counter()
    queues: defaultdict[tuple[str, bool], list[tuple[int, int, int]]] = defaultdict(list)
    for place, number in enumerate(order):
        queue = queues[answer_types[number], right[number]]
        queue.append((seen[image_ids[number]], place, number))
        seen[image_ids[number]] += 1
    turns = sorted(
        (turn, key, number)
        for key, queue in queues.items()
        for turn, (_, _, number) in enumerate(sorted(queue)[:count])
    )
    return [number for _, _, number in turns[:count]]


def card(one: Judged, score: float, right: bool, picture: Callable[[int], bytes]) -> dict[str, Any]:
    """One question of the gallery with its picture as a data address."""
    said = Counter(one.humans)
    mark = "right" if right else "partly" if score > 0 else "wrong"
    return {
        "question": one.question,
        "question_id": one.question_id,
        "image_id": one.image_id,
        "question_type": one.question_type,
        "answer_type": one.answer_type,
        "humans": sorted(said.items(), key=lambda item: (-item[1], item[0])),
        "prediction": one.prediction,
        "top": one.top,
        "confidence": dict(one.top).get(one.prediction, 0.0),
        "score": score,
        "mark": mark,
        "text": " ".join([one.question, one.prediction, *said]).lower(),
        "thumbnail": _in_base64(thumbnail(picture(one.image_id), THUMBNAIL)),
    }


def _in_base64(content: bytes | None) -> str | None:
    return None if content is None else base64.b64encode(content).decode()


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
