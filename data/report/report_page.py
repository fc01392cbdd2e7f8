"""report.html: what a trained model knows, on one self-contained page for people.

`write_report` takes figures and texts that are already there, reads the few pictures that the gallery shows, and
fills report.html.j2. Every text is escaped by the template, and the page's own policy runs no other script.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from data.base.progress import Progress, silent
from data.report import cards, views
from data.report.charts import charts
from data.report.judged_table import packed
from data.report.report_data import ReportData
from data.report.templates import render
from data.scoring.accuracy import people_agreeing, question_scores

GALLERY = 120
"""Pictures on the page: about two megabytes of photographs. A page with thousands would open on no phone. Of the other
questions it has the texts and answers."""


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
    judged = (
        [question.prediction for question in data.questions],
        [question.humans for question in data.questions],
    )
    scores = question_scores(*judged).tolist()
    counts = (counted.tolist() for counted in people_agreeing(*judged))
    outcomes = [cards.outcome(agreeing, people) for agreeing, people in zip(*counts, strict=True)]
    right = [mark == "right" for mark, _ in outcomes]
    confusions = views.confusions(data.questions, right)
    chosen = cards.shown(right, data.questions, confusions, gallery)
    shown = []
    for done, number in enumerate(chosen, start=1):
        card = cards.card(data.questions[number], scores[number], outcomes[number], picture)
        shown.append(card | {"number": number})
        progress(done, len(chosen), "gallery")
    page = render(
        "report.html.j2",
        data=data,
        headline=views.headline(data.accuracy),
        lines=views.lines(data),
        answer_types=views.answer_types(data),
        question_types=views.question_types(data),
        charts=charts(data.history),
        reach=views.reach(data.questions, data.classes),
        right=cards.what_is_right(data),
        when=views.when,
        confusions=confusions,
        cards=shown,
        blank=cards.BLANK,
        table=packed(data.questions, outcomes, scores),
        kinds=sorted({question.question_type for question in data.questions}),
        types=sorted({question.answer_type for question in data.questions}),
        stages=views.stages(data.stages),
    )
    unread = sum(card["thumbnail"] is None for card in shown)
    return page, {"questions": len(data.questions), "gallery": len(shown), "pictures_unread": unread}
