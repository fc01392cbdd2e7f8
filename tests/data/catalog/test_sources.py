"""The catalog: complete, pinned, quick to read; wrong names and wrong entries are answered in words."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from data.base.errors import DataError
from data.catalog import entries, sources
from data.catalog.read_catalog import load

ROOT = Path(__file__).resolve().parents[3]
FACTS = ROOT.parent / "shared" / "facts" / "sources.toml"


@pytest.fixture
def own(tmp_path):
    """Write a catalog file and read it after the project's own."""

    def read(text: str) -> entries.Catalog:
        path = tmp_path / "mine.toml"
        path.write_text(text)
        return load(sources.CATALOG, path)

    return read


def every_source() -> list[entries.Source]:
    whole = load(sources.CATALOG)
    sources_found = [entry.source for entry in whole.image_sets.values()]
    sources_found += [entry.source for entry in whole.gloves.values()] + list(whole.weights.values())
    for dataset in whole.datasets.values():
        for split in dataset.splits.values():
            sources_found += [split.questions] + ([split.annotations] if split.annotations else [])
    return sources_found


def test_every_source_is_pinned_has_a_licence_and_https_first():
    for source in every_source():
        assert source.licence, source
        if source.made_by:
            assert not source.urls
        else:
            assert source.sha256 or source.sha256_prefix, source
            assert source.urls[0].startswith("https://") and source.urls[0].endswith("/" + source.file)


def test_it_agrees_with_the_published_facts():
    if not FACTS.is_file():
        pytest.skip("../shared/facts/sources.toml is not here")
    facts = tomllib.loads(FACTS.read_text())
    published = {}
    for group in (facts["coco"], facts["vqa"]["v1"], facts["vqa"]["v2"], facts["glove"]):
        published |= {entry["file"]: entry for entry in group.values() if isinstance(entry, dict)}
    published["vgg16-397923af.pth"] = facts["weights"]["vgg16"]
    checked = 0
    for source in every_source():
        if source.made_by or source.sha256_prefix:
            continue
        entry = published[source.file]
        assert source.sha256 == entry["sha256"] and source.bytes == entry.get("bytes"), source.file
        checked += 1
    assert checked >= 17


def test_the_mscoco_splits():
    for name in ("vqa-v1", "vqa-v2"):
        dataset = sources.dataset(name)
        assert dataset.parts("trainval") == ("train", "val")
        assert dataset.parts("val") == ("val",)
        assert [dataset.split(split).image_set for split in dataset.splits] == [
            "train2014",
            "val2014",
            "test2015",
        ]
        assert dataset.split("test").annotations is None
        assert dataset.humans == 10
        assert all(sources.image_set(split.image_set) for split in dataset.splits.values())
    assert sources.image_set("train2014").images == 82783
    assert sources.image_set("val2014").prefix == "COCO_val2014_"


def test_each_picture_of_coco_has_addresses_of_its_own(own):
    """As `coco_url` of COCO's annotations has them, https first; an image set's own take their place."""
    for year in ("train2014", "val2014", "test2015"):
        image_set = sources.image_set(year)
        name = f"{year}/COCO_{year}_000000000009.jpg"
        assert image_set.member(9) == name
        assert image_set.pictures[0].startswith("https://")
        assert image_set.pictures[-1] + name == f"http://images.cocodataset.org/{name}"
    mine = own(
        '[image_sets.mine]\norigin = "coco"\nfile = "a.zip"\nprefix = "COCO_a_"\npictures = ["http://b/"]\n'
    )
    assert mine.image_sets["mine"].pictures == ("http://b/",)
    assert mine.image_sets["sample-val"].pictures == ()


def test_tasks_and_members():
    v1, v2 = sources.dataset("vqa-v1"), sources.dataset("vqa-v2")
    assert v1.tasks() == ("open-ended", "multiple-choice") and v2.tasks() == ("open-ended",)
    assert v1.member("train", "open-ended") == "OpenEnded_mscoco_train2014_questions.json"
    assert (
        v1.member("test", "multiple-choice", "test-dev")
        == "MultipleChoice_mscoco_test-dev2015_questions.json"
    )
    assert v2.member("test", "open-ended") == "v2_OpenEnded_mscoco_test2015_questions.json"
    assert v2.split("val").annotations_member == "v2_mscoco_val2014_annotations.json"
    with pytest.raises(DataError, match=r"no task of vqa-v2 val is called 'multiple-choice'.*open-ended"):
        v2.member("val", "multiple-choice")


def test_the_sample_is_made_and_brings_its_own_defaults():
    sample = sources.dataset("sample")
    assert sample.defaults["glove"] == "glove.sample.300d" and sample.defaults["weights"] == "random:0"
    assert all(isinstance(value, str) for value in sample.defaults.values())
    assert sample.tasks() == ("open-ended", "multiple-choice")
    assert sample.split("train").questions.made_by == "sample"
    assert sources.image_set("sample-val").source.file == "sample-val.zip"
    assert sources.glove("glove.sample.300d").member == "glove.sample.300d.txt"


def test_glove_and_published_results():
    assert [sources.glove(f"glove.6B.{d}d").dimensions for d in (50, 100, 200, 300)] == [50, 100, 200, 300]
    lines = sources.dataset("vqa-v1").published
    ours = {(line.split, line.task): line.accuracy for line in lines if line.model.startswith("deeper")}
    assert ours == {
        ("val", "open-ended"): 54.40,
        ("test", "open-ended"): 58.16,
        ("test", "multiple-choice"): 63.09,
    }
    assert sources.dataset("vqa-v1").seed["val_exact_match"] == 0.4562


def test_weights_are_the_ones_that_torchvision_names():
    models = pytest.importorskip("torchvision.models")
    from models.backbones.names import BACKBONES

    for backbone, entry in BACKBONES.items():
        enum = models.get_model_weights(backbone)[entry.weights]
        source = sources.weights(backbone)
        assert enum.url in source.urls
        assert (source.sha256 or source.sha256_prefix).startswith(source.file[-12:-4])
        # torchvision says "MB" and means 2^20 bytes, as VGG-16's length in bytes shows
        assert source.size == pytest.approx(enum.meta["_file_size"] * 2**20, abs=600_000)


@pytest.mark.parametrize(
    "ask, message",
    [
        (
            lambda: sources.dataset("vqav1"),
            "no dataset is called 'vqav1'; nearest: vqa-v1. There are: vqa-v1, vqa-v2",
        ),
        (lambda: sources.image_set("train2015"), "nearest: train2014"),
        (lambda: sources.glove("6B-300"), "There are: glove.6B.50d"),
        (lambda: sources.weights("vgg61"), "nearest: vgg1"),
        (
            lambda: sources.dataset("vqa-v1").parts("valid"),
            "no split of vqa-v1 is called 'valid'; nearest: val",
        ),
        (lambda: sources.dataset("vqa-v1").split("trainval"), "no split of vqa-v1 is called 'trainval'"),
    ],
)
def test_unknown_names_are_answered_with_the_valid_ones(ask, message):
    with pytest.raises(DataError) as caught:
        ask()
    assert message in str(caught.value)


MINE = """
[image_sets.holiday]
path = "pictures"

[datasets.mine]
[datasets.mine.splits.train]
image_set = "holiday"
questions = { path = "questions.json" }
annotations = { path = "annotations.json" }
"""


def test_ones_own_dataset_is_one_entry(own, tmp_path):
    whole = own(MINE)
    assert whole.image_sets["holiday"].source.path == tmp_path / "pictures"
    assert whole.datasets["mine"].split("train").questions.path == tmp_path / "questions.json"
    assert whole.datasets["mine"].humans is None
    assert "vqa-v1" in whole.datasets


def test_add_and_the_variable(own, tmp_path, monkeypatch):
    own(MINE)
    monkeypatch.setattr(sources, "_added", [])
    sources.add(tmp_path / "mine.toml")
    assert sources.dataset("mine").name == "mine"
    alone = tmp_path / "alone.toml"
    alone.write_text('[weights.tiny]\nfile = "tiny.pth"\nurls = ["http://127.0.0.1/tiny.pth"]\n')
    monkeypatch.setattr(sources, "_added", [])
    monkeypatch.setenv(sources.VARIABLE, str(alone))
    assert sources.weights("tiny").identity == "unpinned: tiny.pth"
    with pytest.raises(DataError, match="There are: tiny"):
        sources.weights("vgg16")


@pytest.mark.parametrize(
    "text, message",
    [
        ("[datasets.vqa-v1]\n", "'vqa-v1' is stated already"),
        ("[data_sets.x]\n", "line 1: data_sets: no setting has this name; nearest: datasets"),
        ('[image_sets.x]\nfile = "x.zip"\n', "none of origin, urls, path, made_by"),
        ('[image_sets.x]\nfile = "../x.zip"\norigin = "coco"\n', "not a plain file name"),
        ('[image_sets.x]\nfile = "x.zip"\norigin = "cocoa"\n', "nearest: coco"),
        (
            '[image_sets.x]\nfile = "x.zip"\nurls = ["u"]\nsha265 = ""\n',
            "line 4: image_sets.x: sha265: .*: sha256",
        ),
        (
            '[image_sets.x]\nfile = "x.zip"\nurls = ["u"]\nsha256 = "AB"\n',
            "expected 64 lower-case hex digits",
        ),
        ('[image_sets.x]\nfile = "x.zip"\nurls = ["u"]\nbytes = "12"\n', "bytes = '12': expected int"),
        (
            '[image_sets.x]\nfile = "x.zip"\nurls = ["u"]\npictures = ["p"]\n',
            "line 4: image_sets.x: pictures: .*expected a prefix",
        ),
        ('[datasets.x.splits.train]\nimage_set = "nowhere"\nquestions = {path = "q"}\n', "'nowhere'"),
        ('[datasets.x]\nunions = { all = ["train"] }\n', "union all of x"),
        ("image_sets = 3\n", "expected a table"),
        ("[datasets.x]\nhumans = true\n", "humans = True: expected int"),
        (
            "[datasets.x]\ndefaults = { epochs = [3] }\n",
            r"epochs = \[3\]: expected a text, a number, true or false",
        ),
        ("[datasets.x]\nunions = { all = [1] }\n", "expected a list of texts"),
        ('[datasets.x]\npublished = { lines = [{ modell = "m" }] }\n', "nearest: model"),
        ("[datasets.x.splits]\ntrain = 1\n", "datasets.x.splits.train: expected a table"),
        ("[image_sets\n", "line 1: `\\[image_sets`: .*a heading is"),
    ],
)
def test_wrong_entries_are_named(own, text, message):
    with pytest.raises(DataError, match=message):
        own(text)


def test_importing_it_costs_nothing_heavy():
    code = (
        "import sys; from data.catalog import sources; sources.dataset('sample');"
        "print([name for name in ('numpy', 'requests', 'data.download.fetch') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# ------------------------------------------------------------------- how pictures get their ids: who asks decides

TABLE = '[own.table]\npictures = "p"\nquestions = "q.csv"\n'
JSON = '[own.json]\npictures = "p"\nquestions = "q.json"\nannotations = "a.json"\n'
FULL = """[image_sets.full]
path = "p"
[datasets.full.splits.test]
image_set = "{images}"
[datasets.full.splits.test.questions]
{source}
members = {{ test = {{ open-ended = "" }} }}
"""
CONVERTED = 'made_by = "own:{name}"\nfile = "val-questions.json"'


@pytest.mark.parametrize(
    "text, name, ids",
    [
        (TABLE, "table", "paths"),
        (JSON, "json", "numbers or paths"),
        (FULL.format(images="full", source='path = "q.json"'), "full", "numbers"),
        (TABLE + FULL.format(images="table", source=CONVERTED.format(name="table")), "table", "paths"),
        (TABLE + FULL.format(images="table", source='path = "q.json"'), "table", "numbers"),
        (JSON + FULL.format(images="full", source=CONVERTED.format(name="json")), "full", "numbers or paths"),
        (JSON + FULL.format(images="json", source='path = "q.json"'), "json", "numbers"),
        ('[image_sets.alone]\npath = "p"\n', "alone", "paths"),
    ],
)
def test_how_pictures_get_their_ids(own, text, name, ids):
    whole = own(text)
    assert whole.image_sets[name].ids == ids
    assert whole.image_sets[name].identity == ({} if ids == "paths" else {"ids": ids})
    for built_in in load(sources.CATALOG).image_sets.values():
        assert whole.image_sets[built_in.name] == built_in and built_in.identity == {}


def test_questions_converted_with_other_ids_are_refused(own):
    """full's test questions ask by number, so its pictures can't have the ids that the table was converted with."""
    text = TABLE + FULL.format(images="full", source='path = "q.json"')
    converted = FULL.format(images="full", source=CONVERTED.format(name="table")).replace(".test", ".train")
    text += converted.partition("\n")[2].partition("\n")[2]
    with pytest.raises(
        DataError, match=r"made by own:table with the ids of image set table, .*image_set = 'table'"
    ):
        own(text)
