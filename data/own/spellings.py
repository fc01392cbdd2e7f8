"""Answers and types of your own that are spelt in two ways: they become two classes, perhaps by mistake."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence

from data.scoring.normalisation import normalise
from data.text.official import Annotation

_SHOWN = 5  # examples in a warning
_LONGEST = 60  # characters of an example
_BETWEEN = re.compile(r"\s*[,;|]\s*")
_DECIMAL = re.compile(r"\d+,\d+")


def doubtful_spellings(annotations: Sequence[Annotation]) -> list[str]:
    """A warning for each kind of doubt, with counts; nothing is changed.

    Two spellings are alike where the official accuracy compares them as equal, or only case and punctuation differ;
    answers that hold other answers between commas look like those of several people.
    """
    answers = Counter(answer for annotation in annotations for answer in annotation.answers)
    doubts = [
        _two_spellings("answers", "classes", answers, _answer_key),
        _several_people(answers),
        _two_spellings(
            "answer types", "types", Counter(annotation.answer_type for annotation in annotations), _type_key
        ),
        _two_spellings(
            "question types",
            "types",
            Counter(annotation.question_type for annotation in annotations),
            str.casefold,
        ),
    ]
    return [doubt for doubt in doubts if doubt]


def _two_spellings(what: str, become: str, times: Counter[str], key: Callable[[str], str]) -> str:
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for text, _ in times.most_common():
        groups[key(text)].append(text)
    doubles = [
        ", ".join(_counted(text, times) for text in texts) for texts in groups.values() if len(texts) > 1
    ]
    if not doubles:
        return ""
    return (
        f"{what} in two or more spellings, which stay {become} of their own ({len(doubles):,}): {_some(doubles)}. "
        "Where they mean the same, write them alike"
    )


def _several_people(times: Counter[str]) -> str:
    known = {_answer_key(text) for text in times}
    several = [text for text in times if _holds_several(text, known)]
    if not several:
        return ""
    count = sum(times[text] for text in several)
    examples = [_counted(text, times) for text in several]
    return (
        f"answers that look like several people's in one ({count:,}): {_some(examples)}. Each is one answer; those of "
        "several people are separated by | in a table, and a list in JSON"
    )


def _holds_several(text: str, known: set[str]) -> bool:
    """'yes, yes, no': a part twice, or all of them answers that stand alone elsewhere."""
    if _DECIMAL.fullmatch(text):
        return False
    parts = [_answer_key(part) for part in _BETWEEN.split(text) if part.strip()]
    return len(parts) > 1 and (len(set(parts)) < len(parts) or known.issuperset(parts))


def _answer_key(text: str) -> str:
    composed = unicodedata.normalize("NFKC", text)
    return " ".join((normalise(composed) or composed).casefold().split())


def _type_key(text: str) -> str:
    return "".join(filter(str.isalnum, unicodedata.normalize("NFKC", text).casefold()))


def _counted(text: str, times: Counter[str]) -> str:
    return f"{text if len(text) <= _LONGEST else text[:_LONGEST] + '...'!r} {times[text]:,}"


def _some(texts: Sequence[str]) -> str:
    more = f"; and {len(texts) - _SHOWN:,} more" if len(texts) > _SHOWN else ""
    return "; ".join(texts[:_SHOWN]) + more
