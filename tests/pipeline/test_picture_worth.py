"""What the picture is worth, as commands on a few pictures."""

from __future__ import annotations

import json
import re
import shutil
import zipfile

import h5py
import numpy as np
import pytest
from commands import TinyShell
from pages import jpeg

import pipeline
from data.scoring.accuracy import question_scores

PARTS = ("exchanged", "mean-picture")


def figures(folder):
    return json.loads((folder / "accuracy.json").read_text())


def results(path):
    return {entry["question_id"]: entry["answer"] for entry in json.loads(path.read_text())}


def read_sample(shell, kind, member=""):
    [path] = shell.artifacts.glob(f"make-sample/*/{kind}_Val_sample.zip")
    with zipfile.ZipFile(path) as file:
        [name] = [name for name in file.namelist() if member in name]
        return json.loads(file.read(name))


def test_the_run_says_what_other_answers_are_worth(tiny_run):
    shell, output = tiny_run
    folder = shell.artifact("exchange-pictures")
    with h5py.File(folder / "exchange.h5") as file:
        own, other, ids = (file[name][...] for name in ("image_ids", "exchanged_image_ids", "question_ids"))
    assert (own != other).all() and set(other) == set(own)
    assert len(set(zip(own.tolist(), other.tolist(), strict=True))) == len(set(own)) == 4
    sample = read_sample(shell, "Annotations")["annotations"]
    humans = {entry["question_id"]: [said["answer"] for said in entry["answers"]] for entry in sample}
    accuracies = {}
    predicted = results(shell.artifact("predict-answers") / "results.json")
    for name, answers in {
        "own": predicted,
        **{part: results(folder / f"results-{part}.json") for part in PARTS},
    }.items():
        assert sorted(answers) == sorted(ids.tolist())
        scores = question_scores([answers[number] for number in humans], [*humans.values()])
        accuracies[name] = 100 * float(np.mean(scores))
    worth = figures(shell.artifact("evaluate-model"))["picture_worth"]
    for part in PARTS:
        figure = worth[part.replace("-", "_")]
        assert figure["overall"] == pytest.approx(accuracies[part], abs=0.006)
        assert figure["worth"]["overall"] == pytest.approx(accuracies["own"] - accuracies[part], abs=0.011)
    said = re.search(
        r"^what the picture is worth: (-?[\d.]+) points.*, (-?[\d.]+) points", output, re.MULTILINE
    )
    assert [float(text) for text in said.groups()] == [
        worth[name]["worth"]["overall"] for name in ("exchanged", "mean_picture")
    ]


def test_off_it_leaves_everything_where_it_was_and_as_it_was(artifacts, tiny):
    off = pipeline.EvaluateModel(picture_worth=False)
    assert off.fingerprint == "2659b3e82d1bc4bc"  # of the sample's before the flag existed
    assert "exchange" not in off.upstream and "picture_worth" not in off.key.parameters
    on = figures(tiny.artifact("evaluate-model"))
    built = tiny.built(tiny("luigi", "EvaluateModel", "--picture-worth", "false"))
    assert built == ["EvaluateModel"]
    [plain] = [
        content
        for content in map(figures, (tiny.artifacts / "evaluate-model").glob("[!.]*"))
        if content != on
    ]
    assert plain == {name: value for name, value in on.items() if name != "picture_worth"}
    assert pipeline.RunAll(dataset="vqa-v1").picture_worth is False


def test_plan_says_its_time_before_it_has_run(tiny):
    shutil.rmtree(tiny.artifacts / "exchange-pictures")
    for stage in ("evaluate-model", "report"):
        shutil.rmtree(tiny.artifacts / stage)
    [predicted] = (tiny.artifacts / "predict-answers").glob("[!.]*/manifest.json")
    manifest = json.loads(predicted.read_text())
    predicted.write_text(json.dumps({**manifest, "seconds": 1000.0}))
    last = tiny("pipeline", "plan", "ExchangePictures").splitlines()[-1]
    assert "1 to run, " in last and "about 33 min" in last


@pytest.mark.slow
def test_to_a_model_without_pictures_they_are_worth_exactly_nothing(tiny):
    output = tiny("luigi", "EvaluateModel", "--model", "language-only")
    assert "ExchangePictures" not in tiny.built(output)
    assert "worth: 0.00 points against another question's picture, 0.00 points against the mean" in output
    [folder] = (tiny.artifacts / "evaluate-model").glob("language-only-*")
    for worth in figures(folder)["picture_worth"].values():
        assert {worth["worth"]["overall"], *worth["worth"]["perAnswerType"].values()} == {0.0}
    line = tiny("pipeline", "plan", "ExchangePictures", "--model", "language-only", code=1)
    assert line == "error: --model language-only sees no pictures, so there are none to exchange\n"


@pytest.mark.slow
def test_in_multiple_choice_the_answers_are_among_the_choices(tiny):
    tiny("luigi", "EvaluateModel", "--task", "multiple-choice")
    [folder] = (tiny.artifacts / "exchange-pictures").glob("*multiple-choice*")
    questions = read_sample(tiny, "Questions", "MultipleChoice")["questions"]
    offered = {question["question_id"]: question["multiple_choices"] for question in questions}
    for part in PARTS:
        assert all(
            answer in offered[number] for number, answer in results(folder / f"results-{part}.json").items()
        )


@pytest.mark.slow
def test_of_fewer_than_two_pictures_it_is_null(tmp_path):
    shell = TinyShell(tmp_path)
    shell.configure("[sources]\ndatasets = mine.toml\n")
    (tmp_path / "photos").mkdir()
    for name, grey in (("0", 10), ("1", 90), ("2", 200), ("3", 200)):  # two names, one picture
        (tmp_path / "photos" / f"{name}.jpg").write_bytes(jpeg(grey))
    rows = [f"{number}.jpg,What is it?,{['a', 'b'][number % 2]}\n" for number in range(4)]
    for split, part in (("train", rows[:2]), ("val", rows[2:])):
        (tmp_path / f"{split}.csv").write_text("image,question,answer\n" + "".join(part))
    (tmp_path / "mine.toml").write_text(
        '[own.mine]\npictures = "photos"\nquestions = { train = "train.csv", val = "val.csv" }\n'
    )
    flags = ("--dataset", "mine", "--weights", "random:0", "--glove", "glove.sample.300d", "--picture-worth")
    output = shell("luigi", "RunAll", *flags)
    assert "what the picture is worth: not known, fewer than two pictures were asked about" in output
    assert figures(shell.artifact("evaluate-model"))["picture_worth"] is None
    assert json.loads((shell.artifact("exchange-pictures") / "exchange.json").read_text()) == {
        "answers": [],
        "pictures": 1,
    }


def test_it_is_refused_where_nothing_is_judged(shell):
    output = shell(
        "pipeline", "plan", "RunAll", "--dataset", "vqa-v1", "--eval-split", "test", "--picture-worth", code=1
    )
    assert (
        output
        == "error: --picture-worth: the answers of test are secret, so nothing is judged here; leave it out\n"
    )
