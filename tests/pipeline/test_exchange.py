"""A finished run as the original project's files and back, as commands."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest

FILES = ("data_img.h5", "data_prepro.h5", "data_prepro.json")


def as_the_seed_reads(folder: Path, half: str) -> dict:
    """What the Keras re-write makes of the files before it trains: positions from 1, words moved to the right end,
    pictures of length 1. Pure loops, on purpose."""
    names = json.loads((folder / "data_prepro.json").read_text())
    with h5py.File(folder / "data_prepro.h5") as arrays, h5py.File(folder / "data_img.h5") as images:
        pictures = np.array(images[f"images_{half}"])
        lengths = np.array(arrays[f"ques_length_{half}"])
        rows = np.array(arrays[f"ques_{half}"])
        questions = np.zeros(rows.shape)
        for number, length in enumerate(lengths):
            assert not rows[number, length:].any() and rows[number, :length].all()
            questions[number, rows.shape[1] - length :] = rows[number, :length]
        where = np.array(arrays[f"img_pos_{half}"])
        seen = np.stack([pictures[position - 1] for position in where])
        return {
            "questions": questions,
            "words": [[names["ix_to_word"][str(int(i))] for i in row if i] for row in questions],
            "pictures": seen / np.sqrt((seen * seen).sum(axis=1, keepdims=True)),
            "picture_names": [names[f"unique_img_{half}"][position - 1] for position in where],
            "ids": np.array(arrays[f"question_id_{half}"]),
            "answers": [names["ix_to_ans"][str(i)] for i in arrays["answers"][:]]
            if half == "train"
            else None,
            "choices": np.array(arrays["MC_ans_test"]) if half == "test" else None,
            "types": {arrays[name].dtype.name for name in arrays} | {images[f"images_{half}"].dtype.name},
            "all": names,
        }


@pytest.fixture(scope="session")
def exported(tiny_run, tmp_path_factory):
    """(shell, folder): the tiny run's export."""
    folder = tmp_path_factory.mktemp("export") / "seed"
    output = tiny_run[0]("pipeline", "export", "--to", folder)
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES), output
    return tiny_run[0], folder


@pytest.mark.parametrize("half, split", [("train", "train"), ("test", "val")])
def test_the_seeds_reading_code_reads_back_every_question_and_row(exported, half, split):
    shell, folder = exported
    found = as_the_seed_reads(folder, half)
    assert found["types"] == {"uint32", "float32"}
    vocabulary = json.loads((shell.artifact("build-vocabulary") / "vocabulary.json").read_text())
    classes = [entry["answer"] for entry in vocabulary["answers"]]
    assert found["all"]["ix_to_ans"] == {str(i): answer for i, answer in enumerate(classes, 1)}
    words = [entry["word"] for entry in vocabulary["words"]] + ["UNK"]
    assert found["all"]["ix_to_word"] == {str(i): word for i, word in enumerate(words, 1)}
    with (
        h5py.File(shell.artifact("encode-questions", split) / "questions.h5") as questions,
        h5py.File(shell.artifact("encode-answers", split) / "answers.h5") as answers,
        h5py.File(shell.artifact("extract-features", split) / "features.h5") as features,
    ):
        consensus = answers["consensus"][:]
        kept = consensus >= 0 if half == "train" else np.ones(len(consensus), bool)
        assert found["ids"].tolist() == questions["question_ids"][:][kept].tolist()
        assert np.array_equal(found["questions"], questions["tokens"][:][kept])
        places = np.searchsorted(features["image_ids"][:], questions["image_ids"][:][kept])
        names = [name.decode() for name in features["image_names"][:]]
        assert found["picture_names"] == [names[place] for place in places]
        wanted = features["features"][:][places].astype(np.float32)
        wanted /= np.sqrt((wanted * wanted).sum(axis=1, keepdims=True))
        assert np.array_equal(found["pictures"], wanted)
        if half == "train":
            assert found["answers"] == [classes[number] for number in consensus[kept]]


def test_choices_that_are_no_class_are_0_and_the_others_count_from_1(exported):
    shell, folder = exported
    found = as_the_seed_reads(folder, "test")
    assert found["choices"].shape == (len(found["ids"]), 18)
    answers = found["all"]["ix_to_ans"]
    from data.annotations import read_questions

    asked = read_questions(
        shell.artifact("download-questions", "val") / "Questions_Val_sample.zip",
        "MultipleChoice_sample_val_questions.json",
    )
    texts = {one.question_id: one.multiple_choices for one in asked}
    known = set(answers.values())
    for number, row in zip(found["ids"].tolist(), found["choices"], strict=True):
        wanted = [text if text in known else None for text in texts[number]]
        assert [answers.get(str(i)) for i in row[: len(wanted)]] == wanted


def test_an_export_overwrites_nothing_and_needs_a_finished_run(exported, tiny, tmp_path):
    _, folder = exported
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert "already holds data_img.h5" in tiny("pipeline", "export", "--to", folder, code=1)
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    output = tiny("pipeline", "export", "RunAll", "--answers", 7, "--to", tmp_path / "new", code=1)
    assert "never built" in output and "Traceback" not in output
    assert "RunAll" in tiny("pipeline", "export", "TrainModel", "--to", tmp_path / "new", code=1)
    features = tiny.artifact("extract-features", "val") / "features.h5"
    content = bytearray(features.read_bytes())
    content[-5] ^= 1
    features.write_bytes(content)
    assert "damaged" in tiny("pipeline", "export", "--to", tmp_path / "new", code=1)
    assert not (tmp_path / "new").exists() or not list((tmp_path / "new").iterdir())
