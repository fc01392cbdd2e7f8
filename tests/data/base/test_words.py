"""Words for people."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from data.base.errors import DataError
from data.base.words import Lines, counted, nearest, show, visible


def test_one_is_counted_in_the_singular():
    assert [counted(n, "question") for n in (0, 1, 1234)] == ["0 questions", "1 question", "1,234 questions"]
    assert [counted(n, "person", "people") for n in (1, 2)] == ["1 person", "2 people"]


@pytest.mark.parametrize(
    ("name", "cutoff", "near"),
    [("trian", 0.6, "train"), ("x", 0.6, ""), ("tr", 0.3, "train"), ("tr", 0.9, "")],
)
def test_the_nearest_name_or_none(name, cutoff, near):
    assert nearest(name, ["val", "train", "test2015"], cutoff) == near


@pytest.mark.parametrize(
    "text, shown",
    [
        ("\x1b[2K\rok", r"\u001b[2K\rok"),
        ("a\tb\nc", r"a\tb\nc"),
        ("\x9b31m\x85\x7f\0", r"\u009b31m\u0085\u007f\u0000"),
        ("a\u202eb\u2066c\u200f\u2029", r"a\u202eb\u2066c\u200f\u2029"),
        (b"caf\xe9".decode(errors="surrogateescape"), r"caf\udce9"),
        ("où → 猫 👩‍👩‍👧 \u00a0नि", "où → 猫 👩‍👩‍👧 \u00a0नि"),
        (r"\u001b", r"\u001b"),
    ],
)
def test_control_characters_are_seen_and_nothing_else_changes(text, shown):
    assert visible(text) == shown == visible(shown)


def test_an_error_has_the_lines_that_it_is_given(capsys):
    error = DataError("two names:", "  a\nERROR: b", f"  {Path('c')}")
    assert str(error) == "two names:\n  a\\nERROR: b\n  c"
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
    show("a\nb", Lines("c", "d\ne"))
    assert capsys.readouterr().out == "a\\nb\nc\nd\\ne\n"
