"""Official JSON of your own: which picture each question is about, and what is refused."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from own_files import pictures, read_split, table

from data.base.errors import DataError
from data.catalog.entries import Own
from data.own.convert import convert
from data.own.official_questions import read_official


def official(folder, *rows):
    """Both files, a question a row: its image_id, or what its entry has of image_id, image and file_name."""
    rows = [row if isinstance(row, dict) else {"image_id": row} for row in rows]
    questions = [{"question_id": n, "question": "Is it?"} | row for n, row in enumerate(rows, 7)]
    annotations = [{"question_id": n, "answers": [{"answer": "yes"}]} for n in range(7, 7 + len(rows))]
    for annotation, row in zip(annotations, rows, strict=True):
        annotation |= {"image_id": row["image_id"]} if "image_id" in row else {}
    return (
        table(folder, json.dumps({"questions": questions}), "q.json"),
        table(folder, json.dumps({"annotations": annotations}), "a.json"),
    )


def asked_about(tmp_path, images, *rows):
    """The name of the picture that each converted question is about, in the order of the rows."""
    questions, annotations = official(tmp_path, *rows)
    own = Own(
        dict.fromkeys(("train", "val"), questions), dict.fromkeys(("train", "val"), annotations), 0.2, 0
    )
    convert(own, {"": images}, tmp_path)
    pairs = read_split(tmp_path, "train")
    assert all(question.image_id == annotation.image_id for question, annotation in pairs)
    name_of = dict(zip(images.ids.tolist(), images.names, strict=True))
    return [name_of[question.image_id] for question, _ in pairs]


def test_official_files_keep_their_ids_and_may_be_split(tmp_path):
    images = pictures(
        tmp_path / "p", "COCO_my_000000000012.jpg", "34.jpg", "5/b7.png", ids="numbers or paths"
    )
    questions, annotations = official(tmp_path, 34, 12, 12)
    convert(Own({"": questions}, {"": annotations}, 0.5, 0), {"": images}, tmp_path)
    pairs = [*read_split(tmp_path, "train"), *read_split(tmp_path, "val")]
    assert {(q.question_id, q.image_id) for q, _ in pairs} == {(7, 34), (8, 12), (9, 12)}
    assert {(annotation.answer_type, annotation.question_type) for _, annotation in pairs} == {
        ("yes/no", "is")
    }


@given(st.sets(st.integers(0, 2**63 - 1), min_size=1, max_size=8), st.randoms())
def test_an_official_id_is_the_picture_whose_name_ends_in_it(tmp_path_factory, numbers, random):
    """Whatever the names look like beside their number, and however they sort."""
    tmp_path = tmp_path_factory.mktemp("own")
    form = random.choice(["{}.jpg", "{:020}.png", "COCO_x_{}.jpg", "b/img-{:03}.jpg", "{0}/{0}.gif"])
    names = {number: form.format(number) for number in numbers}
    images = pictures(tmp_path / "p", *names.values(), ids="numbers or paths")
    wanted = random.choices(sorted(numbers), k=9)
    assert asked_about(tmp_path, images, *wanted) == [names[number] for number in wanted]
    assert dict(zip(images.ids.tolist(), images.names, strict=True)) == names


MANY = [f"{letter}.jpg" for letter in "abcdefghijkl"]


@pytest.mark.parametrize(
    "names, rows, message",
    [
        (
            ["1.jpg", "cat.jpg"],
            [1],
            r"1 of 1 questions ask by image_id, but 1 of 2 pictures have no number .*: cat",
        ),
        (
            ["a/2.jpg", "b/02.jpg"],
            [2],
            r"1 of 2 pictures .*: b/02\.jpg \(2, as a/2\.jpg\)\. Rename or remove",
        ),
        (["2.jpg", "2.png"], [2], r"2\.png \(2, as 2\.jpg\)"),
        (
            ["2_a.jpg", "3.jpg"],
            [3],
            r"2_a\.jpg\. Rename .* or let each question name its file in image or file_name",
        ),
        (["1.jpg", "a\nb.jpg"], [1], r"1 of 2 pictures .*: a\\nb\.jpg\. Rename"),
        (["a\nb1.jpg"], [2], r"ends in 2\)\. .*such as a\\nb1\.jpg\."),
        (["1.jpg", *MANY], [1], r"12 of 13 .*: a\.jpg, b.*, j\.jpg; and 2 more\."),
        (
            ["1.jpg"],
            [1, 9, 9, 8],
            r"3 of 4 questions .* \(question_id 8: no picture's name ends in 9; question_id 9: .*in 8\)\. .*or let",
        ),
        (
            ["1.jpg"],
            range(2, 30),
            r"28 of 28 .*\(question_id 7: .* ends in 2; .* ends in 11; and 18 more\)\. .*has 1 pictures",
        ),
        (
            ["1.jpg", "a.jpg"],
            [{"image": "a.jpg"}, 1],
            r"1 of 2 questions ask by image_id, but 1 of 2 pictures",
        ),
        (
            ["1.jpg"],
            [{"image": "c.jpg"}],
            r"1 of 1 questions can't be used \(question_id 7: no picture 'c\.jpg'\)",
        ),
        (
            ["1.jpg"],
            [{"image": f"{n}.jpg"} for n in range(9, 30)],
            r"21 of 21 .*'18\.jpg'; nearest: '1\.jpg'; and 11 more\)",
        ),
        (
            ["a/1.jpg", "b/1.jpg"],
            [{"file_name": "1.jpg"}],
            "several pictures are called '1.jpg': give the folder",
        ),
        (["1.jpg"], [{}], "question_id 7: it has no image_id, image or file_name"),
        (["1.jpg"], [{"image": " ", "file_name": None}], "no image_id, image or file_name"),
        (
            ["1.jpg", "2.jpg"],
            [{"image": "1.jpg", "file_name": "2.jpg"}],
            "'1.jpg' and file_name '2.jpg' are two pi",
        ),
        (
            ["1.jpg", "2.jpg"],
            [{"image": "1.jpg", "image_id": 2}],
            r"image_id 2 is 2\.jpg, but it names '1\.jpg'",
        ),
        (
            ["a.jpg", "b.jpg"],
            [{"image": "a.jpg", "image_id": 5}, {"image": "b.jpg", "image_id": 5}],
            r"1 of 2 .*question_id 8: image_id 5 is a\.jpg, but it names 'b\.jpg'",
        ),
        (
            ["1.jpg"],
            [-1],
            r"2 of 1 questions and 1 annotations can't be used \(position 0, question_id 7: Expected `int`",
        ),
        (["1.jpg"], [1.0], "Expected `int`, got `float`"),
        (["1.jpg"], ["1"], "Expected `int`, got `str`"),
    ],
)
def test_official_ids_that_do_not_agree_with_the_names_are_refused(tmp_path, names, rows, message):
    images = pictures(tmp_path / "photos", *names, ids="numbers or paths")
    with pytest.raises(DataError, match=message) as caught:
        asked_about(tmp_path, images, *rows)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "rows",
    [
        [{"image": "b/dog.jpg"}, {"file_name": "cat.jpg"}],  # without an image_id
        [{"image": "dog.jpg", "image_id": 1}, {"image": "cat.jpg", "file_name": "cat.jpg", "image_id": 0}],
        [{"image": " ./b/dog.jpg ", "image_id": 2}, {"image": "", "file_name": "cat.jpg", "image_id": 1}],
    ],
)
@pytest.mark.parametrize("third", ["7.jpg", "fish.jpg"])
def test_official_questions_may_name_their_file(tmp_path, rows, third):
    """Then the names need no numbers, and an image_id that is no other picture's means nothing."""
    images = pictures(tmp_path / "p", "cat.jpg", "b/dog.jpg", third, ids="numbers or paths")
    assert asked_about(tmp_path, images, *rows) == ["b/dog.jpg", "cat.jpg"]


def test_numbers_mean_nothing_where_a_name_lacks_one(tmp_path):
    """7 may then be the id of cat.jpg beside a 7.jpg: the question names its file, and no number counts."""
    images = pictures(tmp_path / "p", "7.jpg", "cat.jpg", ids="numbers or paths")
    rows = [{"image": "cat.jpg", "image_id": 7}, {"image": "7.jpg", "image_id": 8}]
    assert asked_about(tmp_path, images, *rows) == ["cat.jpg", "7.jpg"]


def test_named_files_and_ids_may_be_mixed_where_the_names_agree(tmp_path):
    images = pictures(tmp_path / "p", "img_1.jpg", "img_2.jpg", "img_10.jpg", ids="numbers or paths")
    rows = [
        2,
        {"image": "img_10.jpg"},
        {"image": "img_2.jpg", "image_id": 2},
        {"file_name": "img_1.jpg", "image_id": 50},
    ]
    assert asked_about(tmp_path, images, *rows) == ["img_2.jpg", "img_10.jpg", "img_2.jpg", "img_1.jpg"]


def test_an_id_that_only_the_annotation_has_counts(tmp_path):
    images = pictures(tmp_path / "p", "1.jpg", "2.jpg", ids="numbers or paths")
    questions, annotations = official(tmp_path, {"image": "1.jpg", "image_id": 2})
    questions.write_text(questions.read_text().replace(', "image_id": 2', ""))
    with pytest.raises(DataError, match=r"image_id 2 is 2\.jpg, but it names '1\.jpg'"):
        read_official(questions, annotations, images)
    annotations.write_text(annotations.read_text().replace(', "image_id": 2', ', "image_id": 1'))
    [(question, annotation)] = read_official(questions, annotations, images)
    assert question.image_id == annotation.image_id == 1


def test_choices_of_official_questions_stay(tmp_path):
    images = pictures(tmp_path / "p", "3.jpg", "a4.jpg", ids="numbers or paths")
    row = {"multiple_choices": ["yes", "no"]}
    assert asked_about(tmp_path, images, row | {"image_id": 4}, row | {"image": "3.jpg"}) == [
        "a4.jpg",
        "3.jpg",
    ]
    assert {question.multiple_choices for question, _ in read_split(tmp_path, "val")} == {("yes", "no")}


def test_official_splits_each_with_their_own_pictures(tmp_path):
    """One number may be in both sets: it means the picture of the split's own."""
    images = {
        "train": pictures(tmp_path / "train", "2.jpg", "10.jpg", ids="numbers or paths"),
        "val": pictures(tmp_path / "val", "x/10.jpg", "x/11.jpg", ids="numbers or paths"),
    }
    questions, annotations = official(tmp_path, 10)
    own = Own(dict.fromkeys(images, questions), dict.fromkeys(images, annotations), 0.2, 0)
    convert(own, images, tmp_path)
    assert [read_split(tmp_path, split)[0][0].image_id for split in images] == [10, 10]
    questions.write_text(questions.read_text().replace(": 10", ": 2"))
    annotations.write_text(annotations.read_text().replace(": 10", ": 2"))
    with pytest.raises(DataError, match=r"ends in 2\)\. .*val has 2 pictures"):
        convert(own, images, tmp_path)
