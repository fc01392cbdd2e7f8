"""The points that a model loses without its pictures, against a computation of their own."""

from __future__ import annotations

import numpy as np
import pytest

from data.scoring.accuracy import question_scores
from data.scoring.figures import format_accuracy
from data.scoring.picture_worth import picture_worth, worth_line
from data.text.official import Annotation

KINDS = ("number", "other", "yes/no")


def annotations(pictures: int, each: int) -> list[Annotation]:
    rng = np.random.default_rng(2)
    return [
        Annotation(
            question_id=10 * picture + number,
            image_id=picture,
            question_type="what",
            answer_type=KINDS[number % 3],
            multiple_choice_answer="a",
            answers=tuple(rng.choice(["a", "b", "c"], 10, p=[0.6, 0.3, 0.1]).tolist()),
        )
        for picture in range(pictures)
        for number in range(each)
    ]


def drawn(count: int, seed: int) -> list[str]:
    return np.random.default_rng(seed).choice(["a", "b", "c"], count).tolist()


def test_by_hand():
    people = ["yes"] * 10, ["no"] * 10, ["red"] * 8 + ["blue"] * 2, ["2"] * 7 + ["3"] * 3
    judged = [
        Annotation(number, picture, "what", kind, people[number][0], tuple(people[number]))
        for number, (picture, kind) in enumerate([(1, "yes/no"), (1, "yes/no"), (2, "other"), (2, "number")])
    ]
    own = ["yes", "no", "red", "2"]  # 1, 1, 1, 1
    other = {"exchanged": ["yes", "yes", "blue", "3"], "mean_picture": own}  # 1, 0, .6, .9
    found = picture_worth(judged, own, other)
    assert found["exchanged"]["overall"] == 62.5 and found["exchanged"]["worth"]["overall"] == 37.5
    assert found["exchanged"]["worth"]["perAnswerType"] == {"number": 10.0, "other": 40.0, "yes/no": 50.0}
    assert found["mean_picture"]["worth"] == {"overall": 0.0, "perAnswerType": dict.fromkeys(KINDS, 0.0)}
    assert "37.50 points [25.00 to 50.00] against another question's picture, 0.00 points" in worth_line(
        found
    )


@pytest.mark.parametrize("kind", [None, *KINDS])
def test_intervals_are_of_the_paired_difference_over_pictures(kind):
    judged = annotations(pictures=60, each=6)
    own, other = drawn(len(judged), 0), drawn(len(judged), 1)
    other[: len(other) // 2] = own[: len(other) // 2]  # what both say alike widens nothing
    found = picture_worth(judged, own, {"exchanged": other})["exchanged"]
    humans = [one.answers for one in judged]
    lost = 100 * (question_scores(own, humans) - question_scores(other, humans))
    mine = np.array([kind in (None, one.answer_type) for one in judged])
    by_picture = [lost[mine & (np.array([one.image_id for one in judged]) == p)].mean() for p in range(60)]
    rng = np.random.default_rng(7)
    means = [np.mean(rng.choice(by_picture, 60)) for _ in range(4000)]
    part = (lambda one: one["overall"]) if kind is None else (lambda one: one["perAnswerType"][kind])
    assert part(found["worth"]) == pytest.approx(np.mean(lost[mine]), abs=0.011)
    np.testing.assert_allclose(part(found["intervals"]), np.percentile(means, [2.5, 97.5]), atol=0.8)


def test_equal_answers_are_worth_exactly_nothing():
    judged = annotations(pictures=20, each=3)
    own = drawn(len(judged), 0)
    found = picture_worth(judged, own, {"exchanged": own, "mean_picture": own})
    for one in found.values():
        assert one["worth"] == {"overall": 0.0, "perAnswerType": dict.fromkeys(KINDS, 0.0)}
        assert one["intervals"]["overall"] == [0.0, 0.0]


def test_the_figures_as_text_say_so_where_it_was_asked_for():
    figures = {
        "questions": 1,
        "metric": "official",
        "overall": 100.0,
        "perAnswerType": {},
        "perQuestionType": {},
    }
    assert "worth" not in str(format_accuracy(figures))
    assert "not known, fewer than two pictures" in str(format_accuracy({**figures, "picture_worth": None}))
