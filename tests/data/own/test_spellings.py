"""What is spelt in two ways is told with its counts, and used as it is."""

from __future__ import annotations

import re

import pytest
from own_files import pictures, read_split, table

from data.catalog.entries import Own
from data.own.convert import convert
from data.own.spellings import doubtful_spellings
from data.text.official import Annotation


def doubts(*answers, kind="other", about="what"):
    return doubtful_spellings(
        [Annotation(n, 1, about, kind, answer, (answer,)) for n, answer in enumerate(answers)]
    )


@pytest.mark.parametrize(
    "answers, told",
    [
        (["Yes", "yes", "no", "yes"], r"^answers in two .* of their own \(1\): 'yes' 2, 'Yes' 1"),
        (["RED", "Red", "red", "No", "no"], r"\(2\): 'RED' 1, 'Red' 1, 'red' 1; 'No' 1, 'no' 1"),
        (["a cat", "cat", "cat."], "'a cat' 1, 'cat' 1, 'cat.' 1"),
        (["two", "2"], "'two' 1, '2' 1"),
        (["35", "3,5"], "'35' 1, '3,5' 1"),  # the official accuracy reads these alike
        (["caf\u00e9", "cafe\u0301"], r"\(1\)"),
        (["t shirt", "t  shirt"], r"\(1\)"),
        (["ДА", "да"], "'ДА' 1, 'да' 1"),
        (["yes, yes, no"], r"^answers that look like several people's in one \(1\): 'yes, yes, no' 1"),
        (["yes,yes;no", "x"], "'yes,yes;no' 1"),
        (["cat|cat|kitten"], r"'cat\|cat\|kitten' 1"),  # of a JSON, where | is a mark like others
        (["red; blue", "red; blue", "Blue", "red"], r"several people's in one \(2\): 'red; blue' 2"),
    ],
)
def test_a_doubt_is_told_with_its_counts(answers, told):
    [doubt] = doubts(*answers)
    assert re.search(told, doubt), doubt


@pytest.mark.parametrize(
    "answers",
    [
        ["yes", "no", "yes"],
        ["3", "3,5", "5"],  # a decimal comma
        ["red, white and blue", "red"],
        ["cat", "cats", "kitten"],
        ["1/2", "1", "2"],
    ],
)
def test_no_doubt_no_word(answers):
    assert doubts(*answers) == []


def test_many_doubts_are_one_line_each():
    [doubt] = doubts(*(form(f"word{n}") for n in range(300) for form in (str.upper, str.lower)))
    assert "of their own (300): " in doubt and "; and 295 more" in doubt and len(doubt) < 500


def test_types_are_told_too_and_nothing_is_folded(tmp_path):
    text = (
        "image,question,answer,answer_type\na.jpg,How many?,2,NUMBER\na.jpg,How many?,3,number\nb.jpg,How many?,4,\n"
        "b.jpg,Is it?,Yes,Yes/No\nb.jpg,Is it?,yes,\n"
    )
    own = Own({"": table(tmp_path, text)}, {}, 0.5, 0)
    told = convert(own, {"": pictures(tmp_path / "p", "a.jpg", "b.jpg")}, tmp_path).doubts
    assert len(told) == 2 and "'Yes' 1, 'yes' 1" in told[0]
    assert "answer types in two or more spellings, which stay types of their own (2)" in told[1]
    assert "'number' 2, 'NUMBER' 1" in told[1] and "'Yes/No' 1, 'yes/no' 1" in told[1]
    pairs = [*read_split(tmp_path, "train"), *read_split(tmp_path, "val")]
    assert {annotation.answers for _, annotation in pairs} == {("2",), ("3",), ("4",), ("Yes",), ("yes",)}
    assert {annotation.answer_type for _, annotation in pairs} == {"NUMBER", "number", "Yes/No", "yes/no"}
