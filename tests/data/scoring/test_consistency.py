"""Consistency against pairs that are listed one by one."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.scoring.consistency import consistency

Row = tuple[str, int, str, bool]

asked = st.tuples(
    st.sampled_from(["What colour?", "what  colour", "Is it on?", "where"]),
    st.integers(0, 3),
    st.sampled_from(["red", "blue", "2", "two"]),
    st.booleans(),
)


def listed(questions: list[Row]) -> dict[str, float | None]:
    """As `consistency`, by looking at every pair."""
    by_wording: dict[str, list[bool]] = {}
    for first, second in combinations(questions, 2):
        words = [text.lower().replace("?", "").split() for text in (first[0], second[0])]
        answers = [{"two": "2"}.get(answer, answer) for answer in (first[2], second[2])]
        if words[0] == words[1] and first[1] != second[1] and answers[0] != answers[1]:
            by_wording.setdefault(" ".join(words[0]), []).append(first[3] and second[3])
    pairs = [both for of_wording in by_wording.values() for both in of_wording]
    shares = [sum(of_wording) / len(of_wording) for of_wording in by_wording.values()]
    return {
        "pairs": len(pairs),
        "both_right": 100 * sum(pairs) / len(pairs) if pairs else None,
        "wordings": len(by_wording),
        "mean_over_wordings": 100 * sum(shares) / len(shares) if pairs else None,
    }


@settings(max_examples=300, deadline=None)
@given(st.lists(asked, min_size=1, max_size=14))
def test_agrees_with_pairs_that_are_listed(questions: list[Row]) -> None:
    texts, pictures, consensus, right = zip(*questions, strict=True)
    figures, expected = consistency(texts, pictures, consensus, right), listed(questions)
    assert (figures["pairs"], figures["wordings"]) == (expected["pairs"], expected["wordings"])
    for name in ("both_right", "mean_over_wordings"):
        assert figures[name] == (
            None if expected[name] is None else pytest.approx(expected[name], abs=0.0051)
        )


def test_one_common_question_does_not_decide_the_mean_over_wordings() -> None:
    """A model that always says yes is never right on both of a pair; on the rarer wording this one is."""
    many = [("Is it on?", number, "yes" if number % 2 else "no", bool(number % 2)) for number in range(10)]
    few = [("What colour?", 0, "red", True), ("What colour?", 1, "blue", True)]
    assert consistency(*zip(*[*many, *few], strict=True)) == {
        "pairs": 26,
        "both_right": 3.85,
        "wordings": 2,
        "mean_over_wordings": 50.0,
    }


def test_billions_of_pairs_are_counted_and_not_listed() -> None:
    count = 200_000
    answers = ["yes", "no"] * (count // 2)
    figures = consistency(
        ["Is it on?"] * count, range(count), answers, [True, False, False, False] * (count // 4)
    )
    assert figures["pairs"] == (count // 2) ** 2 and figures["both_right"] == 0.0


def test_without_a_pair_there_is_no_share() -> None:
    nothing = {"pairs": 0, "both_right": None, "wordings": 0, "mean_over_wordings": None}
    assert consistency(["a", "b"], [1, 2], ["x", "y"], [True, True]) == nothing
    assert consistency(["a", "a"], [1, 1], ["x", "y"], [True, True]) == nothing
    assert consistency(["a", "a"], [1, 2], ["x", "x"], [True, True]) == nothing
