"""The tools that need no stage: score, features, and what the command line says of mistakes."""

from __future__ import annotations

import io
import json

import h5py
import numpy as np
import pytest
from PIL import Image

from pipeline.__main__ import main


def picture(colour):
    file = io.BytesIO()
    Image.new("RGB", (40, 30), colour).save(file, "JPEG")
    return file.getvalue()


@pytest.fixture
def official(tmp_path):
    """Questions, annotations and results of two questions, one of them right."""
    said = ["yes"] * 9 + ["no"]
    questions = [{"question_id": n, "image_id": 1, "question": "Is it red?"} for n in (1, 2)]
    annotations = [
        {
            "question_id": n,
            "image_id": 1,
            "question_type": "is it",
            "answer_type": "yes/no",
            "multiple_choice_answer": "yes",
            "answers": [
                {"answer": text, "answer_confidence": "yes", "answer_id": i} for i, text in enumerate(said, 1)
            ],
        }
        for n in (1, 2)
    ]
    results = [{"question_id": 1, "answer": "Yes."}, {"question_id": 2, "answer": "maybe"}]
    files = {
        "questions": {"questions": questions},
        "annotations": {"annotations": annotations},
        "results": results,
    }
    for name, content in files.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    return [word for name in files for word in (f"--{name}", str(tmp_path / f"{name}.json"))]


def test_score_prints_the_official_accuracy(official, capsys):
    assert main(["score", *official, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["overall"] == 50.0
    assert main(["score", *official]) == 0
    assert "50.00" in capsys.readouterr().out


def test_score_refuses_a_results_file_that_lacks_a_question(official, tmp_path, capsys):
    (tmp_path / "results.json").write_text('[{"question_id": 1, "answer": "yes"}]')
    assert main(["score", *official]) == 1
    assert "missing" in capsys.readouterr().err


@pytest.mark.slow
def test_features_of_a_folder_and_what_it_leaves_out(tmp_path, capsys, artifacts):
    folder, out = tmp_path / "photos", tmp_path / "f.h5"
    folder.mkdir()
    for number, colour in enumerate(("red", "green", "blue")):
        (folder / f"{number}.jpg").write_bytes(picture(colour))
    (folder / "notes.jpg").write_text("no picture")
    with (folder / "flood.jpg").open("wb") as file:
        file.truncate(3 << 30)
    command = ["features", str(folder), "--backbone", "resnet18", "--layer", "flatten"]
    command += ["--weights", "random:0", "--out", str(out)]
    assert main(command) == 1
    said = capsys.readouterr().err
    assert "notes.jpg" in said and "max_bad_images = 2" in said
    assert "flood.jpg: has 3,221,225,472 bytes; at most 67,108,864 are read" in said
    assert not list(tmp_path.glob(".*")) and not out.exists()
    assert len(list(artifacts.glob(".work/features-*"))) == 1  # goes on there
    assert main([*command, "--max-bad-images", "2"]) == 0
    assert [path for path in artifacts.glob(".work/*") if not path.name.startswith(".run-")] == []
    assert "3 pictures" in capsys.readouterr().out
    with h5py.File(out) as file:
        assert file["features"].shape == (3, 512)
        assert [name.decode() for name in file["image_names"]] == ["0.jpg", "1.jpg", "2.jpg"]
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "artifacts") == ["f.h5", "photos"]
    assert main([*command, "--max-bad-images", "2", "--format", "npy"]) == 1
    assert "f.h5: --format npy writes a file that ends in .npy" in capsys.readouterr().err
    rows = tmp_path / "g.npy"
    assert main([*command[:-1], str(rows), "--max-bad-images", "2", "--format", "npy"]) == 0
    with h5py.File(out) as file:
        assert np.array_equal(np.load(rows, mmap_mode="r"), file["features"][:])
        assert np.array_equal(np.load(tmp_path / "g-ids.npy"), file["image_ids"][:])
    assert json.loads((tmp_path / "g-names.json").read_text()) == ["0.jpg", "1.jpg", "2.jpg"]


@pytest.mark.parametrize(
    "words, code, said",
    [
        (["plam"], 2, "did you mean 'plan'"),
        (["features", "nowhere", "--out", "x.h5", "--weights", "random:0"], 1, "nowhere"),
        (["features", ".", "--out", "x.h5", "--backbone", "vgg61"], 1, "vgg16"),
        (["score", "--annotations", "a", "--questions", "q", "--results", "r"], 1, "can't be read"),
    ],
)
def test_a_mistake_is_one_line(words, code, said, capsys, artifacts):
    assert main(words) == code
    printed = capsys.readouterr().err
    assert said in printed and "Traceback" not in printed


@pytest.mark.parametrize("command, word", [("gc", "--yes"), ("plan", "would cost"), ("export", "--to DIR")])
def test_what_luigi_parses_explains_itself(capsys, artifacts, command, word):
    assert main([command, "--help"]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"usage: python -m pipeline {command} ") and word in said
    assert said.count("usage: ") == 1 and "TASK --help" in said
