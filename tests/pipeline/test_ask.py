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
        asked = json.loads(archive.read("OpenEnded_sample_val_questions.json"))["questions"]
    mine = [one for one in asked if one["image_id"] == image_id][:3]
    output = shell("pipeline", "ask", path, *(one["question"] for one in mine), "--json")
    answers = json.loads(output[output.index("{") :])["asked"]
    vocabulary = json.loads((shell.artifact("build-vocabulary") / "vocabulary.json").read_text())["answers"]
    with h5py.File(shell.artifact("predict-answers") / "predictions.h5") as file:
        row_of = {number: row for row, number in enumerate(file["question_ids"][:].tolist())}
        for one, found in zip(mine, answers, strict=True):
            row = row_of[one["question_id"]]
            expected = {
                vocabulary[number]["answer"]: share
                for number, share in zip(
                    file["top_classes"][row].tolist(), file["top_probabilities"][row].tolist(), strict=True
                )
            }
            assert found["question"] == one["question"] and found["unknown_words"] == []
            assert dict(found["answers"]) == pytest.approx(expected, abs=2e-3)


def test_unknown_words_are_named(picture):
    shell, path, _ = picture
    output = shell("pipeline", "ask", path, "What colour is the zeppelin?")
    assert "words that training did not have: " in output and "zeppelin" in output and "%" in output


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
    ):
        output = shell("pipeline", *words, code=1)
        assert "error: " in output and message in output and "Traceback" not in output


def test_from_python(picture):
    """The lines of README: load, ask, answers; a path and a picture's bytes are the same."""
    shell, path, _ = picture
    script = f"""
from pathlib import Path
from pipeline import load_model

model = load_model()
one, other = model.ask({str(path)!r}, "What is this?", "Is there a zeppelin?")
assert [other] == model.ask(Path({str(path)!r}).read_bytes(), "Is there a zeppelin?")
print(one.question, len(one.answers), one.unknown_words, other.unknown_words)
"""
    found = subprocess.run(
        [sys.executable, "-c", script],
        cwd=shell.folder,
        env=shell.environment(),
        capture_output=True,
        text=True,
    )
    assert found.stdout == "What is this? 5 [] ['zeppelin']\n", found.stderr


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
