"""report.html: what a trained model knows, on one self-contained page for people.

`write_report` takes figures and texts that are already there, reads the few pictures that the gallery shows, and
fills report.html.j2. Every text is escaped by the template, and the page's own policy runs no other script.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from data.base.progress import Progress, silent
from data.report import views
from data.report.charts import charts
from data.report.report_data import ReportData
from data.report.templates import render
from data.scoring.accuracy import answers_right, question_scores

GALLERY = 120
"""Pictures on the page: about two megabytes of photographs. A page with thousands would open on no phone."""


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
    judged = [one.prediction for one in data.questions], [one.humans for one in data.questions]
    scores, right = question_scores(*judged), answers_right(*judged).tolist()
    chosen = views.choose(
        right,
        [one.answer_type for one in data.questions],
        [one.image_id for one in data.questions],
        gallery,
    )
    cards = []
    for done, number in enumerate(chosen, start=1):
        cards.append(views.card(data.questions[number], float(scores[number]), right[number], picture))
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
        confusions=views.confusions(data.questions, right),
        cards=cards,
        kinds=sorted({one["question_type"] for one in cards}),
        types=sorted({one["answer_type"] for one in cards}),
        stages=views.stages(data.stages),
    )
    unread = sum(one["thumbnail"] is None for one in cards)
    return page, {"questions": len(data.questions), "gallery": len(cards), "pictures_unread": unread}
