"""Official JSON is read as it is; everything wrong with it is refused with place and count."""

from __future__ import annotations

import gzip
import json
import zipfile
from pathlib import Path

import pytest

from data.base.errors import DataError
from data.text.official_json import read_annotations, read_questions
from data.text.pairing import check_images, check_pairs, in_order

REAL = Path(__file__).parents[3].parent / "shared" / "data" / "vqa_v2_real"
needs_real = pytest.mark.skipif(not REAL.is_dir(), reason="shared/data/vqa_v2_real is not here")


def question(number=1, **changes):
    return {"image_id": 7, "question": "Is it red?", "question_id": number} | changes


def annotation(number=1, answers=("yes",) * 10, **changes):
    humans = [
        {"answer": text, "answer_confidence": "yes", "answer_id": n} for n, text in enumerate(answers, 1)
    ]
    types = {"question_type": "is it", "answer_type": "yes/no", "multiple_choice_answer": "yes"}
    return types | {"image_id": 7, "question_id": number, "answers": humans} | changes


def without(entry, *fields):
    return {name: value for name, value in entry.items() if name not in fields}


@pytest.fixture
def file(tmp_path):
    """Write bytes, or entries under a field's name, and return the path."""

    def write(content, field="questions") -> Path:
        path = tmp_path / f"{field}.json"
        if not isinstance(content, bytes):
            content = json.dumps({"info": {}, field: content, "license": {"name": "x"}}).encode()
        path.write_bytes(content)
        return path

    return write


def questions_of(file, *entries):
    return read_questions(file(list(entries)))


def annotations_of(file, *entries, **options):
    return read_annotations(file(list(entries), "annotations"), **options)


def test_questions_in_file_order(file):
    first, second = questions_of(file, question(9, question="¿Qué?"), question(2, image_id=2**63 - 1))
    assert (first.question_id, first.image_id, first.question) == (9, 7, "¿Qué?")
    assert (second.question_id, second.image_id, second.multiple_choices) == (2, 2**63 - 1, None)


def test_annotations_in_file_order(file):
    (entry,) = annotations_of(file, annotation(3, answers=["a"] * 9 + ['b, "c"']))
    assert entry.answers == ("a",) * 9 + ('b, "c"',)
    assert (entry.question_type, entry.answer_type, entry.multiple_choice_answer) == (
        "is it",
        "yes/no",
        "yes",
    )


def test_multiple_choices(file):
    (entry,) = questions_of(file, question(multiple_choices=["yes", "no"]))
    assert entry.multiple_choices == ("yes", "no")
    with pytest.raises(DataError, match=r"1 of 2 questions \(question_id 2\) have no multiple_choices"):
        questions_of(file, question(multiple_choices=["yes"]), question(2))
    with pytest.raises(DataError, match=r"1 of 2 questions \(question_id 1\) have no multiple_choices"):
        questions_of(file, question(multiple_choices=[]), question(2, multiple_choices=["yes"]))


def test_a_member_of_a_zip_and_a_byte_order_mark(tmp_path):
    content = b"\xef\xbb\xbf" + json.dumps({"questions": [question(5)]}).encode()
    with zipfile.ZipFile(tmp_path / "q.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("q.json", content)
    (tmp_path / "q.json").write_bytes(content)
    (inside,) = read_questions(tmp_path / "q.zip", "q.json")
    assert [inside] == read_questions(tmp_path / "q.json")
    with pytest.raises(DataError, match=r"no member other\.json"):
        read_questions(tmp_path / "q.zip", "other.json")
    assert [inside] == read_questions(tmp_path / "q.zip")


def test_what_repeats_itself_is_kept_once(file):
    first, second = annotations_of(file, annotation(1), annotation(2))
    assert first.answer_type is second.answer_type
    assert first.multiple_choice_answer is second.multiple_choice_answer


@pytest.mark.parametrize(
    "bad, why",
    [
        (without(question(), "question"), "missing required field `question`"),
        (without(question(), "question_id"), "missing required field `question_id`"),
        (question(question=None), "Expected `str`, got `null` - at `$.question`"),
        (question("1"), "Expected `int`, got `str` - at `$.question_id`"),
        (question(True), "Expected `int`, got `bool`"),
        (question(1.5), "Expected `int`, got `float`"),
        (question(-1), "Expected `int` >= 0"),
        (question(image_id=2**63), "Expected `int` <= 9223372036854775807"),
        (question(image_id=10**400), "Expected `int` <= 9223372036854775807"),
        ([], "Expected `object`, got `array`"),
        (None, "Expected `object`, got `null`"),
    ],
)
def test_a_malformed_question_is_named(file, bad, why):
    with pytest.raises(DataError) as caught:
        questions_of(file, question(5), bad, question(6), bad)
    text = str(caught.value)
    assert "questions.json" in text and "2 of 4 questions are malformed" in text
    assert "position 1" in text and "position 3" in text and why in text


@pytest.mark.parametrize(
    "bad, why",
    [
        (without(annotation(8), "answers"), "missing required field `answers`"),
        (without(annotation(8), "answer_type"), "missing required field `answer_type`"),
        (without(annotation(8), "multiple_choice_answer"), "missing required field `multiple_choice_answer`"),
        (annotation(8, answers=["a"] * 9), "9 answers, expected 10"),
        (annotation(8, answers=["a"] * 11), "11 answers, expected 10"),
        (annotation(8, answers=[*["a"] * 9, 3]), "Expected `str`, got `int` - at `$.answers[9].answer`"),
        (annotation(8, answers=[]), "0 answers, expected 10"),
    ],
)
def test_a_malformed_annotation_is_named(file, bad, why):
    with pytest.raises(DataError) as caught:
        annotations_of(file, annotation(5), bad)
    text = str(caught.value)
    assert "1 of 2 annotations are malformed (position 1, question_id 8" in text and why in text


def test_many_faults_are_counted_and_three_shown(file):
    with pytest.raises(DataError, match=r"9 of 9 questions .*position 2.*; and 6 more") as caught:
        questions_of(file, *[question("x")] * 9)
    assert "position 3" not in str(caught.value)


@pytest.mark.parametrize(
    "content, why",
    [
        (b"", "truncated"),
        (b'{"questions": [{"question_id": 1,', "truncated"),
        (b'{"questions": [{"question_id": NaN}]}', "byte 31"),
        (b'{"questions": [{"question_id": Infinity}]}', "byte 31"),
        (b'{"questions": []} {}', "trailing"),
        (b"PK nonsense", "byte 0"),
        (b'{"questions": ' + b"[" * 100_000, "nested too deeply"),
        (b'{"x": ' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b', "questions": []}', "nested too deeply"),
    ],
)
def test_what_is_no_json(file, content, why):
    with pytest.raises(DataError) as caught:
        read_questions(file(content))
    assert (
        "questions.json" in str(caught.value) and "not JSON" in str(caught.value) and why in str(caught.value)
    )


@pytest.mark.parametrize(
    "text, why",
    [
        (b"\\ud800 and more text", "ud800 an"),
        (b"\xed\xa0\x80", "utf-8"),
        (b"\xff", "utf-8"),
        (b"\\x", "escape"),
    ],
)
def test_text_that_is_no_unicode(file, text, why):
    with pytest.raises(DataError) as caught:
        read_questions(
            file(b'{"questions": [{"question_id": 4, "image_id": 1, "question": "' + text + b'"}]}')
        )
    assert why in str(caught.value).lower()


@pytest.mark.parametrize(
    "content, why",
    [(b"[]", "got `array`"), (b'{"annotations": []}', "`questions`"), (b'{"questions": {}}', "got `object`")],
)
def test_json_of_another_kind(file, content, why):
    with pytest.raises(DataError, match=r"no questions file") as caught:
        read_questions(file(content))
    assert why in str(caught.value)


def test_another_encoding_is_named(file):
    with pytest.raises(DataError, match=r"questions\.json: not UTF-8 text: byte 1 is zero"):
        read_questions(file("{}".encode("utf-16-le")))


def test_no_questions_and_no_file(file, tmp_path):
    with pytest.raises(DataError, match="holds no questions"):
        questions_of(file)
    with pytest.raises(DataError, match="can't be read"):
        read_questions(tmp_path / "absent.json")


def test_an_id_twice(file):
    entries = [question(number) for number in (1, 2, 3, 2, 3, 3)]
    with pytest.raises(DataError, match=r"3 of 6 questions \(question_id 2, 3, 3\) have the question_id"):
        questions_of(file, *entries)
    with pytest.raises(DataError, match=r"1 of 2 annotations \(question_id 4\)"):
        annotations_of(file, annotation(4), annotation(4))


def test_pairs(file):
    questions = questions_of(file, question(1), question(2), question(3))
    annotations = annotations_of(file, annotation(3), annotation(1), annotation(2, image_id=8))
    with pytest.raises(DataError, match=r"1 of 3 annotations name another image .*question_id 2"):
        in_order(annotations, questions)
    with pytest.raises(
        DataError, match=r"2 of 2 questions have no annotation .*2, 3.*; 1 of 1 ann.*question_id 1"
    ):
        check_pairs(questions[1:], annotations[1:2])
    with pytest.raises(DataError, match=r"1 of 2 questions have the id of another"):
        in_order(annotations[:2], [questions[0], questions[0]])
    with pytest.raises(DataError, match=r"1 of 3 annotations have the id of another"):
        in_order([*annotations[:2], annotations[0]], questions[::2])
    assert [pair.question_id for pair in in_order(annotations[:2], questions[::2])] == [1, 3]


def test_images():
    check_images([7, 9, 9], [7, 8, 9])
    with pytest.raises(DataError, match=r"2 of 3 questions are about 1 images that train2014 lacks .*9"):
        check_images([7, 9, 9], [7, 8], "train2014")


def test_own_data_may_have_fewer_humans_and_no_types(file):
    bare = [
        without(annotation(number, answers), "answer_type", "question_type", "multiple_choice_answer")
        for number, answers in enumerate([["b", "a", "b", "a"], ["No"], ["two"], ["3.5"], ["red"]], 1)
    ]
    entries = annotations_of(file, *bare, own_data=True)
    assert [entry.multiple_choice_answer for entry in entries] == ["a", "No", "two", "3.5", "red"]
    assert [entry.answer_type for entry in entries] == ["other", "yes/no", "number", "number", "other"]
    questions = questions_of(
        file, *[question(n, question=text) for n, text in enumerate(["How big?", ""], 1)]
    )
    assert [entry.question_type for entry in in_order(entries[:2], questions)] == ["how", "none"]
    with pytest.raises(DataError, match="0 answers, expected one to 10"):
        annotations_of(file, annotation(1, []), own_data=True)
    with pytest.raises(DataError, match="11 answers, expected one to 10"):
        annotations_of(file, annotation(1, ["a"] * 11), own_data=True)


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    folder = tmp_path_factory.mktemp("real")
    for packed in REAL.glob("*.json.gz"):
        (folder / packed.stem).write_bytes(gzip.decompress(packed.read_bytes()))
    return folder


@needs_real
def test_real_files_lose_nothing(real):
    for name, read in (("OpenEnded_mscoco_train2014_questions", read_questions),
                       ("mscoco_train2014_annotations", read_annotations)):  # fmt: skip
        path = real / f"v2_{name}.json"
        entries = json.loads(path.read_text(encoding="utf-8"))[name.split("_")[-1]]
        typed = read(path)
        assert len(typed) == len(entries) == 8_977
        for record, entry in zip(typed, entries, strict=True):
            assert (record.question_id, record.image_id) == (entry["question_id"], entry["image_id"])
            if read is read_questions:
                assert record.question == entry["question"]
            else:
                assert list(record.answers) == [human["answer"] for human in entry["answers"]]


@needs_real
def test_real_pairs(real):
    questions = read_questions(real / "v2_OpenEnded_mscoco_train2014_questions.json")
    annotations = read_annotations(real / "v2_mscoco_train2014_annotations.json")
    assert in_order(annotations[::-1], questions) == annotations
    check_images([entry.image_id for entry in questions], {entry.image_id for entry in annotations})
