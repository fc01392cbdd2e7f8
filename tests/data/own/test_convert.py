"""One's own pictures and tables: what is written, how it is split, and what is refused."""

from __future__ import annotations

import json
import unicodedata
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st
from own_files import pictures, read_split, table

from data.base.errors import DataError
from data.catalog import sources
from data.catalog.entries import Own
from data.own.convert import convert
from data.own.tables import read_rows
from data.pictures.image_sets import open_images

HEAD = "image,question,answer\n"


def converted(tmp_path, text, *names, name="qa.csv", val=0.5, seed=0, images=None):
    """The pairs of each split, and what `convert` returned."""
    images = images or pictures(tmp_path / "photos", *(names or ("a.jpg", "b.jpg")))
    path = table(tmp_path, text, name)
    out = tmp_path / "out"
    out.mkdir(exist_ok=True)
    told = convert(Own({"": path}, {}, val, seed), {"": images}, out)
    return {split: read_split(out, split) for split in ("train", "val")}, told


def test_a_table_becomes_official_files_with_ids_types_and_consensus(tmp_path):
    text = HEAD + 'a.jpg,What is it?,cat|dog|cat\nb.jpg,"How many, in all?",2\n'
    splits, told = converted(tmp_path, text)
    pairs = sorted([*splits["train"], *splits["val"]], key=lambda pair: pair[0].question_id)
    assert [(q.question_id, q.image_id, q.question) for q, _ in pairs] == [
        (1, 1, "What is it?"),
        (2, 2, "How many, in all?"),
    ]
    first, second = (annotation for _, annotation in pairs)
    assert first.answers == ("cat", "dog", "cat") and first.multiple_choice_answer == "cat"
    assert (first.question_type, first.answer_type) == ("what", "other")
    assert (second.question_type, second.answer_type) == ("how", "number")
    assert told.counts == {"train": {"questions": 1, "pictures": 1}, "val": {"questions": 1, "pictures": 1}}
    written = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert written == [f"{s}-{what}.json" for s in ("train", "val") for what in ("annotations", "questions")]
    # complete as the official files are: no reader has to know that it is own data, but for the ten answers
    [entry] = json.loads((tmp_path / "out" / "train-annotations.json").read_text())["annotations"]
    assert entry.keys() >= {"question_type", "answer_type", "multiple_choice_answer"} and all(entry.values())


def test_stated_types_are_kept_and_other_columns_named(tmp_path):
    text = (
        "who,answer_type,image,question,answer,question_type\nI,size,a.jpg,Big?,no,big\nI,,b.jpg,Big?,yes,\n"
    )
    splits, told = converted(tmp_path, text)
    types = {
        (annotation.answer_type, annotation.question_type)
        for pairs in splits.values()
        for _, annotation in pairs
    }
    assert types == {("size", "big"), ("yes/no", "big?")}
    assert told.doubts == ["qa.csv: columns not read: who"]


def test_jsonl_is_the_same_table(tmp_path):
    lines = [
        {"image": "a.jpg", "question": "What is it?", "answer": ["cat", "a|b"]},
        {"image": "b.jpg", "question": "Is it?", "answer": "yes"},
    ]
    text = "\n\n".join(json.dumps(line) for line in lines)
    splits, _ = converted(tmp_path, text, name="qa.jsonl")
    answers = {annotation.answers for pairs in splits.values() for _, annotation in pairs}
    assert answers == {("cat", "a|b"), ("yes",)}


def test_a_byte_order_mark_blank_lines_and_spaces_are_no_matter(tmp_path):
    text = "\ufeffImage , question,ANSWER\r\n a.jpg , Was ist größer? , der Bär | ja \r\n\r\n"
    [row], ignored = read_rows(table(tmp_path, text))
    assert (row.number, row.image, row.question) == (2, "a.jpg", "Was ist größer?")
    assert row.answers == ("der Bär", "ja") and not ignored


def test_pictures_are_found_by_path_by_its_end_and_in_either_spelling_of_an_accent(tmp_path):
    images = pictures(
        tmp_path / "p", "x/a.jpg", "x/b.jpg", "y/b.jpg", "b.jpg", unicodedata.normalize("NFD", "é.jpg")
    )
    text = HEAD + "a.jpg,q,a\nx/b.jpg,q,a\nb.jpg,q,a\n./y/b.jpg,q,a\né.jpg,q,a\n"
    splits, _ = converted(tmp_path, text, images=images)
    pairs = sorted([*splits["train"], *splits["val"]], key=lambda pair: pair[0].question_id)
    names = dict(zip(images.ids.tolist(), images.names, strict=True))
    named = [unicodedata.normalize("NFC", names[question.image_id]) for question, _ in pairs]
    assert named == ["x/a.jpg", "x/b.jpg", "b.jpg", "y/b.jpg", "é.jpg"]


def test_a_zip_of_pictures_serves_as_its_folder(tmp_path):
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as file:
        for name in ("photos/a.jpg", "photos/b.jpg", "photos/notes.txt"):
            file.writestr(name, b"x")
    splits, _ = converted(
        tmp_path, HEAD + "a.jpg,q,a\nphotos/b.jpg,q,a\n", images=open_images(tmp_path / "photos.zip")
    )
    assert {q.image_id for pairs in splits.values() for q, _ in pairs} == {1, 2}


@given(
    asked=st.lists(st.integers(0, 19), min_size=4, max_size=60),
    val=st.floats(0.2, 0.8),
    seed=st.integers(0, 3),
)
def test_the_split_is_by_picture_seeded_and_of_the_stated_share(tmp_path_factory, asked, val, seed):
    distinct = len(set(asked))
    if not 0 < round(val * distinct) < distinct:
        return
    tmp_path = tmp_path_factory.mktemp("own")
    names = [f"{number}.jpg" for number in range(20)]
    text = HEAD + "".join(f"{number}.jpg,q,a\n" for number in asked)
    splits, _ = converted(tmp_path, text, *names, val=val, seed=seed)
    train, held = ({q.image_id for q, _ in splits[split]} for split in ("train", "val"))
    assert not train & held and len(held) == round(val * distinct)
    assert len(splits["train"]) + len(splits["val"]) == len(asked)
    again, _ = converted(tmp_path, text, *names, val=val, seed=seed)
    assert again == splits


def test_another_seed_holds_out_other_pictures(tmp_path):
    names = [f"{number}.jpg" for number in range(40)]
    text = HEAD + "".join(f"{name},q,a\n" for name in names)
    held = [
        {q.image_id for q, _ in converted(tmp_path, text, *names, seed=seed)[0]["val"]} for seed in (0, 1)
    ]
    assert held[0] != held[1]


def test_own_splits_each_with_their_own_pictures(tmp_path):
    images = {split: pictures(tmp_path / split, "a.jpg", "b.jpg") for split in ("train", "val")}
    tables = {
        "train": table(tmp_path, HEAD + "a.jpg,q,a\nb.jpg,q,b\n", "t.csv"),
        "val": table(tmp_path, HEAD + "b.jpg,q,a\n", "v.csv"),
    }
    told = convert(Own(tables, {}, 0.2, 0), images, tmp_path)
    assert told.counts["train"]["questions"] == 2
    [(question, _)] = read_split(tmp_path, "val")
    assert (question.question_id, question.image_id) == (3, 2)  # ids go on from train's


@pytest.mark.parametrize(
    "text, message",
    [
        ("picture,question,answer\na,b,c\n", r"qa.csv: row 1 has no column image; found 'picture'"),
        ("image|question|answer\na|b|c\n", "found 'image|question|answer'.*commas, semicolons or tabs"),
        ("image,question,answer,answer\n", "column answer twice"),
        ("", "row 1 has no column image, question, answer; found nothing"),
        (HEAD, "holds no questions"),
        (HEAD + "a.jpg,,x\na.jpg,q,x\n", r"1 of 2 rows can't be used \(row 2: empty question\)"),
        (HEAD + "a.jpg,q,x\na.jpg,q,x|\n", r"row 3: empty answer"),
        (HEAD + "a.jpg,q,\n", "empty answer"),
        (HEAD + ",q,a\n", "empty image"),
        (HEAD + "a.jpg,q," + "|".join("abcdefghijk") + "\n", "11 answers, expected one to 10"),
        (HEAD + "a.jpg,What, sir,a\n", "4 cells, expected 3"),
        (
            HEAD + "a.jpg,q,a\n" + "c.jpg,q,a\n" * 5,
            "5 of 6 rows.*row 3: no picture 'c.jpg'.*row 7: no.*has 2 pict",
        ),
        (HEAD + 'a.jpg,"q,a\n', r"row 2: not CSV at line 2 \(unexpected end of data"),
        (HEAD.encode() + b"a.jpg,q,\xff\n", "line 2 is not UTF-8"),
        (HEAD + "a.jpg,q,a\n", "val = 0.5 of 1 picture with .* leaves nothing for"),
    ],
)
def test_what_cannot_be_used_is_named_with_its_row(tmp_path, text, message):
    with pytest.raises(DataError, match=message) as caught:
        converted(tmp_path, text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "line, message",
    [
        ('{"image": "a.jpg", "question": "q"}', "row 1: no answer"),
        ('{"image": "a.jpg", "question": "q", "answer": []}', "0 answers"),
        ('{"image": "a.jpg", "question": "q", "answer": 2}', "answer 2 is not a text: put it in quotes"),
        ('{"image": "a.jpg", "question": ["q"], "answer": "a"}', "is not a text"),
        ('["a.jpg"]', "not an object"),
        ('{"image": "a.jpg", "question": NaN}', "not JSON"),
        ('{"image": "\\ud800", "question": "q", "answer": "a"}', "not JSON"),
        ("[" * 5000, "not JSON"),
    ],
)
def test_lines_that_are_no_question_are_named(tmp_path, line, message):
    with pytest.raises(DataError, match=message):
        converted(tmp_path, line, name="qa.jsonl")


def test_two_pictures_of_one_name_need_their_folders(tmp_path):
    images = pictures(tmp_path / "p", "x/b.jpg", "y/b.jpg")
    with pytest.raises(DataError, match=r"row 2: several pictures are called 'b.jpg'"):
        converted(tmp_path, HEAD + "b.jpg,q,a\n", images=images)


@pytest.fixture
def stated(tmp_path, monkeypatch):
    """Put a TOML file beside the catalog; returns the dataset of that name."""

    def state(text, name="mine"):
        path = table(tmp_path, text, "mine.toml")
        monkeypatch.setattr(sources, "_added", [path])
        sources._load.cache_clear()
        return sources.dataset(name)

    yield state
    monkeypatch.undo()
    sources._load.cache_clear()


def test_defaults_are_flags_in_toml_or_as_text(stated):
    flags = 'epochs = 3\nlearning_rate = 1e-3\nfine_tune_embeddings = true\nmodel = "bag-of-words"\n'
    dataset = stated(f'[own.mine]\npictures = "p"\nquestions = "q.csv"\n[own.mine.defaults]\n{flags}')
    assert dataset.defaults == {
        "epochs": "3",
        "learning_rate": "0.001",
        "fine_tune_embeddings": "true",
        "model": "bag-of-words",
    }


def test_two_lines_state_a_dataset(stated, tmp_path):
    dataset = stated('[own.mine]\npictures = "photos"\nquestions = "qa.csv"\n')
    assert dataset.own == Own({"": tmp_path / "qa.csv"}, {}, 0.2, 0)
    assert dataset.humans is None and dataset.parts("trainval") == ("train", "val")
    assert {split.image_set for split in dataset.splits.values()} == {"mine"}
    assert sources.image_set("mine").source.path == tmp_path / "photos"


def test_pictures_of_each_split_are_image_sets_of_their_own(stated):
    dataset = stated(
        '[own.mine]\npictures = { train = "a", val = "b.zip" }\n'
        'questions = { train = "t.json", val = "v.json" }\nannotations = { train = "x.json", val = "y.json" }\n'
    )
    assert [split.image_set for split in dataset.splits.values()] == ["mine-train", "mine-val"]


@pytest.mark.parametrize(
    "name, lines, message",
    [
        ("vqa-v1", 'pictures = "p"\nquestions = "q.csv"', "'vqa-v1' is the name of another dataset"),
        ("train2014", 'pictures = "p"\nquestions = "q.csv"', "'train2014' is the name of another"),
        ("mine", 'questions = "q.csv"', "pictures is missing: expected a path"),
        ("mine", 'pictures = "p"', "questions is missing: expected a path"),
        ("mine", 'pictures = 3\nquestions = "q.csv"', "own.mine.pictures: expected a table"),
        ('"a\\nERROR: b"', 'pictures = "p"\nquestions = "q.csv"', "control characters stand in the name"),
        ("mine", 'pictures = "p"\nquestions = { train = "q.csv" }', "questions = .*expected a path, or"),
        ("mine", 'pictures = "p"\nquestion = "q.csv"', "question.*nearest: questions"),
        ("mine", 'pictures = "p"\nquestions = "q.xlsx"', "q.xlsx: expected .csv, .tsv.* saved as CSV"),
        ("mine", 'pictures = "p"\nquestions = "q.csv"\nannotations = "a.json"', "q.csv: expected .json"),
        ("mine", 'pictures = "p"\nquestions = "q.csv"\nval = 1', "val = 1.0: expected a share"),
        (
            "mine",
            'pictures = "p"\nquestions = { train = "t.csv", val = "v.csv" }\nseed = 1',
            "seed does nothing",
        ),
        ("mine", 'pictures = { train = "a", val = "b" }\nquestions = "q.csv"', "need questions of each"),
    ],
)
def test_a_slip_in_the_file_is_named(stated, name, lines, message):
    with pytest.raises(DataError, match=message):
        stated(f"[own.{name}]\n{lines}\n", name)
