"""`init`: pictures and questions of your own, or an example of them, become a dataset that runs."""

from __future__ import annotations

import csv
import gzip
import json
import shlex
from collections import Counter

import pytest
from commands import Shell
from PIL import Image
from small_disk import small_disks

from data.catalog.read_catalog import load
from pipeline.__main__ import main

TABLE = "image,question,answer\n" + "".join(f"{n % 5}.png,Is it {n}?,yes\n" for n in range(70))


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The current folder, with five pictures in photos/ and seventy questions in qa.csv."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    for number in range(5):
        Image.new("RGB", (8, 8), (number, 0, 0)).save(tmp_path / "photos" / f"{number}.png")
    (tmp_path / "qa.csv").write_text(TABLE)
    return tmp_path


@pytest.fixture
def init(capsys):
    """init(*words) → (what it says, what it says of a mistake)."""

    def run(*words, code=0):
        assert main(["init", *map(str, words)]) == code
        return capsys.readouterr()

    return run


OWN = ("--pictures", "photos/", "--questions", "qa.csv")


@pytest.mark.parametrize("name", ["my-vqa", "a/b/mine", "my photos", "fotos-ñ"])
def test_two_files_are_written_that_the_catalog_reads(here, init, name):
    said = init(name, *OWN).out
    folder = here / name
    assert sorted(path.name for path in folder.iterdir()) == ["dataset.toml", "luigi.cfg"]
    assert "datasets = dataset.toml" in (folder / "luigi.cfg").read_text()
    catalog = load(folder / "dataset.toml")
    [dataset] = catalog.datasets
    assert dataset == folder.name
    assert catalog.datasets[dataset].own.questions[""].samefile(here / "qa.csv")
    assert catalog.image_sets[dataset].source.path.samefile(here / "photos")
    assert f"{dataset}: 56 questions about 4 pictures to learn from, 14 questions about 1 picture" in said
    typed = f"cd {shlex.quote(name)} && luigi --module pipeline RunAll --dataset {shlex.quote(dataset)}\n"
    assert typed in said
    assert "warning" not in said


def test_what_lies_in_the_folder_or_beside_it_moves_with_it_and_what_is_far_is_named_whole(here, init):
    init(".", "--pictures", here / "photos", "--questions", "qa.csv")
    assert 'pictures = "photos"\nquestions = "qa.csv"\n' in (here / "dataset.toml").read_text()
    init("a/b", *OWN)
    assert f'pictures = "{here / "photos"}"' in (here / "a" / "b" / "dataset.toml").read_text()
    init("c", *OWN)
    assert 'pictures = "../photos"' in (here / "c" / "dataset.toml").read_text()


def test_packed_tables_and_json_serve_too_and_few_questions_are_warned_of(here, init):
    (here / "qa.csv.gz").write_bytes(gzip.compress(TABLE.encode()))
    init("packed", "--pictures", "photos", "--questions", "qa.csv.gz")
    rows = [{"image": f"{n}.png", "question": "Is it?", "answer": ["no", "No"]} for n in range(5)]
    (here / "qa.jsonl").write_text("\n".join(map(json.dumps, rows)))
    said = init("lines", "--pictures", "photos", "--questions", "qa.jsonl").out
    assert "warning: 4 questions about 4 pictures are too few to learn from" in said
    assert "warning: answers in two or more spellings" in said  # what ConvertOwnData would say


def test_a_mistake_is_one_line_and_writes_nothing(here, init):
    for name, text in {
        "no-column.csv": "picture,question,answer\n1.png,Is it?,yes\n",
        "no-picture.csv": TABLE + "9.png,Is it?,yes\n5.png,,yes\n",
        "one-picture.csv": "image,question,answer\n1.png,Is it?,yes\n",
        "qa.xlsx": TABLE,
    }.items():
        (here / name).write_text(text)
    (here / "full").mkdir()
    (here / "full" / "notes.txt").write_text("mine")
    (here / "empty").mkdir()
    (here / "of $HOME").mkdir()
    (here / "of $HOME" / "qa.csv").write_text(TABLE)
    before = sorted(here.rglob("*"))
    for words, said in {
        ("full", *OWN): "full: is not empty: notes.txt; name a new folder",
        ("full", "--example"): "full: is not empty: notes.txt; name a new folder",
        ("qa.csv", "--example"): "qa.csv: is not a folder",
        ("new", "--pictures", "absent", "--questions", "qa.csv"): "--pictures: absent does not exist",
        ("new", "--pictures", "qa.csv", "--questions", "qa.csv"): "qa.csv: not a readable zip",
        ("new", "--pictures", "empty", "--questions", "qa.csv"): "empty: no pictures; expected files",
        ("new", "--pictures", "photos", "--questions", "absent.csv"): "absent.csv: can't be read: No such file",
        ("new", "--pictures", "photos", "--questions", "photos"): "--questions photos: expected .csv",
        ("new", "--pictures", "photos", "--questions", "no-column.csv"): "row 1 has no column image; found",
        ("new", "--pictures", "photos", "--questions", "no-picture.csv"): "2 of 72 rows can't be used (row 72: no pic",
        ("new", "--pictures", "photos", "--questions", "one-picture.csv"): "leaves nothing for val",
        ("new", "--pictures", "photos", "--questions", "qa.xlsx"): "expected .csv, .tsv",
        ("new", "--pictures", "photos", "--questions", "of $HOME/qa.csv"): "a $, or a ~ at its beginning",
        ("new", "--pictures", "photos"): "expected --pictures and --questions, or --example alone",
        ("new", "--example", *OWN): "expected --pictures and --questions, or --example alone",
        ("new",): "expected --pictures and --questions, or --example alone",
        ("sample", *OWN): "there is one called 'sample' already",
        ("a\nb", *OWN): "can't be one; expected letters",
        ("a,b", *OWN): "'a,b' can't be one; expected letters",
    }.items():  # fmt: skip
        error = init(*words, code=1).err
        assert error.startswith("error: ") and said in error and error.count("\n") == 1, words
        assert sorted(here.rglob("*")) == before, words
    init("twice", "--example")
    assert (
        "twice: is not empty: dataset.toml, luigi.cfg, photos; and 1 more"
        in init("twice", "--example", code=1).err
    )


def test_the_example_is_sixty_pictures_and_three_hundred_questions_that_need_them(here, init):
    said = init("demo", "--example").out
    assert said.endswith(
        "next      cd demo && luigi --module pipeline RunAll --dataset demo --weights random:0 --glove none\n"
    )
    assert "240 questions about 48 pictures to learn from, 60 questions about 12 pictures to judge by" in said
    rows = list(csv.DictReader((here / "demo" / "qa.csv").open()))
    pictures = sorted(path.name for path in (here / "demo" / "photos").iterdir())
    assert len(pictures) == 60 and len(rows) == len({(row["image"], row["question"]) for row in rows}) == 300
    assert Counter(row["image"] for row in rows) == dict.fromkeys(pictures, 5)
    assert max(Counter(row["answer"] for row in rows).values()) < 0.2 * len(rows)
    init("again", "--example")
    for name in ("qa.csv", "photos/07.jpg"):
        assert (here / "demo" / name).read_bytes() == (here / "again" / name).read_bytes()


def test_an_example_that_finds_no_room_leaves_nothing_and_can_be_made_again(tmp_path, monkeypatch, init):
    monkeypatch.chdir(tmp_path)
    with small_disks(tmp_path / "disk") as disk:
        disk(1 << 18)  # the pictures take about 750 kB
        error = init("disk/demo", "--example", code=1).err
        assert error.startswith("error: disk/demo: No space left on device; make room")
        assert list((tmp_path / "disk" / "demo").iterdir()) == []
    (tmp_path / "demo" / ".drawing" / "photos").mkdir(parents=True)  # of one that was killed
    init("demo", "--example")
    names = [path.name for path in (tmp_path / "demo").iterdir()]
    assert sorted(names) == ["dataset.toml", "luigi.cfg", "photos", "qa.csv"]


def test_hidden_files_are_not_in_the_way(here, init):
    (here / ".git").mkdir()
    (here / ".DS_Store").touch()
    init(".", *OWN)


@pytest.mark.slow
def test_the_example_beats_what_never_sees_the_picture(tmp_path):
    """README's example as it is typed: its figures stand in the words there."""
    shell = Shell(tmp_path)
    shell.configure("[compute]\nthreads = 1\n")  # batches of eight gain nothing from more
    shell("vqa", "init", "demo", "--example")
    shell.folder = tmp_path / "demo"
    words = ("RunAll", "--dataset", "demo", "--weights", "random:0", "--glove", "none")
    named = {"LUIGI_CONFIG_PATH": str(shell.config), "OMP_NUM_THREADS": "1"}
    said = shell("pipeline", "plan", *words, **named)
    assert "--batch-size 8 --hidden 128 --joint 256 --epochs 34 follow from that" in said
    shell("luigi", *words, **named)
    [path] = shell.artifacts.glob("evaluate-model/*/accuracy.json")
    figures = json.loads(path.read_text())
    best = max(prior["overall"] for prior in figures["baselines"].values())
    assert figures["questions"] == 60 and figures["overall"] > best + 20
    assert "nothing to do" in shell("luigi", *words, **named)


def test_a_training_on_a_few_questions_says_so(tiny_run, tiny):
    said = tiny("luigi", "TrainModel", "--limit-questions", "49")
    assert (
        "WARNING: train-model: trained on 49 questions: too few to learn from (expected at least 50" in said
    )
    assert "too few" not in tiny_run[1]  # 96 questions
