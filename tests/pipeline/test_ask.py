"""Asking a trained model about a picture: the same answers as the pipeline's, and what is refused."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile

import h5py
import hostile
import pytest
from bad_server import BadServer

from pipeline.__main__ import main


@pytest.fixture(scope="module")
def picture(tiny_run, tmp_path_factory):
    """(the shell, a picture of the validation split on disk, its image id)."""
    shell = tiny_run[0]
    with zipfile.ZipFile(shell.artifact("make-sample") / "sample-val.zip") as archive:
        name = min(name for name in archive.namelist() if name.endswith(".jpg"))
        path = tmp_path_factory.mktemp("ask") / "photo.jpg"
        path.write_bytes(archive.read(name))
    return shell, path, int(name.split("_")[-1].split(".")[0])


def test_the_answers_are_the_pipelines(picture):
    shell, path, image_id = picture
    with zipfile.ZipFile(shell.artifact("make-sample") / "Questions_Val_sample.zip") as archive:
        entries = json.loads(archive.read("OpenEnded_sample_val_questions.json"))["questions"]
    mine = [question for question in entries if question["image_id"] == image_id][:3]
    questions = [*(question["question"] for question in mine), "What colour is the zeppelin?"]
    output = shell("pipeline", "ask", path.parent, *questions, "--json")
    *answers, unknown = json.loads(output[output.index("{") :])["asked"]
    assert {reply["picture"] for reply in answers} == {str(path)} and "zeppelin" in unknown["unknown_words"]
    vocabulary = json.loads((shell.artifact("build-vocabulary") / "vocabulary.json").read_text())["answers"]
    with h5py.File(shell.artifact("predict-answers") / "predictions.h5") as file:
        row_of = {number: row for row, number in enumerate(file["question_ids"][:].tolist())}
        for question, reply in zip(mine, answers, strict=True):
            row = row_of[question["question_id"]]
            expected = {
                vocabulary[number]["answer"]: share
                for number, share in zip(
                    file["top_classes"][row].tolist(), file["top_probabilities"][row].tolist(), strict=True
                )
            }
            assert reply["question"] == question["question"] and reply["unknown_words"] == []
            assert dict(reply["answers"]) == pytest.approx(expected, abs=2e-3)


@pytest.mark.slow
def test_what_is_refused(picture, tmp_path):
    shell, path, _ = picture
    text = tmp_path / "text.jpg"
    text.write_text("<html>not a picture")
    noisy, content = tmp_path / "noisy.jpg", hostile.picture()
    noisy.write_bytes(content[:-402] + bytes(range(200)) * 2 + content[-2:])
    for words, message in (
        (("ask", tmp_path / "none.jpg", "What?"), "none.jpg: can't be read"),
        (("ask", text, "What?"), "text.jpg: "),
        (("ask", noisy, "What?"), "noisy.jpg: damaged: Corrupt JPEG data"),
        (("ask", path, " "), "an empty question"),
        (("ask", path, "What?", "--run", "nope"), "nope: no such run"),
        (("ask", "A" * 5000, "What?"), "has 5,000 characters, which is not a path"),
        (
            ("ask", "ftp://127.0.0.1/a.jpg", "What?"),
            "expected an address that begins with https:// or http://",
        ),
    ):
        output = shell("pipeline", *words, code=1)
        assert "error: " in output and message in output and "Traceback" not in output


def test_from_python(picture):
    """The lines of README: load, ask, answers; a path, a picture's bytes, Pillow's and arrays are the same."""
    shell, path, _ = picture
    script = f"""
from pathlib import Path
import numpy as np
from PIL import Image
from data.base.errors import DataError
from pipeline import load_model

model = load_model()
one, other = model.ask({str(path)!r}, "What is this?", "Is there a zeppelin?")
assert [other] == model.ask(Path({str(path)!r}).read_bytes(), "Is there a zeppelin?")
with Image.open({str(path)!r}) as image:
    for picture in (image, np.asarray(image)):
        assert model.ask(picture, ["What is this?", "Is there a zeppelin?"]) == [one, other]
for question in (None, [], [""], 7, [["What?"]]):
    try:
        print(model.ask({str(path)!r}, question))
    except DataError as error:
        assert "question" in str(error)
print(one.question, len(one.answers), one.unknown_words, other.unknown_words)
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=shell.folder,
        env=shell.environment(),
        capture_output=True,
        text=True,
    )
    assert done.stdout == "What is this? 5 [] ['zeppelin']\n", done.stderr


def shares(output):
    return [line for line in output.splitlines() if "%  " in line]


def test_several_pictures_a_folder_and_an_address(picture, tmp_path):
    """Each is asked every question; one that can't be read does not stop the others, and the exit code says so."""
    shell, path, _ = picture
    output = shell("pipeline", "ask", path, "What?", "How many zeppelins?")
    assert "words that training did not have: zeppelins)\n" in output
    alone = shares(output)
    folder = tmp_path / "photos"
    (folder / "deeper").mkdir(parents=True)
    for name in ("b.jpg", "deeper/a.jpg"):
        shutil.copyfile(path, folder / name)
    (folder / "notes.txt").write_text("not a picture")
    with BadServer(photo_jpg=path.read_bytes()) as server:
        words = (
            path,
            folder,
            f"{server.url}photo.jpg",
            f"{server.url}gone.jpg",
            "What?",
            "How many zeppelins?",
        )
        output = shell("pipeline", "ask", *words, code=1)
    assert shares(output) == 4 * alone
    assert f"error: {server.url}gone.jpg: HTTP 404" in output and "notes.txt" not in output
    named = [line for line in output.splitlines() if line.endswith(".jpg")]
    assert named == [str(path), f"{folder}/b.jpg", f"{folder}/deeper/a.jpg", f"{server.url}photo.jpg"]
    told = shell("pipeline", "ask", folder, "What?", "--json")
    assert [reply["picture"] for reply in json.loads(told)["asked"]] == [
        f"{folder}/b.jpg",
        f"{folder}/deeper/a.jpg",
    ]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("photo.jpg", "other.jpg"), "no question about photo.jpg, other.jpg"),
        (("What?", "photo.jpg"), "no question about What?, photo.jpg; pictures come first, then questions"),
        (("photo.jpg", "my phto.jpg"), "no question about photo.jpg, my phto.jpg"),
        (("photo.jpg", " "), "an empty question"),
        (("empty", "What?"), "empty: a folder without pictures"),
        (("a.jpg", "b.jpg", "What?", "--map", "m.png"), "--map draws one picture, and there are 2"),
        (("--run", "none.zip", "a.jpg", "What?"), "none.zip: can't be read: No such file"),
    ],
)
def test_words_that_can_not_be_asked_are_one_line(words, message, tmp_path, monkeypatch, capsys):
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    assert main(["ask", *words]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"error: {message}") and said.count("\n") == 1


@pytest.fixture
def copied(picture, tmp_path):
    shell = type(picture[0])(tmp_path)
    shutil.copytree(picture[0].artifacts, shell.artifacts, symlinks=True)
    return shell


def test_a_damaged_model_is_left_aside_with_a_word(picture, copied):
    whole = copied.artifact("train-model")
    damaged = whole.with_name(whole.name[:-16] + 16 * "f")
    shutil.copytree(whole, damaged)
    (damaged / "model.safetensors").unlink()
    output = copied("pipeline", "ask", picture[1], "What?")
    assert f"{damaged}: " in output and f"model.safetensors is missing; asking {whole.name}" in output


@pytest.mark.parametrize(
    ("stage", "file"), [("train-model", "model.safetensors"), ("build-vocabulary", "vocabulary.json")]
)
def test_a_flipped_byte_is_found_before_an_answer_is_given(picture, copied, stage, file):
    shell = copied
    path = shell.artifact(stage) / file
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    output = shell("pipeline", "ask", picture[1], "What?", code=1)
    assert f"is damaged: {file} has sha256" in output and "to make it again: luigi" in output
    if stage == "train-model":
        name = shell.artifact(stage).name
        assert f"{name} is damaged: {file}" in shell("pipeline", "runs")
        fingerprint = name.rpartition("-")[2]
        again = shell("pipeline", "compare", fingerprint, fingerprint, code=1)
        assert f"{name}: damaged: {file}" in again and "no such run" not in again


@pytest.mark.slow
def test_a_file_of_weights_is_found_again_by_the_model_that_was_trained_with_it(tiny, picture, tmp_path):
    import torch
    import torchvision

    torch.save(torchvision.models.resnet18(weights=None).state_dict(), tmp_path / "w.pth")
    assert len(tiny.built(tiny("luigi", "TrainModel", "--weights", "./w.pth"))) == 2
    # Spelt in another way, and copied: the same artifacts.
    shutil.copyfile(tmp_path / "w.pth", tmp_path / "copy.pth")
    for spelt in (tmp_path / "w.pth", "copy.pth"):
        assert tiny.built(tiny("luigi", "TrainModel", "--weights", spelt)) == []
    (run,) = [
        run
        for run in json.loads(tiny("pipeline", "runs", "--json"))
        if "w.pth" in run["parameters"]["weights"]
    ]
    assert run["parameters"]["weights"] == str(tmp_path / "w.pth")
    assert "%" in tiny("pipeline", "ask", picture[1], "What is it?", "--run", run["run"])
    with (tmp_path / "w.pth").open("ab") as file:
        file.write(b"more")
    output = tiny("pipeline", "ask", picture[1], "What is it?", "--run", run["run"], code=1)
    assert "not the weights that" in output and f"--weights {tmp_path / 'w.pth'}" in output
    assert "changed: weights" in tiny("pipeline", "plan", "TrainModel", "--weights", "w.pth")
