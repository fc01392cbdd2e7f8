"""What the pipeline does, it does for each model of the table."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import zipfile

import h5py
import pytest
from PIL import Image

from models.classifiers.names import CLASSIFIERS

LAYERS = {"grid": ("--layer", "layer4"), "vector": ("--layer", "flatten"), "none": ()}
OWN = """[own.mine]
pictures = "photos"
questions = "qa.csv"
val = 0.25
defaults = { weights = "random:0", glove = "none", answers = 4 }
"""
ASK = """
import sys
from importlib.util import find_spec
from pathlib import Path
from pipeline import load_model
from tasks.library.examples import examples_of

photo, question = sys.argv[1], "What colour is it?"
for name, run in (pair.split("=") for pair in sys.argv[2:]):
    model = load_model(run)
    [asked] = model.ask(photo, question)
    print(name, len(asked.answers), asked.attention is not None)
    if find_spec("gradio"):  # the page of `serve`
        from pipeline.commands.serve.page import Page
        answers, note, _, looked = Page(model, model.origin.examples(2), Path.cwd()).answer(photo, None, question)
        assert answers == dict(asked.answers) and not note, (name, note)
        assert looked["visible"] == (asked.attention is not None)
"""


def flags_of(name: str) -> tuple[str, ...]:
    """One epoch of a model with its own recipe, over what resnet18 sees."""
    return ("--model", name, "--epochs", "1", *LAYERS[CLASSIFIERS[name].reads])


def attends(name: str) -> bool:
    return CLASSIFIERS[name].reads == "grid"


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_choices_soft_targets_and_a_part_of_the_questions(tiny):
    """A part of the sample's questions, learnt with each answer's score, judged by multiple choice."""
    part = ("--task", "multiple-choice", "--target", "soft", "--limit-questions", 20)
    with zipfile.ZipFile(tiny.artifact("make-sample") / "Questions_Val_sample.zip") as file:
        asked = json.loads(file.read("MultipleChoice_sample_val_questions.json"))["questions"]
    choices = {one["question_id"]: one["multiple_choices"] for one in asked}
    for name in CLASSIFIERS:
        tiny("luigi", "EvaluateModel", *flags_of(name), *part)
        predicted = tiny.artifact("predict-answers", f"{name}-sample-val-multiple")
        results = json.loads((predicted / "results.json").read_text())
        assert results and all(one["answer"] in choices[one["question_id"]] for one in results)
        with h5py.File(predicted / "predictions.h5") as file:
            assert ("attention" in file) == attends(name)
        manifests = [json.loads(path.read_text()) for path in trained(tiny, f"{name}-sample-train")]
        [facts] = [one["facts"] for one in manifests if one["flags"]["limit_questions"] == 20]
        assert facts["questions_trained_on"] == 20


def trained(shell, name):
    return shell.artifacts.glob(f"train-model/{name}-*/manifest.json")


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_your_own_data_ask_and_the_page(tiny, tmp_path):
    make_own(tmp_path)
    tiny.configure("[sources]\ndatasets = mine.toml\n")
    runs = []
    for name in CLASSIFIERS:
        tiny("luigi", "EvaluateModel", "--dataset", "mine", *flags_of(name))
        runs.append(f"{name}={next(iter(trained(tiny, f'{name}-mine'))).parent.name}")
    command = [sys.executable, "-c", ASK, str(tmp_path / "photos" / "0.png"), *runs]
    said = subprocess.run(command, cwd=tiny.folder, env=tiny.environment(), capture_output=True, text=True)
    assert said.stdout.splitlines() == [f"{name} 4 {attends(name)}" for name in CLASSIFIERS], said.stderr


def make_own(folder):
    """Eight pictures of four colours, with a question about each."""
    (folder / "photos").mkdir()
    (folder / "mine.toml").write_text(OWN)
    rows = [["image", "question", "answer"]]
    for number in range(8):
        colour = ("red", "green", "blue", "white")[number % 4]
        Image.new("RGB", (40 + number, 30), colour).save(folder / "photos" / f"{number}.png")
        rows.append([f"{number}.png", "What colour is it?", colour])
    with (folder / "qa.csv").open("w", newline="", encoding="utf-8") as table:
        csv.writer(table).writerows(rows)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--model", "saaa", "--layer", "flatten"), "--model saaa reads a grid"),
        (("--model", "deeper-lstm", "--layer", "layer4"), "--model deeper-lstm reads one vector"),
        (
            ("--model", "mcan-small", "--backbone", "vgg16", "--layer", "pool5", "--image-size", "16"),
            "--image-size 16: image size: vgg16 takes pictures of 32 x 32 and more",
        ),
    ],
)
def test_what_a_model_or_a_network_cannot_take_is_one_line_of_plan(tiny, flags, said):
    output = tiny("pipeline", "plan", "RunAll", *flags, code=1)
    assert said in output and len(output.splitlines()) == 1
