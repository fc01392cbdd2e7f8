"""The official results format: what is written, what is read back, what is refused and in which words."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data.base.errors import DataError
from data.scoring.figures import format_accuracy, score
from data.scoring.results import Result, read_results, validate_results, write_results


def test_written_as_the_official_tools_read_it(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    write_results(path, np.array([7, 3], np.int64), ["yes", 'a "red" café\n'], split_ids=[3, 7])
    assert json.loads(path.read_text(encoding="utf-8")) == [
        {"question_id": 3, "answer": 'a "red" café\n'},
        {"question_id": 7, "answer": "yes"},
    ]
    assert path.read_bytes().endswith(b"]\n")


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.integers(0, 2**53), st.text(max_size=10), max_size=20))
def test_round_trip(tmp_path: Path, answers: dict[int, str]) -> None:
    path = tmp_path / "results.json"
    write_results(path, answers.keys(), list(answers.values()), split_ids=reversed(list(answers)))
    assert validate_results(read_results(path), answers.keys()) == list(answers.values())


def test_a_wrong_set_of_ids_is_counted_and_shown() -> None:
    results = [Result(number, "x") for number in (1, 2, 2, 3, 3, 90, 91, 92, 93)]
    with pytest.raises(DataError) as refusal:
        validate_results(results, [1, 2, 3, 4, 5], "mine.json")
    assert str(refusal.value) == (
        "mine.json do not fit the questions: 2 ids are missing (4, 5); 4 ids are not among the questions "
        "(90, 91, 92, ...); 2 ids are there more than once (2, 3). Expected exactly one answer for each of "
        "5 questions, found 9 entries."
    )


def test_nothing_is_written_for_a_wrong_set(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    with pytest.raises(DataError, match=r"1 id is missing \(2\)"):
        write_results(path, [1], ["x"], split_ids=[1, 2])
    with pytest.raises(DataError, match="2 question ids for 1 answers"):
        write_results(path, [1, 2], ["x"], split_ids=[1, 2])
    with pytest.raises(DataError, match=r"1 of 2 answers are not text \(first: None\)"):
        write_results(path, [1, 2], ["x", None], split_ids=[1, 2])  # type: ignore[list-item]
    assert not path.exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('{"1": "yes"}', "found an object, expected a list of"),
        ("null", "found null, expected a list of"),
        (
            '[{"question_id": 1, "answer": "x"}, 5, {"answer": "x"}, {"question_id": true, "answer": "x"}]',
            "3 of 4",
        ),
        ('[{"question_id": "1", "answer": "x"}]', "entry 0: 'question_id' is text ('1')"),
        ('[{"question_id": 1, "answer": null}]', "entry 0: 'answer' is null"),
        ('[{"question_id": 1, "answer": 2}]', "entry 0: 'answer' is a number ('2')"),
        ('[{"question_id": 1}]', "entry 0: no 'answer'"),
        ('[{"question_id": 1}, ', "not JSON"),
        ("", "not JSON"),
    ],
)
def test_malformed_files_are_refused(tmp_path: Path, content: str, words: str) -> None:
    path = tmp_path / "mine.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(DataError) as refusal:
        read_results(path)
    assert words in str(refusal.value)
    assert str(path) in str(refusal.value)


def test_other_keys_are_ignored_as_the_official_tools_do(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text('[{"question_id": 1, "answer": "x", "confidence": 0.5}]', encoding="utf-8")
    assert read_results(path) == [Result(1, "x")]


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.json: can't be read: No such file"):
        read_results(tmp_path / "none.json")


def official_files(folder: Path, humans: int = 10) -> tuple[Path, Path]:
    """Annotations and questions of three questions in the official format."""
    said = {7: ["yes"] * humans, 3: ["two", *["2"] * (humans - 1)], 5: ["a dog"] * humans}
    images = {7: 1, 3: 2, 5: 1}
    kinds = {7: ("is there", "yes/no"), 3: ("how many", "number"), 5: ("what", "other")}
    annotations = [
        {
            "question_id": number,
            "image_id": images[number],
            "question_type": kinds[number][0],
            "answer_type": kinds[number][1],
            "multiple_choice_answer": answers[0],
            "answers": [{"answer": answer, "answer_id": place} for place, answer in enumerate(answers, 1)],
        }
        for number, answers in said.items()
    ]
    questions = [
        {"question_id": number, "image_id": images[number], "question": "What?"} for number in sorted(said)
    ]
    paths = folder / "annotations.json", folder / "questions.json"
    paths[0].write_text(json.dumps({"annotations": annotations}), encoding="utf-8")
    paths[1].write_text(json.dumps({"questions": questions}), encoding="utf-8")
    return paths


def test_score_of_a_results_file(tmp_path: Path) -> None:
    annotations, questions = official_files(tmp_path)
    write_results(tmp_path / "mine.json", [3, 5, 7], ["Two.", "dog", "yes"], split_ids=[3, 5, 7])
    figures = score(annotations, questions, tmp_path / "mine.json")
    assert figures == {
        "overall": 66.67,
        "perAnswerType": {"number": 100.0, "other": 0.0, "yes/no": 100.0},
        "perQuestionType": {"how many": 100.0, "is there": 100.0, "what": 0.0},
        "metric": "official",
        "questions": 3,
        "intervals": {
            "overall": [50.0, 100.0],  # of two pictures: once the half-right one twice, once the other twice
            "perAnswerType": {"number": None, "other": None, "yes/no": None},
            "perQuestionType": {"how many": None, "is there": None, "what": None},
            "gains": {},
            "pictures": 2,
            "resamples": 2000,
        },
        "consistency": {"pairs": 2, "both_right": 50.0, "wordings": 1, "mean_over_wordings": 50.0},
    }
    assert format_accuracy(figures).splitlines() == [
        "3 questions, official VQA accuracy, in percent",
        "",
        "              overall    number     other    yes/no",
        "accuracy        66.67    100.00      0.00    100.00",
        "  95 % from     50.00         -         -         -",
        "       to      100.00         -         -         -",
        "",
        "same words, other picture, other answer: both right in 50.00 % of 2 pairs; mean over wordings (1): 50.00 %",
        "",
        "how many    100.00",
        "is there    100.00",
        "what          0.00",
    ]


def test_score_refuses_what_does_not_belong_together(tmp_path: Path) -> None:
    annotations, questions = official_files(tmp_path)
    results = tmp_path / "mine.json"
    results.write_text(
        '[{"question_id": 3, "answer": "2"}, {"question_id": 8, "answer": "2"}]', encoding="utf-8"
    )
    with pytest.raises(DataError, match=r"2 ids are missing \(7, 5\); 1 id is not among the questions \(8\)"):
        score(annotations, questions, results)
    questions.write_text(
        '{"questions": [{"question_id": 3, "image_id": 1, "question": "?"}]}', encoding="utf-8"
    )
    with pytest.raises(DataError, match="do not belong together"):
        score(annotations, questions, results)


@pytest.mark.parametrize("answer", ["no", "Yes", "yes "])
def test_an_answer_outside_the_choices_is_refused(tmp_path: Path, answer: str) -> None:
    annotations, questions = official_files(tmp_path)
    content = json.loads(questions.read_text(encoding="utf-8"))
    for question in content["questions"]:
        question["multiple_choices"] = ["yes", "dog", "Two."]
    questions.write_text(json.dumps(content | {"task_type": "Multiple-Choice"}), encoding="utf-8")
    results = tmp_path / "mine.json"
    write_results(results, [3, 5, 7], ["Two.", "dog", "yes"], split_ids=[3, 5, 7])
    assert score(annotations, questions, results)["overall"] == 66.67
    write_results(results, [3, 5, 7], ["Two.", "dog", answer], split_ids=[3, 5, 7])
    with pytest.raises(DataError, match=rf"1 of 3 answers are not among .* \(question 7: '{answer}'\)"):
        score(annotations, questions, results)


def test_score_of_own_data_with_fewer_humans(tmp_path: Path) -> None:
    annotations, questions = official_files(tmp_path, humans=2)
    write_results(tmp_path / "mine.json", [3, 5, 7], ["2", "cat", "yes"], split_ids=[3, 5, 7])
    figures = score(annotations, questions, tmp_path / "mine.json")
    assert (figures["metric"], figures["overall"]) == ("few-answers", 66.67)
    assert "fewer than ten humans" in format_accuracy(figures)


def test_an_evaluation_is_printed_with_baselines_and_the_seeds_figures() -> None:
    figures = {
        "overall": 50.0,
        "perAnswerType": {"other": 40.0, "yes/no": 60.0},
        "perQuestionType": {"what": 50.0},
        "metric": "official",
        "questions": 1234,
        "baselines": {
            "commonest_answer": {"overall": 25.0, "perAnswerType": {"yes/no": 50.0}, "answer": "yes"}
        },
        "seed": {"loss": None, "loss_questions": 0, "exact_match": 0.25, "any_of_ten": 0.5},
        "intervals": {
            "overall": [48.5, 51.0],
            "perAnswerType": {"other": [30.0, 41.25], "yes/no": None},
            "perQuestionType": {"what": [48.5, 51.0]},
        },
    }
    assert format_accuracy(figures).splitlines() == [
        "1,234 questions, official VQA accuracy, in percent",
        "",
        "                   overall     other    yes/no",
        "accuracy             50.00     40.00     60.00",
        "  95 % from          48.50     30.00         -",
        "       to            51.00     41.25         -",
        "commonest answer     25.00         -     50.00",
        "",
        "exact match 0.2500, any of ten 0.5000, no loss over the 0 questions whose consensus is a class",
        "",
        "what     50.00     48.50     51.00",
    ]
