"""Means over seeds, and intervals that have both other pictures and other seeds in them, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from data.scoring.intervals import intervals
from data.scoring.several_seeds import Training, side_by_side, spread, widened

PICTURES = np.arange(400) // 2
TYPES = ["yes/no", "other"] * 200


def trainings(name, share, seeds, shift=0.0, unanswered=0):
    """Seeds of a model that has the first `share` of each 10 questions right; each seed reaches `shift` points more."""
    scores = (np.arange(400) % 10 < 10 * share).astype(float)
    scores[:unanswered] = np.nan
    mean = 100 * float(np.nanmean(scores))
    return [
        Training(
            name,
            seed,
            {
                "overall": mean + shift * seed,
                "perAnswerType": {
                    kind: 100 * float(np.nanmean(scores[k::2])) for k, kind in enumerate(TYPES[:2])
                },
                "consistency": {"both_right": 40.0 + seed, "pairs": 3},
                "baselines": {"commonest_answer": {"overall": 12.0}, "language_only": {"overall": 15.0}},
                "picture_worth": {"exchanged": {"worth": {"overall": 20.0 + seed}}}
                if name != "blind"
                else None,
            },
            scores,
            {"fingerprint": f"{name}-{seed}"},
        )
        for seed in range(seeds)
    ]


def compared(*groups):
    return side_by_side([one for group in groups for one in group], PICTURES, TYPES)


def test_one_seed_has_no_deviation_and_the_interval_of_its_pictures():
    (model,) = compared(trainings("a", 0.6, 1))["models"]
    scores = (np.arange(400) % 10 < 6).astype(float)
    of_pictures = intervals(scores, PICTURES, TYPES, TYPES)
    assert model["overall"] == {"mean": 60.0, "deviation": None, "interval": of_pictures["overall"]}
    assert model["perAnswerType"]["other"]["interval"] == of_pictures["perAnswerType"]["other"]
    assert model["consistency"] == {"mean": 40.0, "deviation": None, "interval": None}
    assert model["prior"] == 15.0 and model["picture_worth"]["mean"] == 20.0


def test_what_a_seed_lacks_is_not_told():
    (model,) = compared(trainings("blind", 0.6, 2))["models"]
    assert model["picture_worth"] is None and model["consistency"]["mean"] == 40.5


def test_three_seeds_widen_an_interval_by_students_t():
    # 60, 61, 62: deviation 1, standard error 1 / sqrt(3), t of two degrees 4.303.
    found = spread([60.0, 61.0, 62.0], [59.0, 63.0])
    half = (2.0**2 + (4.303 / 3**0.5) ** 2) ** 0.5
    assert (found["mean"], found["deviation"]) == (61.0, 1.0)
    assert found["interval"] == pytest.approx([61 - half, 61 + half], abs=0.006)
    assert spread([60.0, 60.0], [59.0, 63.0])["interval"] == [59.0, 63.0]
    assert spread([90.0, 99.0], [90.0, 98.0])["interval"][1] == 100.0  # no accuracy is above


def test_the_seeds_of_both_widen_a_difference_as_welch_has_it():
    # Variances of the means: 1/3 and 4/3; degrees (5/3)^2 / ((1/3)^2 / 2 + (4/3)^2 / 2) = 2.94, taken as 2.
    low, high = widened(10.0, [8.0, 12.0], [[60.0, 61.0, 62.0], [48.0, 50.0, 52.0]])
    half = (2.0**2 + (4.303 * (5 / 3) ** 0.5) ** 2) ** 0.5
    assert (low, high) == pytest.approx((10 - half, 10 + half), abs=0.006)
    assert widened(1.0, None, [[1.0, 2.0]]) is None


def test_models_stand_best_first_and_a_pair_within_noise_is_marked():
    found = compared(trainings("worst", 0.2, 2), trainings("best", 0.6, 2), trainings("twin", 0.6, 2))
    assert [model["name"] for model in found["models"]] == ["best", "twin", "worst"]
    pairs = {(pair["better"], pair["other"]): pair for pair in found["pairs"]}
    assert pairs["best", "twin"] == {
        **{"better": "best", "other": "twin", "difference": 0.0, "interval": [0.0, 0.0], "chance": "within"}
    }
    assert pairs["best", "worst"]["chance"] == "beyond" and pairs["best", "worst"]["difference"] == 40.0
    assert (found["questions"], found["pictures"]) == (400, 200)


def test_a_difference_that_seeds_could_make_is_noise():
    """The same difference over pictures is one for seeds that agree, and none for seeds that are far apart."""
    calm = compared(trainings("a", 0.6, 3), trainings("b", 0.2, 3))["pairs"][0]
    wild = compared(trainings("a", 0.6, 3, shift=30), trainings("b", 0.2, 3, shift=30))["pairs"][0]
    assert (calm["chance"], wild["chance"]) == ("beyond", "within") and wild["difference"] == 40.0


def test_differences_are_over_the_questions_that_all_answered():
    found = compared(trainings("a", 0.6, 2, unanswered=100), trainings("b", 0.2, 2))
    assert found["questions"] == 300 and found["pictures"] == 150


def test_few_pictures_tell_no_difference():
    few = [
        Training(
            name, 0, {"overall": 100.0 * right, "perAnswerType": {"other": 100.0 * right}}, np.full(6, right)
        )
        for name, right in (("a", 1.0), ("b", 0.0))
    ]
    (pair,) = side_by_side(few, [0, 1, 2, 3, 4, 5], ["other"] * 6)["pairs"]
    assert pair["chance"] == "unknown" and pair["interval"] is None
