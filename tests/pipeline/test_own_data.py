"""Pictures and questions of your own through the whole pipeline, as docs/own-data.md says it."""

from __future__ import annotations

import csv
import io
import json
import zipfile

import pytest
from commands import TinyShell

COLOURS = {"red": (220, 30, 30), "green": (30, 160, 30), "blue": (30, 30, 220)}
BROKEN = 1  # a picture of train that is cut short
TOML = """[own.mine]
pictures = "photos.zip"
questions = "qa.csv"
val = 0.25
defaults = { weights = "random:0", glove = "near", answers = 4 }
[glove.near]
path = "vectors"
members = { "near.txt" = 3 }
"""


@pytest.fixture
def mine(tmp_path):
    """Sixteen pictures in a zip, two questions about each in a table with a byte order mark."""
    from PIL import Image

    shell = TinyShell(tmp_path)
    shell.configure("[sources]\ndatasets = own/mine.toml\n[features]\nmax_bad_images = 1\n")
    own = tmp_path / "own"
    (own / "vectors").mkdir(parents=True)
    (own / "vectors" / "near.txt").write_text("is 1 2 3\nit 4 5 6\n")
    rows = []
    with zipfile.ZipFile(own / "photos.zip", "w") as file:
        for number in range(16):
            name, rgb = list(COLOURS.items())[number % 3]
            content = io.BytesIO()
            Image.new("RGB", (40 + number, 30), rgb).save(content, "PNG")
            file.writestr(f"photos/{number}.png", content.getvalue()[: 60 if number == BROKEN else None])
            rows.append([f"{number}.png", "What colour is it?", f"{name}|{name}|dark {name}"])
            rows.append([f"{number}.png", "Is it red, or not?", "yes" if name == "red" else "no"])
    with (own / "qa.csv").open("w", newline="", encoding="utf-8-sig") as table:
        csv.writer(table).writerows([["image", "question", "answer"], *rows])
    (own / "mine.toml").write_text(TOML)
    return shell


@pytest.mark.slow
def test_a_table_and_a_zip_become_an_accuracy_and_follow_their_content(mine, tmp_path):
    output = mine("luigi", "RunAll", "--dataset", "mine")
    assert "24 questions about 12 pictures" in output and "8 questions about 4 pictures" in output
    accuracy = json.loads((mine.artifact("evaluate-model") / "accuracy.json").read_text())
    assert accuracy["metric"] == "few-answers" and accuracy["questions"] == 8
    assert accuracy["perQuestionType"].keys() == {"what", "is"}
    # learnt from train's question types too: yes/no is not answered with a colour
    assert accuracy["baselines"]["commonest_per_question_type"]["perAnswerType"]["yes/no"] > 0
    mine.artifact("extract-features")  # one image set for both splits: once
    assert "nothing to do" in mine("pipeline", "plan", "--dataset", "mine")
    said = mine("pipeline", "export", "RunAll", "--dataset", "mine", "--to", "seed")
    assert (
        "19 of 24 training questions (left out: 3 whose consensus answer is not a class; 2 whose pic" in said
    )
    mine("pipeline", "import", "--from", "seed", "--annotations", "mine")
    mine("luigi", "EvaluateModel", "--dataset", "seed-v1")  # few answers a question are as good as ten
    [again] = (mine.artifacts / "evaluate-model").glob("*seed-v1*/accuracy.json")
    # Ready-made files have neither pictures nor texts, so that nothing is known of leaks and of consistency.
    known = {name: accuracy[name] for name in ("in_training_too", "consistency")}
    assert json.loads(again.read_text()) | known == accuracy

    for line in ("val = 0.5", "val = 0.25\nseed = 1"):
        (tmp_path / "own" / "mine.toml").write_text(TOML.replace("val = 0.25", line))
        assert "run   convert-own-data" in mine("pipeline", "plan", "--dataset", "mine")
    (tmp_path / "own" / "mine.toml").write_text(TOML)
    (tmp_path / "own").rename(tmp_path / "moved")  # where files lie means nothing
    mine.configure("[sources]\ndatasets = moved/mine.toml\n[features]\nmax_bad_images = 1\n")
    assert sorted(mine.built(mine("luigi", "RunAll", "--dataset", "mine"))) == [
        "DownloadGlove",
        "DownloadImages",
    ]  # links

    table = tmp_path / "moved" / "qa.csv"
    table.write_text(table.read_text(encoding="utf-8").replace("0.png,What colour", "0.png,Which colour"))
    plan = mine("pipeline", "plan", "--dataset", "mine")
    steps = {
        line.split()[1]: line.split()[0] for line in plan.splitlines() if line.startswith(("keep", "run"))
    }
    assert steps["convert-own-data"] == steps["train-model"] == "run"
    assert steps["extract-features"] == steps["download-images"] == "keep"


@pytest.mark.slow
def test_what_is_wrong_ends_in_one_line(mine, tmp_path):
    own = tmp_path / "own"
    table = own / "qa.csv"
    right = table.read_text(encoding="utf-8")
    table.write_text(right.replace(".png", ".jpg") + "4.png,,yes\n")
    output = mine("luigi", "ConvertOwnData", "--dataset", "mine", code=30)
    assert "qa.csv: 33 of 33 rows can't be used; all are listed in" in output and "and 13 more)" in output
    [listing] = mine.artifacts.glob(".work/convert-own-data-*/unusable-rows.txt")
    assert f"{listing} (row 2: no picture '0.jpg'" in output.splitlines()[-1]
    assert listing.read_text().splitlines()[-1] == "row 34: empty question"
    assert listing.name not in (gone := mine("pipeline", "gc", "RunAll")) and listing.parent.name in gone
    table.write_text(right.replace("yes", "Yes", 1))
    output = mine("luigi", "ConvertOwnData", "--dataset", "mine")
    assert output.count("'yes' 5, 'Yes' 1") == 1  # once, and used as it is
    words = ("luigi", "RunAll", "--dataset", "mine")
    pictures = (own / "photos.zip").read_bytes()
    (own / "photos.zip").unlink()
    assert f"{own / 'photos.zip'} does not exist" in mine(*words, code=1)
    (own / "photos.zip").write_bytes(pictures)
    table.unlink()
    assert f"error: {table}: can't be read" in mine(*words, code=1)
    (own / "mine.toml").write_text(TOML.replace("weights", "weigths"))
    assert "unknown flag 'weigths'" in mine(*words, code=1)
    (own / "mine.toml").write_text(TOML.replace("questions", "question"))
    assert "nearest: questions" in mine("pipeline", "plan", code=1)
    (own / "mine.toml").unlink()
    for words in (("luigi", "RunAll"), ("pipeline", "plan")):
        output = mine(*words, code=1)
        assert "mine.toml: can't be read: No such file" in output and "Traceback" not in output
