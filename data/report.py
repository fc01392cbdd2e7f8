"""report.html: what a trained model knows, on one self-contained page for people.

`write_report` takes figures and texts that are already there, reads the few pictures that the gallery shows, and
fills report.html.j2. Every text is escaped by the template, and the page's own policy runs no other script.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from data import report_views as views
from data.accuracy import question_scores
from data.pages import render
from data.progress import Progress, silent
from data.report_charts import charts
from data.sources import Published

GALLERY = 120
"""Pictures on the page: about two megabytes of photographs. A page with thousands would open on no phone."""


@dataclass(frozen=True, slots=True)
class Judged:
    """One question of the split with what people and the model answered.

    top: the model's best answers and their probabilities, best first.
    """

    question_id: int
    image_id: int
    question: str
    question_type: str
    answer_type: str
    humans: Sequence[str]
    consensus: str
    prediction: str
    top: Sequence[tuple[str, float]]


@dataclass(frozen=True)
class BuiltStage:
    """One stage that led here, as its manifest tells it.

    inputs: {name: digest}; size in bytes; finished: seconds of the epoch; version: the stage's own number.
    """

    name: str
    folder: str
    digest: str
    seconds: float
    size: int
    device: str = ""
    inputs: Mapping[str, str] = field(default_factory=dict)
    warnings: Sequence[str] = ()
    finished: float = 0.0
    version: int = 1
    host: str = ""


@dataclass(frozen=True)
class ReportData:
    """All that the page tells.

    accuracy: accuracy.json as a whole. history: the rows of history.csv as numbers, `epoch` among the columns.
    questions: the split's questions in any order, all of them. classes: the model's answer classes.
    parameters: the flags in force. stages: in the order they were built. versions: libraries, as in a manifest.
    published: the catalog's lines of others; none for own data.
    published_seed: the seed's own figures {"epochs", "val_loss", "val_exact_match", "val_any_of_ten"}, or {}.
    """

    dataset: str
    split: str
    task: str
    model: str
    accuracy: Mapping[str, Any]
    history: Sequence[Mapping[str, float]]
    questions: Sequence[Judged]
    classes: Sequence[str]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    stages: Sequence[BuiltStage] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    commit: str | None = None
    published: Sequence[Published] = ()
    published_seed: Mapping[str, float] = field(default_factory=dict)


def write_report(
    path: Path,
    data: ReportData,
    picture: Callable[[int], bytes],
    gallery: int = GALLERY,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Write the page; `picture` gives the encoded bytes of an image id and is asked for the gallery's alone.

    A picture that can't be decoded leaves a note in its place. Returns facts: questions, gallery, pictures unread.
    """
    page, facts = render_report(data, picture, gallery, progress)
    path.write_text(page, encoding="utf-8")
    return facts


def render_report(
    data: ReportData,
    picture: Callable[[int], bytes],
    gallery: int = GALLERY,
    progress: Progress = silent,
) -> tuple[str, dict[str, Any]]:
    """The page as text, and facts about it; see `write_report`."""
    scores = question_scores(
        [one.prediction for one in data.questions], [one.humans for one in data.questions]
    )
    chosen = views.choose(
        scores.tolist(),
        [one.answer_type for one in data.questions],
        [one.image_id for one in data.questions],
        gallery,
    )
    cards = []
    for done, number in enumerate(chosen, start=1):
        cards.append(views.card(data.questions[number], float(scores[number]), picture))
        progress(done, len(chosen), "pictures of the gallery")
    page = render(
        "report.html.j2",
        data=data,
        headline=views.headline(data.accuracy),
        lines=views.lines(data),
        answer_types=views.answer_types(data),
        question_types=views.question_types(data),
        charts=charts(data.history),
        reach=views.reach(data.questions, data.classes),
        confusions=views.confusions(data.questions, scores.tolist()),
        cards=cards,
        kinds=sorted({one["question_type"] for one in cards}),
        types=sorted({one["answer_type"] for one in cards}),
        stages=views.stages(data.stages),
    )
    unread = sum(one["thumbnail"] is None for one in cards)
    return page, {"questions": len(data.questions), "gallery": len(cards), "pictures_unread": unread}
