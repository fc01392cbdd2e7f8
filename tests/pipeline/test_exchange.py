"""A finished run as the original project's files and back, as commands."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from commands import TinyShell
from pages import jpeg

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
    read = as_the_seed_reads(folder, half)
    assert read["types"] == {"uint32", "float32"}
    vocabulary = json.loads((shell.artifact("build-vocabulary") / "vocabulary.json").read_text())
    classes = [entry["answer"] for entry in vocabulary["answers"]]
    assert read["all"]["ix_to_ans"] == {str(i): answer for i, answer in enumerate(classes, 1)}
    words = [entry["word"] for entry in vocabulary["words"]] + ["UNK"]
    assert read["all"]["ix_to_word"] == {str(i): word for i, word in enumerate(words, 1)}
    with (
        h5py.File(shell.artifact("encode-questions", split) / "questions.h5") as questions,
        h5py.File(shell.artifact("encode-answers", split) / "answers.h5") as answers,
        h5py.File(shell.artifact("extract-features", split) / "features.h5") as features,
    ):
        consensus = answers["consensus"][:]
        kept = consensus >= 0 if half == "train" else np.ones(len(consensus), bool)
        assert read["ids"].tolist() == questions["question_ids"][:][kept].tolist()
        assert np.array_equal(read["questions"], questions["tokens"][:][kept])
        places = np.searchsorted(features["image_ids"][:], questions["image_ids"][:][kept])
        names = [name.decode() for name in features["image_names"][:]]
        assert read["picture_names"] == [names[place] for place in places]
        wanted = features["features"][:][places].astype(np.float32)
        wanted /= np.sqrt((wanted * wanted).sum(axis=1, keepdims=True))
        assert np.array_equal(read["pictures"], wanted)
        if half == "train":
            assert read["answers"] == [classes[number] for number in consensus[kept]]


def test_choices_that_are_no_class_are_0_and_the_others_count_from_1(exported):
    shell, folder = exported
    read = as_the_seed_reads(folder, "test")
    assert read["choices"].shape == (len(read["ids"]), 18)
    answers = read["all"]["ix_to_ans"]
    from data.text.official_json import read_questions

    questions = read_questions(
        shell.artifact("download-questions", "val") / "Questions_Val_sample.zip",
        "MultipleChoice_sample_val_questions.json",
    )
    texts = {question.question_id: question.multiple_choices for question in questions}
    known = set(answers.values())
    for number, row in zip(read["ids"].tolist(), read["choices"], strict=True):
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


@pytest.fixture(scope="session")
def imported(exported, tmp_path_factory):
    """(shell, output): the tiny run's export, zipped, imported and evaluated beside that run."""
    shell = TinyShell(tmp_path_factory.mktemp("imported"))
    shutil.copytree(exported[0].artifacts, shell.artifacts, symlinks=True)
    with zipfile.ZipFile(shell.folder / "data_train_val.zip", "w", zipfile.ZIP_DEFLATED) as file:
        for name in FILES:
            file.write(exported[1] / name, f"data/{name}")
    listed = shell("pipeline", "import", "--from", "data_train_val.zip", "--annotations", "sample")
    assert "dataset seed-v1" in listed and "next: luigi" in listed
    return shell, shell("luigi", "EvaluateModel", "--dataset", "seed-v1")


def test_an_import_of_our_export_is_trained_and_judged_as_our_own(imported):
    shell, output = imported
    built = shell.built(output)
    assert sorted(built) == sorted(
        [
            *("ImportFiles", "ImportVocabulary", "BuildEmbeddings"),
            *("TrainModel", "PredictAnswers", "ExchangePictures", "EvaluateModel"),
            *("ImportFeatures", "ImportQuestions", "ImportAnswers") * 2,
        ]
    )
    ours = json.loads((shell.artifact("evaluate-model", "sample") / "accuracy.json").read_text())
    theirs = json.loads((shell.artifact("evaluate-model", "seed-v1") / "accuracy.json").read_text())
    # The same questions, features (rows of length 1 on both sides), initial weights and order of training.
    # Only the pictures are gone, and the texts in which words are the same or not.
    assert ours.pop("in_training_too")["pictures"] == 0
    assert theirs == ours | {"consistency": None} and ours["consistency"]["pairs"] > 0


def test_what_was_imported_equals_what_was_exported(imported):
    shell, _ = imported
    for stage, usual, file in (
        ("import-questions", "encode-questions", "questions.h5"),
        ("import-answers", "encode-answers", "answers.h5"),
        ("import-features", "extract-features", "features.h5"),
    ):
        with (
            h5py.File(shell.artifact(stage, "val") / file) as new,
            h5py.File(shell.artifact(usual, "val") / file) as old,
        ):
            for name in old:
                assert np.array_equal(new[name][...], old[name][...]), (stage, name)
    new, old = (
        json.loads((shell.artifact(stage) / "vocabulary.json").read_text())
        for stage in ("import-vocabulary", "build-vocabulary")
    )
    assert new["words"] == old["words"] and new["answers"] == old["answers"]
    assert new["questions"] == old["kept_questions"]


@pytest.mark.parametrize(
    "words, said",
    [
        (("TrainModel", "--target", "soft"), "--target soft: seed-v1 is ready-made"),
        (("EvaluateModel", "--answers", 5), "--answers 5: seed-v1 is ready-made"),
        (("RunAll",), "seed-v1 has no pictures"),
        (("EncodeQuestions",), "seed-v1 is ready-made"),
        (("BuildVocabulary",), "seed-v1 is ready-made"),
        (("PredictAnswers", "--eval-split", "test"), "--eval-split test: seed-v1"),
    ],
)
def test_what_the_files_can_not_give_is_refused_in_one_line(imported, words, said):
    output = imported[0]("luigi", *words, "--dataset", "seed-v1", code=1)
    assert said in output and "Traceback" not in output


@pytest.mark.slow
def test_a_model_of_imported_features_can_not_look_at_pictures(imported, tmp_path):
    (tmp_path / "photo.jpg").write_bytes(jpeg())
    model = imported[0].artifact("train-model", "seed-v1").name
    output = imported[0]("pipeline", "ask", tmp_path / "photo.jpg", "What?", "--run", model, code=1)
    assert "was trained on imported features" in output and "Traceback" not in output
    # Not asked for by name, though it is the newest: another one answers.
    assert "What?" in imported[0]("pipeline", "ask", tmp_path / "photo.jpg", "What?")


def test_an_import_counts_by_its_content_wherever_it_lies(imported, tmp_path):
    shell, _ = imported
    assert "nothing to do" in shell("pipeline", "plan", "EvaluateModel", "--dataset", "seed-v1")
    catalog = shell.artifacts / "imported.toml"
    before = catalog.read_text()
    shutil.copyfile(shell.folder / "data_train_val.zip", tmp_path / "copy.zip")
    shell("pipeline", "import", "--from", tmp_path / "copy.zip", "--annotations", "sample")
    assert "nothing to do" in shell("pipeline", "plan", "EvaluateModel", "--dataset", "seed-v1")
    with zipfile.ZipFile(tmp_path / "copy.zip", "a") as file:
        file.writestr("more.txt", "another zip")
    assert "changed: files" in shell("pipeline", "plan", "EvaluateModel", "--dataset", "seed-v1")
    (tmp_path / "copy.zip").unlink()
    assert "copy.zip is gone" in shell("luigi", "TrainModel", "--dataset", "seed-v1", code=1)
    assert shell.built(shell("luigi", "EvaluateModel")) == []  # the others go on
    catalog.write_text(before)


def test_questions_of_other_annotations_and_files_that_lie_are_refused(exported, tiny, tmp_path):
    shutil.copytree(exported[1], tmp_path / "files")
    with h5py.File(tmp_path / "files" / "data_prepro.h5", "r+") as file:
        file["question_id_test"][0] = 4_000_000_000
    tiny("pipeline", "import", "--from", tmp_path / "files", "--annotations", "sample")
    output = tiny("luigi", "ImportAnswers", "--dataset", "seed-v1", "--split", "val", code=None)
    assert "have no annotation in" in output and "question_id 4000000000" in output
    with h5py.File(tmp_path / "files" / "data_prepro.h5", "r+") as file:
        file["img_pos_test"][0] = 0
    output = tiny("pipeline", "import", "--from", tmp_path / "files", code=1)
    assert "img_pos_test" in output and "Traceback" not in output
    assert "no such file" in tiny("pipeline", "import", "--from", tmp_path / "none.zip", code=1)


TEST_SPLIT = """
[datasets.sample.splits.test]
image_set = "sample-val"
[datasets.sample.splits.test.questions]
made_by = "tiny"
file = "Questions_Val_sample.zip"
[datasets.sample.splits.test.questions.members.test]
open-ended = "OpenEnded_sample_val_questions.json"
"""


@pytest.mark.slow
def test_both_training_splits_are_one_half_and_no_choices_are_zeros(tiny, tmp_path):
    tiny.catalog.write_text(tiny.catalog.read_text() + TEST_SPLIT)
    flags = ("--train-split", "trainval", "--eval-split", "test")
    tiny("luigi", "RunAll", *flags)
    tiny("pipeline", "export", "RunAll", *flags, "--to", tmp_path / "seed")
    train, test = (as_the_seed_reads(tmp_path / "seed", half) for half in ("train", "test"))
    assert not test["choices"].any() and len(test["ids"]) > 0
    vocabulary = next(
        path for path in (tiny.artifacts / "build-vocabulary").iterdir() if "trainval" in path.name
    )
    assert len(train["ids"]) == json.loads((vocabulary / "vocabulary.json").read_text())["kept_questions"]
    sets = {name.split("/")[0]: 0 for name in train["picture_names"]}
    assert len(sets) == 2 and set(test["picture_names"]) < set(train["picture_names"])
    # The same pictures in both halves, at other rows.
    place = dict(zip(train["picture_names"], train["pictures"], strict=True))
    for name, row in zip(test["picture_names"], test["pictures"], strict=True):
        assert np.array_equal(place[name], row)
