"""Pictures and questions of one's own through the whole pipeline, as docs/own-data.md says it."""

from __future__ import annotations

import csv
import io
import json
import zipfile

import pytest
from commands import TinyShell

COLOURS = {"red": (220, 30, 30), "green": (30, 160, 30), "blue": (30, 30, 220)}
TOML = """[own.mine]
pictures = "photos.zip"
questions = "qa.csv"
val = 0.25
defaults = { weights = "random:0", glove = "glove.sample.300d" }
"""


@pytest.fixture
def mine(tmp_path):
    """Sixteen pictures in a zip, two questions about each in a table with a byte order mark."""
    from PIL import Image

    shell = TinyShell(tmp_path)
    shell.configure("[sources]\ndatasets = own/mine.toml\n")
    own = tmp_path / "own"
    own.mkdir()
    rows = []
    with zipfile.ZipFile(own / "photos.zip", "w") as file:
        for number in range(16):
            name, rgb = list(COLOURS.items())[number % 3]
            content = io.BytesIO()
            Image.new("RGB", (40, 30), rgb).save(content, "PNG")
            file.writestr(f"photos/{number}.png", content.getvalue())
            rows.append([f"{number}.png", "What colour is it?", f"{name}|{name}|dark {name}"])
            rows.append([f"{number}.png", "Is it red, or not?", "yes" if name == "red" else "no"])
    with (own / "qa.csv").open("w", newline="", encoding="utf-8-sig") as table:
        csv.writer(table).writerows([["image", "question", "answer"], *rows])
    (own / "mine.toml").write_text(TOML)
    return shell


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

    for line in ("val = 0.5", "val = 0.25\nseed = 1"):
        (tmp_path / "own" / "mine.toml").write_text(TOML.replace("val = 0.25", line))
        assert "run   convert-own-data" in mine("pipeline", "plan", "--dataset", "mine")
    (tmp_path / "own" / "mine.toml").write_text(TOML)
    (tmp_path / "own").rename(tmp_path / "moved")  # where files lie means nothing
    mine.configure("[sources]\ndatasets = moved/mine.toml\n")
    assert mine.built(mine("luigi", "RunAll", "--dataset", "mine")) == ["DownloadImages"]  # the link

    table = tmp_path / "moved" / "qa.csv"
    table.write_text(table.read_text(encoding="utf-8").replace("0.png,What colour", "0.png,Which colour"))
    plan = mine("pipeline", "plan", "--dataset", "mine")
    steps = {
        line.split()[1]: line.split()[0] for line in plan.splitlines() if line.startswith(("keep", "run"))
    }
    assert steps["convert-own-data"] == steps["train-model"] == "run"
    assert steps["extract-features"] == steps["download-images"] == "keep"


def test_what_is_wrong_ends_in_one_line(mine, tmp_path):
    own = tmp_path / "own"
    table = own / "qa.csv"
    table.write_text(table.read_text(encoding="utf-8").replace("5.png", "fifty.png"))
    output = mine("luigi", "ConvertOwnData", "--dataset", "mine", code=30)
    assert "ConvertOwnData failed" in output and "no picture 'fifty.png'" in output
    words = ("luigi", "RunAll", "--dataset", "mine")
    (own / "photos.zip").unlink()
    assert f"{own / 'photos.zip'} does not exist" in mine(*words, code=1)
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
