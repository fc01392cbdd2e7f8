"""The questions whose pictures a page shows: which are chosen, and each as a card ready to be laid out."""

from __future__ import annotations

import base64
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from random import Random
from typing import TYPE_CHECKING, Any

from data.base.errors import DataError
from data.pictures.attention_maps import as_jpeg, attention_map
from data.pictures.thumbnails import thumbnail
from data.report.judged_table import said

if TYPE_CHECKING:
    from data.report.report_data import Judged, ReportData

THUMBNAIL = 400  # pixels of the longer side: sharp on a phone's screen, about 12 kB
PER_CONFUSION = 3  # pictures of each on the page, where there are so many and room

BLANK: dict[str, Any] = {
    **dict.fromkeys(("number", "image_id", "question", "question_id", "question_type", "answer_type"), ""),
    **{"mark": "", "badge": "", "prediction": "", "score": 0.0, "humans": [("", 2)], "top": [("", 0.0)]},
    **{"thumbnail": None, "looked": None},
}
"""A card that the page's script fills in, for a question without its picture."""


def shown(
    right: Sequence[bool], questions: Sequence[Judged], wrong: Sequence[dict[str, Any]], count: int
) -> list[int]:
    """Numbers of at most `count` questions whose pictures the page has: by lot, and some of each confusion."""
    turns = [row["numbers"][turn] for turn in range(PER_CONFUSION) for row in wrong if turn < row["count"]]
    of_confusions = turns[: count // 3]
    types = [question.answer_type for question in questions]
    pictures = [question.image_id for question in questions]
    return list(dict.fromkeys([*choose(right, types, pictures, count - len(of_confusions)), *of_confusions]))


def choose(
    right: Sequence[bool], answer_types: Sequence[str], image_ids: Sequence[int], count: int
) -> list[int]:
    """Numbers of `count` questions for the gallery, the same each time.

    Right and not right, and all answer types, take turns, so the gallery is not a fair sample of the accuracy; a
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


def what_is_right(data: ReportData) -> str:
    """How many people must have given an answer that counts as right, in words."""
    return enough_people(data.accuracy["metric"], max(len(question.humans) for question in data.questions))


def enough_people(metric: str, most: int) -> str:
    """As `what_is_right`, where at `most` so many people answered a question."""
    if metric == "official":
        return "at least three people gave the answer"
    if most == 1:
        return "it is the answer that was given"
    return "all who answered gave the answer" + ("" if most <= 3 else ", or three of them")


def outcome(agreeing: int, people: int) -> tuple[str, str]:
    """right, partly or wrong, and the words for it, where `agreeing` of so many people gave the model's answer.

    Three who agree are enough to be right; where most people said otherwise the words say that it is so.
    """
    share = f"({agreeing} of {people} said so)"
    if agreeing >= min(3, people):
        return "right", "✓ right" if 2 * agreeing >= people else f"✓ accepted {share}"
    return ("partly", f"≈ partly right {share}") if agreeing else ("wrong", "✗ wrong")


def card(
    question: Judged, score: float, told: tuple[str, str], picture: Callable[[int], bytes]
) -> dict[str, Any]:
    """One question of the gallery with its picture as a data address. `told`: what `outcome` says of it."""
    content = picture(question.image_id)
    return {
        "question": question.question,
        "question_id": question.question_id,
        "image_id": question.image_id,
        "question_type": question.question_type,
        "answer_type": question.answer_type,
        "humans": said(question),
        "prediction": question.prediction,
        "top": question.top,
        "confidence": dict(question.top).get(question.prediction, 0.0),
        "score": score,
        "mark": told[0],
        "badge": told[1],
        "text": " ".join([question.question, question.prediction, *dict.fromkeys(question.humans)]).lower(),
        "thumbnail": _in_base64(thumbnail(content, THUMBNAIL)),
        "looked": _in_base64(_looked(question, content)),
    }


def _looked(question: Judged, content: bytes) -> bytes | None:
    """The picture under what the model looked at, where it has attention and the picture can be shown."""
    if question.attention is None:
        return None
    try:
        return as_jpeg(attention_map(content, [question.attention], THUMBNAIL))
    except DataError:
        return None


def _in_base64(content: bytes | None) -> str | None:
    return None if content is None else base64.b64encode(content).decode()
