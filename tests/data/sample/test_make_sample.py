"""The embedded sample: real formats, repeatable, and answers that need the picture."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections import Counter
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from data.catalog import sources
from data.pictures.image_sets import open_images
from data.sample.make_sample import QUESTIONS, make_sample
from data.sample.scene_questions import CHOICES, HUMANS, answers_of_ten, ask, choices
from data.sample.scenes import COLOURS, SHAPES, draw, make_scene
from data.sample.sizes import SIZES
from data.scoring.baselines import baselines
from data.text.glove import read_vectors
from data.text.official_json import read_annotations, read_questions
from data.text.pairing import in_order

SPLITS = ("train", "val")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    return folder, make_sample(folder, **SIZES["tiny"])


def questions_of(folder, split, task="OpenEnded"):
    path = folder / f"Questions_{split.capitalize()}_sample.zip"
    return read_questions(path, f"{task}_sample_{split}_questions.json")


def annotations_of(folder, split):
    path = folder / f"Annotations_{split.capitalize()}_sample.zip"
    return read_annotations(path, f"sample_{split}_annotations.json")


def test_the_catalog_finds_every_file_and_member(tiny):
    folder, _ = tiny
    dataset = sources.dataset("sample")
    wanted = {"glove.sample.zip": {"glove.sample.300d.txt"}}
    for split in SPLITS:
        of_split = dataset.split(split)
        wanted[sources.image_set(of_split.image_set).source.file] = set()
        (members,) = of_split.members.values()
        wanted[of_split.questions.file] = set(members.values())
        wanted[of_split.annotations.file] = {of_split.annotations_member}
    assert set(wanted) == {path.name for path in folder.iterdir()}
    for name, members in wanted.items():
        with zipfile.ZipFile(folder / name) as file:
            assert members <= set(file.namelist())


def test_the_same_bytes_again_and_others_for_another_seed(tiny, tmp_path):
    def digests(folder):
        return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}

    for name, seed in (("again", 0), ("other", 1)):
        (tmp_path / name).mkdir()
        make_sample(tmp_path / name, **SIZES["tiny"] | {"seed": seed})
    first = digests(tiny[0])
    assert digests(tmp_path / "again") == first
    assert all(first[name] != digest for name, digest in digests(tmp_path / "other").items())


def test_facts_and_progress(tmp_path):
    seen = []
    facts = make_sample(tmp_path, 2, 1, 5, progress=lambda *told: seen.append(told))
    assert facts["train"]["pictures"] == 2 and facts["val"]["pictures"] == 1
    assert facts["train"]["questions"] == len(questions_of(tmp_path, "train")) <= 2 * QUESTIONS
    assert [done for done, _, _ in seen] == [1, 2, 3] and {total for _, total, _ in seen} == {3}


@pytest.mark.parametrize("split", SPLITS)
def test_pictures_are_jpegs_under_coco_names(tiny, split):
    folder, facts = tiny
    images = open_images(folder / f"sample-{split}.zip", sources.image_set(f"sample-{split}"))
    assert (
        len(images) == facts[split]["pictures"] == SIZES["tiny"][f"pictures_{split}"] and not images.skipped
    )
    for row, number in enumerate(images.ids.tolist()):
        assert images.names[row] == f"sample-{split}/COCO_sample-{split}_{number:012}.jpg"
        with Image.open(io.BytesIO(images.read(row))) as picture:
            assert picture.format == "JPEG" and min(picture.size) >= 300


def test_splits_share_no_picture_and_no_question(tiny):
    of_train, of_val = (questions_of(tiny[0], split) for split in SPLITS)
    assert not {question.image_id for question in of_train} & {question.image_id for question in of_val}
    assert not {question.question_id for question in of_train} & {question.question_id for question in of_val}


@pytest.mark.parametrize("split", SPLITS)
def test_questions_and_annotations_belong_together(tiny, split):
    folder, _ = tiny
    questions = questions_of(folder, split)
    images = open_images(folder / f"sample-{split}.zip")
    assert {question.image_id for question in questions} == set(images.ids.tolist())
    for annotation in in_order(annotations_of(folder, split), questions):
        (said, times), *others = Counter(annotation.answers).most_common()
        assert said == annotation.multiple_choice_answer and len(annotation.answers) == HUMANS
        assert all(times > other for _, other in others)
        assert annotation.answer_type in ("yes/no", "number", "other")


@pytest.mark.parametrize("split", SPLITS)
def test_multiple_choice_offers_eighteen_with_the_right_one(tiny, split):
    questions = questions_of(tiny[0], split, "MultipleChoice")
    right = {
        annotation.question_id: annotation.multiple_choice_answer
        for annotation in annotations_of(tiny[0], split)
    }
    assert [question.question_id for question in questions] == [
        question.question_id for question in questions_of(tiny[0], split)
    ]
    for question in questions:
        assert len(set(question.multiple_choices)) == len(question.multiple_choices) == CHOICES
        assert right[question.question_id] in question.multiple_choices


def test_files_have_the_official_fields(tiny):
    with zipfile.ZipFile(tiny[0] / "Annotations_Val_sample.zip") as file:
        content = json.loads(file.read("sample_val_annotations.json"))
    assert set(content) == {"info", "license", "data_type", "data_subtype", "annotations"}
    assert [answer["answer_id"] for answer in content["annotations"][0]["answers"]] == list(
        range(1, HUMANS + 1)
    )
    with zipfile.ZipFile(tiny[0] / "Questions_Val_sample.zip") as file:
        content = json.loads(file.read("MultipleChoice_sample_val_questions.json"))
    assert content["task_type"] == "Multiple-Choice" and content["data_subtype"] == "val"


def test_vectors_know_most_words_but_not_all(tiny):
    words = ["what", "color", "circle", "is", "?", "zebra", "colour", "thing"]
    vectors, known = read_vectors(tiny[0] / "glove.sample.zip", "glove.sample.300d.txt", words, 300)
    assert known.tolist() == [True] * 6 + [False] * 2
    assert 0.3 < vectors[known].std() < 0.45
    assert np.abs(np.corrcoef(vectors[known]) - np.eye(6)).max() < 0.3


def test_guessing_without_looking_is_of_little_use():
    questions, rng = [], Random(3)
    for _ in range(300):
        questions += ask(make_scene(rng), QUESTIONS, rng)
    answers, kinds = (
        [question.answer for question in questions],
        [question.question_type for question in questions],
    )
    said = [answers_of_ten(question, rng) for question in questions]
    figures = baselines(answers, kinds, said, kinds, [question.answer_type for question in questions])
    assert figures["commonest_per_question_type"]["overall"] < 45
    for kind in ("is there a", "is the", "are the"):
        of_kind = [question.answer for question in questions if question.question_type == kind]
        assert 0.42 < of_kind.count("yes") / len(of_kind) < 0.58, kind


@given(st.integers(0, 10**6))
@settings(max_examples=60, deadline=None)
def test_answers_are_true(seed):
    rng = Random(seed)
    scene = make_scene(rng)
    questions = ask(scene, QUESTIONS, rng)
    shapes, colours = {thing.shape for thing in scene.things}, {thing.colour for thing in scene.things}
    assert len({question.question for question in questions}) == len(questions) >= 8
    for question in questions:
        words = question.question.lower().rstrip("?").replace(",", "").split()
        if question.answer_type == "number":
            assert question.answer == str(len(scene.things))
        elif question.answer in COLOURS:
            assert {"color", "colour"} & set(words) and question.answer in colours
        elif question.answer in SHAPES:
            assert "shape" in words and question.answer in shapes
        elif words[:2] == ["is", "there"]:
            named = set(words) & (set(SHAPES) | set(COLOURS))
            assert (question.answer == "yes") == (named <= shapes | colours)
        assert question.answer not in question.slips
        said = answers_of_ten(question, rng)
        assert len(said) == HUMANS and said.count(question.answer) >= 5
        assert question.answer in choices(question, said, rng)


@given(st.integers(0, 10**6))
@settings(max_examples=60, deadline=None)
def test_things_lie_inside_the_picture_and_apart(seed):
    scene = make_scene(Random(seed))
    short = min(scene.width, scene.height)
    boxes = [(thing.x * scene.width, thing.y * scene.height, thing.radius * short) for thing in scene.things]
    for x, y, radius in boxes:
        assert radius < x < scene.width - radius and radius < y < scene.height - radius
    for number, (x, y, radius) in enumerate(boxes):
        for other_x, other_y, other in boxes[:number]:
            assert np.hypot(x - other_x, y - other_y) > radius + other


def test_a_drawing_shows_its_colour():
    for seed in range(40):
        rng = Random(seed)
        scene = make_scene(rng)
        picture = np.asarray(Image.open(io.BytesIO(draw(scene, rng))).convert("RGB"), np.int64)
        assert picture.shape == (scene.height, scene.width, 3)
        for thing in scene.things:
            seen = picture[round(thing.y * scene.height), round(thing.x * scene.width)]
            assert np.abs(seen - COLOURS[thing.colour]).max() < 24
