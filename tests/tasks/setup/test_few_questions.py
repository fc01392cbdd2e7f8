"""Flags that follow the number of own training questions where nobody chose them."""

from __future__ import annotations

import os

import pytest

import pipeline
from data.catalog import sources
from tasks.setup import few_questions, settings
from tasks.setup.experiment import resolve

DECLARED = pipeline.RunAll.declared_flags()
SIZES = ("batch_size", "hidden", "joint", "epochs")


@pytest.fixture
def own(tmp_path, artifacts, monkeypatch):
    """own(questions, more) states dataset `mine` with so many questions, five about each picture."""
    monkeypatch.setattr(settings, "experiment", dict)

    def state(questions, more="", name="qa.csv"):
        rows = "".join(f"{number // 5}.jpg,Is it {number}?,yes\n" for number in range(questions))
        (tmp_path / name).write_text(f"image,question,answer\n{rows}")
        (tmp_path / "mine.toml").write_text(f'[own.mine]\npictures = "p"\nquestions = "qa.csv"\n{more}')
        monkeypatch.setattr(sources, "_added", [tmp_path / "mine.toml"])
        sources._load.cache_clear()
        return tmp_path / name

    yield state
    sources._load.cache_clear()


def sizes(**given):
    values = resolve(DECLARED, {"dataset": "mine", **given}).values
    return tuple(values[name] for name in SIZES)


@pytest.mark.parametrize(
    ("questions", "follow"),
    [
        (5, (8, 128, 256, 100)),
        (300, (8, 128, 256, 34)),  # 240 to train on: 30 updates an epoch
        (6_000, (32, 128, 256, 10)),  # 4,800, as the sample has: its sizes are these
        (41_000, (256, 512, 1024, 10)),  # as many as the recipe is for: the recipe
    ],
)
def test_they_follow_the_number_of_training_questions(own, questions, follow):
    own(questions)
    assert sizes() == follow


def test_what_somebody_chose_stays(own, monkeypatch):
    own(300, '[own.mine.defaults]\nhidden = "300"\n[own.mine.models.saaa]\njoint = "512"\n')
    assert sizes() == (8, 300, 256, 34)
    assert sizes(batch_size=24, epochs=3) == (24, 300, 256, 3)
    assert sizes(batch_size=24) == (24, 300, 256, 100)  # 10 updates an epoch
    assert sizes(model="saaa")[2] == 512
    monkeypatch.setattr(settings, "experiment", lambda: {"joint": "77", "epochs": "2"})
    assert sizes() == (8, 300, 77, 2)


def test_only_own_data_follows(own):
    own(300)
    for dataset in ("vqa-v1", "vqa-v2"):
        assert sizes(dataset=dataset, limit_questions=100) == (256, 512, 1024, 10)
    assert sizes(dataset="sample") == (32, 128, 256, 6)


def test_a_recipe_is_made_smaller_and_a_schedule_that_counts_epochs_keeps_them(own):
    own(300)
    assert sizes(model="saaa") == (8, 128, 256, 50)
    assert sizes(model="mcan-small") == (8, 128, 256, 13)
    assert sizes(model="mcan-small", lr_schedule="constant") == (8, 128, 256, 34)


def counted(**given):
    return few_questions.training_questions(resolve(DECLARED, {"dataset": "mine", **given}).values)


def test_what_is_trained_on_is_counted(own, tmp_path):
    own(1000)
    assert counted() == 800
    assert counted(train_split="trainval", eval_split="test") == 1000
    assert counted(hold_out=0.25) == 600
    assert counted(limit_questions=70) == 70
    assert counted(limit_pictures="16,5") == 80  # of 160 pictures that are trained on
    assert counted(limit_pictures="4000") == 800
    own(1000, "val = 0.5\n")
    assert counted() == 500


def test_each_split_has_its_table_and_official_files_count(own, tmp_path):
    own(40, name="val.csv")
    own(60)
    toml = tmp_path / "mine.toml"
    toml.write_text('[own.mine]\npictures = "p"\nquestions = { train = "qa.csv", val = "val.csv" }\n')
    sources._load.cache_clear()
    assert counted() == 60
    assert counted(train_split="trainval", eval_split="test") == 100
    asked = ",".join(
        f'{{"question_id": {n}, "image": "{n % 5}.jpg", "question": "Is it?"}}' for n in range(50)
    )
    (tmp_path / "q.json").write_text(f'{{"questions": [{asked}]}}')
    toml.write_text('[own.mine]\npictures = "p"\nquestions = "q.json"\nannotations = "a.json"\n')
    sources._load.cache_clear()
    assert counted() == 40
    assert counted(limit_pictures="2") == 20


def test_it_is_counted_once_and_again_when_the_table_changes(own, monkeypatch):
    import data.own.table_size as table_size

    table, reads = own(300), []
    count = table_size.table_size
    monkeypatch.setattr(table_size, "table_size", lambda *words: reads.append(words) or count(*words))
    monkeypatch.setattr("time.time_ns", lambda: table.stat().st_ctime_ns + 10**10)  # not written just now
    first = sizes()
    assert sizes() == first and len(reads) == 1
    os.utime(table, (1, 1))  # another date, the same questions
    assert sizes() == first and len(reads) == 2
    with table.open("a") as file:
        file.writelines(f"9.jpg,Is it {number}?,no\n" for number in range(5000))
    assert sizes() != first and len(reads) == 3


def test_a_table_that_cannot_be_read_is_left_to_the_stage_that_converts_it(own):
    own(300).write_text("image,answer\n1.jpg,yes\n")
    assert sizes() == (256, 512, 1024, 10)
    own(300).unlink()
    assert sizes() == (256, 512, 1024, 10)


def test_plan_says_what_follows_and_where_there_are_too_few(own):
    def said(**given):
        return pipeline.RunAll(**{"dataset": "mine", **given}).remarks()

    own(300)
    assert said() == [
        "about 240 training questions: --batch-size 8 --hidden 128 --joint 256 --epochs 34 follow from that"
    ]
    assert said(batch_size=16, hidden=64) == [
        "about 240 training questions: --joint 256 --epochs 67 follow from that"
    ]
    assert "--batch-size 8 --joint 256 --epochs 34" in said(model="bag-of-words")[0]  # it has no LSTM to size
    assert said(dataset="vqa-v1") == []
    own(61)
    assert len(said()) == 2 and said()[1].startswith("about 49 training questions: too few to learn from")
    own(63)
    assert len(said()) == 1
