"""Official JSON of your own through the stages: its image_id means the picture whose name ends in it, everywhere."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from commands import TinyShell

from data.base.errors import DataError
from data.catalog import sources

NAMES = ("10.png", "b/img_2.png", "0001.png")
OWN = '[own.mine]\npictures = "photos"\nquestions = "q.json"\nannotations = "a.json"\nval = 0.4\n'
TABLE = '[own.table]\npictures = "photos"\nquestions = "qa.csv"\n'
FULL = """[image_sets.full]
path = "photos"
[datasets.full.splits.train]
image_set = "full"
questions = { path = "q.json", members = { train = { open-ended = "" } } }
annotations = { path = "a.json" }
[datasets.full.splits.val]
image_set = "full"
questions = { path = "q.json", members = { val = { open-ended = "" } } }
annotations = { path = "a.json" }
"""
FLAGS = ("--weights", "random:0", "--image-set")


@pytest.fixture
def mine(tmp_path):
    """Three pictures, a question about each by its number; the same as a table and as a dataset stated in full."""
    from PIL import Image

    for name, colour in zip(NAMES, ("red", "green", "blue"), strict=True):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 30), colour).save(path)
    ask(tmp_path, {"image_id": 10}, {"image_id": 2}, {"image_id": 1})
    rows = [f"{name},What is it?,a\n" for name in NAMES]
    (tmp_path / "qa.csv").write_text("image,question,answer\n" + "".join(rows))
    (tmp_path / "mine.toml").write_text(OWN + TABLE + FULL)
    shell = TinyShell(tmp_path)
    shell.configure("[sources]\ndatasets = mine.toml\n")
    return shell


def ask(folder, *rows):
    questions = [{"question_id": n, "question": f"about {n}?"} | row for n, row in enumerate(rows)]
    answers = [{"question_id": n, "answers": [{"answer": "yes"}]} for n in range(len(rows))]
    for answer, row in zip(answers, rows, strict=True):
        answer |= {"image_id": row["image_id"]} if "image_id" in row else {}
    (folder / "q.json").write_text(json.dumps({"questions": questions}))
    (folder / "a.json").write_text(json.dumps({"annotations": answers}))


def features(shell, image_set):
    """{name: (id, row)} of an image set's features."""
    from data.pictures.feature_file import read_features

    stored = read_features(shell.artifact("extract-features", image_set) / "features.h5")
    return {
        name: (int(number), stored.features[row].tolist())
        for row, (name, number) in enumerate(zip(stored.image_names, stored.image_ids, strict=True))
    }


def converted(shell):
    """The picture id of each question, by question id."""
    folder = shell.artifact("convert-own-data")
    entries = [
        entry
        for split in ("train", "val")
        for entry in json.loads((folder / f"{split}-questions.json").read_text())["questions"]
    ]
    return {entry["question_id"]: entry["image_id"] for entry in entries}


def test_questions_and_features_have_the_numbers_of_the_names(mine):
    mine("luigi", "ConvertOwnData", "--dataset", "mine")
    mine("luigi", "ExtractFeatures", *FLAGS, "mine")
    ours = features(mine, "mine")
    assert {name: number for name, (number, _) in ours.items()} == {
        "0001.png": 1,
        "b/img_2.png": 2,
        "10.png": 10,
    }
    assert converted(mine) == {0: 10, 1: 2, 2: 1}

    # a file without a number: refused as it stands, and the way out that the message names
    (mine.folder / "photos" / "10.png").rename(mine.folder / "photos" / "ten.png")
    output = mine("luigi", "ConvertOwnData", "--dataset", "mine", code=30)
    assert "1 of 3 pictures have no number of their own at the end of their name: ten.png. Rename" in output
    assert "or let each question name its file in image or file_name" in output
    output = mine("luigi", "ExtractFeatures", *FLAGS, "full", code=30)
    assert "official questions ask about these pictures by image_id, but 1 of 3 have no number" in output
    assert "Traceback" not in output


@pytest.mark.slow
def test_questions_that_name_their_file_need_no_numbers(mine):
    (mine.folder / "photos" / "10.png").rename(mine.folder / "photos" / "ten.png")
    names = {0: "ten.png", 1: "b/img_2.png", 2: "0001.png"}
    ask(mine.folder, {"image": "ten.png", "image_id": 10}, {"file_name": "img_2.png"}, {"image": names[2]})
    mine("luigi", "ConvertOwnData", "--dataset", "mine")
    mine("luigi", "ExtractFeatures", *FLAGS, "mine")
    ours = features(mine, "mine")
    assert converted(mine) == {number: ours[name][0] for number, name in names.items()}


@pytest.mark.slow
def test_a_table_of_the_same_pictures_keeps_its_ids(mine):
    for image_set in ("mine", "table"):
        mine("luigi", "ExtractFeatures", *FLAGS, image_set)
    ours, theirs = features(mine, "mine"), features(mine, "table")
    assert [theirs[name][0] for name in sorted(NAMES)] == [1, 2, 3]
    assert [ours[name][0] for name in sorted(NAMES)] == [1, 10, 2]
    assert (
        all(ours[name][1] == theirs[name][1] for name in NAMES) and ours["10.png"][1] != ours["0001.png"][1]
    )


@pytest.fixture
def stated(mine, artifacts, monkeypatch):
    """The datasets of `mine` in this process."""
    monkeypatch.setattr(sources, "_added", [mine.folder / "mine.toml"])
    sources._load.cache_clear()
    yield mine
    monkeypatch.undo()
    sources._load.cache_clear()


def ids_in_keys(dataset, model):
    """{stage: what its key says of ids} of all stages that say something."""
    import pipeline
    from tasks.contract.graph import walk

    stages = walk(pipeline.RunAll(dataset=dataset, model=model, weights="random:0"))
    by_stage = {stage.stage_name(): stage.key.parameters.get("ids") for stage in stages}
    return {name: ids for name, ids in by_stage.items() if ids}


def test_what_ids_mean_is_in_the_key_of_all_that_map_them_and_of_nothing_else(stated):
    own = dict.fromkeys(("convert-own-data", "extract-features", "report"), "numbers or paths")
    assert ids_in_keys("mine", "deeper-lstm") == own
    assert ids_in_keys("full", "deeper-lstm") == {"extract-features": "numbers", "report": "numbers"}
    assert ids_in_keys("full", "language-only") == {"report": "numbers"}
    for dataset in ("table", "sample", "vqa-v1", "vqa-v2"):
        assert ids_in_keys(dataset, "deeper-lstm") == {}


@pytest.mark.parametrize("dataset", ["mine", "full"])
def test_pages_show_the_picture_of_that_number(stated, dataset):
    from tasks.library.judged_questions import picture_reader

    photos = stated.folder / "photos"
    picture = picture_reader(SimpleNamespace(target=photos), dataset, "val")
    assert [picture(number) for number in (1, 2, 10)] == [
        (photos / name).read_bytes() for name in reversed(NAMES)
    ]
    with pytest.raises(DataError, match=r"images that .*photos lacks \(image_id 3\)"):
        picture(3)
