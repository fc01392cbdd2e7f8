"""No picture is trained on and judged by: own data is refused, of other datasets it is counted."""

from __future__ import annotations

import json
import shutil

import pytest
from commands import TinyShell
from pages import jpeg

HEAD = "image,question,answer\n"
FLAGS = ("--weights", "random:0", "--glove", "glove.sample.300d", "--epochs", 1)


@pytest.fixture
def own(tmp_path):
    """(a shell, the folder of eight pictures of your own, a function that states tables about them)."""
    shell = TinyShell(tmp_path)
    shell.configure("[sources]\ndatasets = mine.toml\n")
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(8):
        (photos / f"{number}.jpg").write_bytes(jpeg(20 * number))

    def state(**tables):
        for name, numbers in tables.items():
            rows = "".join(
                f"{number}.jpg,What colour is it?,{['red', 'blue'][number % 2]}\n" for number in numbers
            )
            (tmp_path / f"{name}.csv").write_text(HEAD + rows)
        names = ", ".join(f'{name} = "{name}.csv"' for name in tables)
        questions = f"{{ {names} }}" if len(tables) > 1 else f'"{next(iter(tables))}.csv"'
        (tmp_path / "mine.toml").write_text(f'[own.mine]\npictures = "photos"\nquestions = {questions}\n')

    return shell, photos, state


def refused(shell):
    output = shell("luigi", "TrainModel", "--dataset", "mine", "--model", "language-only", *FLAGS, code=30)
    assert not (shell.artifacts / "train-model").exists()
    return next(line for line in output.splitlines() if line.startswith("error: CheckLeaks failed"))


def test_a_picture_in_both_tables_is_refused_before_training(own):
    shell, photos, state = own
    state(train=[0, 1, 2, 3, 4], val=[3, 4, 4, 5])
    line = refused(shell)
    assert (
        "mine: 2 of 3 pictures of val are in training too, with 3 of its questions: 3.jpg, 4.jpg. A" in line
    )
    assert "let all questions about a picture stand in the table of one split" in line
    state(train=[0, 1, 2], val=[5])
    shutil.copy(photos / "1.jpg", photos / "5.jpg")
    line = refused(shell)
    assert (
        "1 of 1 pictures" in line
        and "5.jpg is 1.jpg, byte for byte. " in line
        and "keep one of the equal" in line
    )
    (photos / "5.jpg").write_bytes(jpeg(255))
    assert "CheckLeaks" in shell.built(shell("luigi", "CheckLeaks", "--dataset", "mine"))
    [report] = (shell.artifacts / "check-leaks").glob("mine-train-val-*/leaks.json")
    assert json.loads(report.read_text()) == {
        "of": 1,
        "pictures": 0,
        "question_ids": [],
        "questions": 0,
        "shared": [],
    }


def test_one_file_for_both_splits_is_refused_with_the_cure(own):
    shell, _, state = own
    state(train=[0, 1, 2])
    text = '[own.mine]\npictures = "photos"\nquestions = { train = "train.csv", val = "train.csv" }\n'
    (shell.folder / "mine.toml").write_text(text)
    line = refused(shell)
    assert (
        "3 of 3 pictures" in line
        and "train and val are one file: state it alone, and val = 0.2 holds out" in line
    )


def test_copies_on_both_sides_of_a_split_of_ours_are_refused(own):
    shell, photos, state = own
    for number in range(1, 8):
        shutil.copy(photos / "0.jpg", photos / f"{number}.jpg")
    state(qa=range(8))
    line = refused(shell)
    assert "2 of 2 pictures of val are in training too" in line and "keep one of the equal pictures" in line


SPLIT = """
[datasets.full.splits.{split}]
image_set = "full"
questions = {{ path = "{split}-q.json", members = {{ {split} = {{ open-ended = "" }} }} }}
annotations = {{ path = "{split}-a.json" }}
"""


@pytest.mark.slow
def test_of_another_dataset_it_is_counted_and_the_accuracy_without_stands_beside(own):
    shell, photos, _ = own
    splits = "".join(SPLIT.format(split=split) for split in ("train", "val"))
    (shell.folder / "mine.toml").write_text(f'[image_sets.full]\npath = "photos"\n{splits}')
    shutil.copy(photos / "1.jpg", photos / "7.jpg")
    for split, numbers in {"train": [0, 1, 2, 3], "val": [3, 4, 4, 5, 6, 7]}.items():
        questions = [{"question_id": n, "image_id": i, "question": "Is it?"} for n, i in enumerate(numbers)]
        said = [
            entry | {"answers": [{"answer": ["yes", "no"][entry["image_id"] % 2]}]} for entry in questions
        ]
        (shell.folder / f"{split}-q.json").write_text(json.dumps({"questions": questions}))
        (shell.folder / f"{split}-a.json").write_text(json.dumps({"annotations": said}))
    output = shell("luigi", "EvaluateModel", "--dataset", "full", *FLAGS)
    assert "2 of 5 judged pictures are in training too; without their 2 questions the accuracy is" in output
    accuracy = json.loads((shell.artifact("evaluate-model") / "accuracy.json").read_text())
    results = json.loads((shell.artifact("predict-answers") / "results.json").read_text())
    answers = {entry["question_id"]: entry["answer"] for entry in results}
    right = [answers[n] == ["yes", "no"][i % 2] for n, i in enumerate([3, 4, 4, 5, 6, 7]) if i not in (3, 7)]
    expected = {"pictures": 2, "questions": 2, "overall_without": round(100 * sum(right) / 4, 2)}
    assert accuracy["in_training_too"] == expected
