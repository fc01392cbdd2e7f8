"""The text rules of the official VQA accuracy: what makes two answers the same answer.

The word tables lie in vqa_answer_normalisation.json (GT-Vision-Lab/VQA, BSD-2-Clause, notice in that file).
The rules below follow the behaviour of its PythonEvaluationTools/vqaEvaluation/vqaEval.py, odd corners
included: a score is only comparable with published ones when the odd corners are the same.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from pathlib import Path

TABLES_FILE = Path(__file__).with_name("vqa_answer_normalisation.json")
_TABLES = json.loads(TABLES_FILE.read_text(encoding="utf-8"))
# The official order is number words, articles, contractions. One look-up does all three, since no rule's
# output is another rule's input: digits are neither articles nor contractions, and the tables share no word
# (tested). Contractions with a capital ("Id've") can't match lower-cased text; they are kept as they were
# published.
_WORDS: dict[str, str] = {
    **_TABLES["contractions"],
    **_TABLES["number_words"],
    **dict.fromkeys(_TABLES["articles"], ""),
}
_ORDINARY = _WORDS.keys().isdisjoint

_MARK = re.compile("[" + re.escape("".join(_TABLES["punctuation"])) + "]")
# The official code runs under Python 2, where \d is 0-9 only; in Python 3 it is any Unicode digit unless told.
_DIGIT_COMMA_DIGIT = re.compile(_TABLES["comma_strip"], re.ASCII)
_PERIOD = re.compile(_TABLES["period_strip"], re.ASCII)
# The official code calls sub(pattern, text, re.UNICODE): the flag lands in the place of `count`, and
# re.UNICODE is 32. So the 33rd full stop of an answer stays.
_MOST_PERIODS = 32
REMEMBERED = 1 << 18  # answers, some 50 MB at most


def clean(answer: str) -> str:
    """Newlines and tabs as spaces, ends stripped: applied to every answer, whatever the humans said."""
    return answer.replace("\n", " ").replace("\t", " ").strip()


@lru_cache(REMEMBERED)
def normalise(answer: str) -> str:
    """The form in which answers are compared when the humans disagree (see `clean` for the other case).

    Cleans, removes punctuation and full stops, lower-cases, writes number words as digits ('none' is '0'),
    drops articles, restores the apostrophes of contractions, joins by single spaces. May end empty: 'the' ->
    ''. Remembers the strings that it has seen last: a dataset repeats the same few answers ten times and more.
    """
    words = answer.lower().split()
    if not "".join(words).isalnum():  # bare words, most answers, have nothing to remove
        words = _without_punctuation(clean(answer)).lower().split()
    if not _ORDINARY(words):
        words = [_WORDS.get(word, word) for word in words if _WORDS.get(word) != ""]
    return " ".join(words)


def _without_punctuation(text: str) -> str:
    """Each mark of the table goes, or becomes a space, by where it stands in the text as it was given.

    A mark is deleted, everywhere, where one of it touches a space, or where any digit,comma,digit stands in
    the text, whichever mark it is ('1,000 co-op' -> '1000 coop'); otherwise it becomes a space ('co-op' ->
    'co op'). No mark produces another, so all are replaced in one pass, and marks that are absent cost
    nothing.
    """
    marks = set(_MARK.findall(text))
    if marks:
        number = _DIGIT_COMMA_DIGIT.search(text) is not None
        gone = {mark: number or f"{mark} " in text or f" {mark}" in text for mark in marks}
        text = text.translate({ord(mark): "" if gone[mark] else " " for mark in marks})
    return _PERIOD.sub("", text, count=_MOST_PERIODS) if "." in text else text
