"""Intervals against a plain bootstrap that draws pictures one by one, and what must hold of any."""

from __future__ import annotations

import random
import statistics
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.scoring import intervals as module
from data.scoring.intervals import chance, intervals

EARNED = [0.0, 0.3, 0.6, 0.9, 1.0]


def slow_bootstrap(
    scores: Sequence[float], pictures: Sequence[int], resamples: int, seed: int
) -> list[float]:
    """[from, to] of the mean in percent: pictures are drawn with all their questions, nothing is summed up before."""
    of_picture: dict[int, list[float]] = defaultdict(list)
    for score, picture in zip(scores, pictures, strict=True):
        of_picture[picture].append(score)
    rng, names = random.Random(seed), sorted(of_picture)
    means = []
    for _ in range(resamples):
        drawn = [score for picture in rng.choices(names, k=len(names)) for score in of_picture[picture]]
        means.append(100 * sum(drawn) / len(drawn))
    cuts = statistics.quantiles(means, n=40, method="inclusive")
    return [cuts[0], cuts[-1]]


def unequal(count: int, seed: int) -> tuple[list[float], list[int]]:
    """Scores of questions about `count` pictures, of which some are hard and some are asked about more often."""
    rng = random.Random(seed)
    scores, pictures = [], []
    for picture in range(count):
        hard = rng.random()
        for _ in range(1 + int(rng.expovariate(0.4))):
            scores.append(rng.choice(EARNED) if rng.random() > hard else 0.0)
            pictures.append(picture * 7 + 3)
    return scores, pictures


def overall(scores: Sequence[float], pictures: Sequence[int]) -> list[float] | None:
    kinds = ["x"] * len(scores)
    return intervals(scores, pictures, kinds, kinds)["overall"]


@pytest.mark.parametrize("pictures", [5, 40, 200])
def test_agrees_with_a_plain_bootstrap_over_pictures(pictures: int) -> None:
    """Two sets of resamples differ by chance: by less than a tenth of the interval's width, as it came out."""
    data = unequal(pictures, seed=pictures)
    expected = slow_bootstrap(*data, resamples=4000, seed=1)
    assert overall(*data) == pytest.approx(expected, abs=0.1 * (expected[1] - expected[0]))


def test_questions_of_a_picture_stay_together() -> None:
    """Twenty questions a picture, all right or all wrong: as unsure as one question a picture."""
    right = [float(picture % 2) for picture in range(50)]
    alone = overall(right, range(50))
    together = overall(np.repeat(right, 20), np.repeat(range(50), 20))
    assert alone == together and alone[1] - alone[0] > 20
    independent = overall(np.repeat(right, 20), range(1000))
    assert independent[1] - independent[0] < 8


def test_groups_have_the_intervals_that_they_have_alone() -> None:
    """Resamples without any question of a type say nothing of it; the others do."""
    scores, pictures = unequal(60, seed=4)
    answer_types = ["number" if place % 3 else "other" for place in range(len(scores))]
    question_types = [f"type {picture % 4}" for picture in pictures]
    figures = intervals(scores, pictures, question_types, answer_types)
    assert figures["pictures"] == 60 and figures["resamples"] == 2000 and figures["gains"] == {}
    for family, types in (("perAnswerType", answer_types), ("perQuestionType", question_types)):
        assert list(figures[family]) == sorted(set(types))
        for name, bounds in figures[family].items():
            places = [place for place, kind in enumerate(types) if kind == name]
            alone = [scores[place] for place in places], [pictures[place] for place in places]
            expected = slow_bootstrap(*alone, resamples=4000, seed=2)
            assert bounds == pytest.approx(expected, abs=0.12 * (expected[1] - expected[0]))


def test_a_paired_difference_is_surer_than_two_intervals() -> None:
    """The other model is right wherever this one is, and on every tenth question besides."""
    scores, pictures = unequal(200, seed=5)
    better = [min(1.0, score + 0.3 * (place % 10 == 0)) for place, score in enumerate(scores)]
    kinds = ["x"] * len(scores)
    gain = np.subtract(better, scores)
    figures = intervals(better, pictures, kinds, kinds, {"prior": gain})
    low, high = figures["gains"]["prior"]["overall"]
    assert 0 < low < 100 * gain.mean() < high and high - low < 0.3 * (
        figures["overall"][1] - figures["overall"][0]
    )
    assert figures["gains"]["prior"] == {"overall": [low, high], "perAnswerType": {"x": [low, high]}}
    assert overall(gain.tolist(), pictures) == [low, high]
    assert overall((-gain).tolist(), pictures) == [-high, -low]


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(EARNED), st.integers(0, 4), st.sampled_from("ab")), min_size=1, max_size=12
    )
)
def test_bounds_hold_and_what_one_picture_has_gets_none(questions: list[tuple[float, int, str]]) -> None:
    scores, pictures, kinds = zip(*questions, strict=True)
    figures = intervals(scores, pictures, kinds, kinds)
    for bounds, of in [
        (figures["overall"], kinds),
        *((figures["perAnswerType"][kind], kind) for kind in set(kinds)),
    ]:
        here = {picture for picture, kind in zip(pictures, kinds, strict=True) if kind in of}
        assert bounds is None or (len(here) > 1 and bounds[0] < bounds[1])
        if bounds:
            earned = [100 * score for score, kind in zip(scores, kinds, strict=True) if kind in of]
            assert min(earned) - 0.01 <= bounds[0] <= bounds[1] <= max(earned) + 0.01
    assert figures["perAnswerType"] == figures["perQuestionType"]


def test_numbers_of_pictures_and_the_order_of_questions_do_not_matter_and_runs_repeat() -> None:
    scores, pictures = unequal(30, seed=6)
    before = overall(scores, pictures)
    order = random.Random(0).sample(range(len(scores)), len(scores))
    assert (
        overall([scores[place] for place in order], [pictures[place] + 10**12 for place in order]) == before
    )


def test_blocks_do_not_change_the_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    scores, pictures = unequal(50, seed=7)
    kinds = [f"{place % 9}" for place in range(len(scores))]
    before = intervals(scores, pictures, kinds, kinds)
    monkeypatch.setattr(module, "_WEIGHTS", 50 * 7)
    monkeypatch.setattr(module, "_TABLE", 2 * 50 * 4)  # four columns at a time
    after = intervals(scores, pictures, kinds, kinds)
    for family in ("perAnswerType", "perQuestionType"):
        for name, bounds in before[family].items():
            assert after[family][name] == pytest.approx(bounds, abs=0.011)


def test_a_few_pictures_that_all_agree_tell_nothing_of_others_and_many_do() -> None:
    assert overall([1.0] * 9, range(9)) is None and overall([0.9] * 10, range(10)) == [90.0, 90.0]
    assert overall([1.0] * 8 + [0.0], range(9)) == pytest.approx([66.67, 100.0], abs=12)
    assert overall([0.0] * 500, range(500)) == [0.0, 0.0]


@pytest.mark.parametrize(
    ("difference", "pictures", "said"),
    [
        (None, 1, "unknown"),
        ([1.0, 2.0], 9, "unknown"),
        ([1.0, 2.0], 10, "beyond"),
        ([-2.0, -0.01], 10, "beyond"),
        ([0.0, 2.0], 10, "within"),
        ([-1.0, 1.0], 900, "within"),
    ],
)
def test_what_the_interval_of_a_difference_says(
    difference: list[float] | None, pictures: int, said: str
) -> None:
    assert chance(difference, pictures) == said


def test_a_picture_with_all_questions_tells_nothing() -> None:
    assert intervals([1.0, 0.0], [5, 5], ["a", "b"], ["x", "x"]) == {
        "overall": None,
        "perAnswerType": {"x": None},
        "perQuestionType": {"a": None, "b": None},
        "gains": {},
        "pictures": 1,
        "resamples": 2000,
    }
