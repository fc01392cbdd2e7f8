"""Every judged question, small enough to lie in the page: its script searches them and lays them out.

Columns of numbers that stand for texts, each distinct text once, as JSON, gzipped, in base64: 214,354 questions with
their answers are about ten megabytes.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import count
from typing import Any

from data.report.report_data import Judged

_EXACT = 2**53  # beyond, JavaScript's numbers are not exact


def packed(questions: Sequence[Judged], outcomes: Sequence[tuple[str, str]], scores: Sequence[float]) -> str:
    """The questions as text for the page; `outcomes`: of each its mark and the words for it, as cards.outcome says."""
    content = json.dumps(columns(questions, outcomes, scores), separators=(",", ":")).encode()
    return base64.b64encode(gzip.compress(content, 6, mtime=0)).decode()


def columns(
    questions: Sequence[Judged], outcomes: Sequence[tuple[str, str]], scores: Sequence[float]
) -> dict[str, Any]:
    """`texts` and `outcomes`, each distinct one once, and a list with an entry a question for everything else.

    Texts stand as places in `texts`. people: a place and how often, in turns, the commonest first. top: a place and
    its probability in thousandths, in turns, best first. score: percent.
    """
    texts: defaultdict[str, int] = defaultdict(count().__next__)
    kinds: defaultdict[tuple[str, str], int] = defaultdict(count().__next__)
    values = {
        "question": [texts[question.question] for question in questions],
        "questionType": [texts[question.question_type] for question in questions],
        "answerType": [texts[question.answer_type] for question in questions],
        "consensus": [texts[question.consensus] for question in questions],
        "prediction": [texts[question.prediction] for question in questions],
        "people": [
            [n for text, times in said(question) for n in (texts[text], times)] for question in questions
        ],
        "top": [
            [n for text, share in question.top for n in (texts[text], round(1000 * share))]
            for question in questions
        ],
        "id": [_exact(question.question_id) for question in questions],
        "image": [_exact(question.image_id) for question in questions],
        "score": [round(100 * score) for score in scores],
        "outcome": [kinds[outcome] for outcome in outcomes],
    }
    return {"texts": list(texts), "outcomes": list(kinds), **values}


def said(question: Judged) -> list[tuple[str, int]]:
    """The distinct answers of people with how many gave each, the commonest first, then by alphabet."""
    return sorted(Counter(question.humans).items(), key=lambda item: (-item[1], item[0]))


def _exact(number: int) -> int | str:
    return number if abs(number) < _EXACT else str(number)
