"""--limit-pictures: a part of the data, the same for every stage, out of what is here or out of a remote zip."""

from __future__ import annotations

import hashlib
import json
import shutil
import zipfile
from collections import Counter

import pytest
from bad_server import BadServer
from commands import TinyShell, pinned

import pipeline
from data.catalog import sources
from tasks.contract.graph import walk
from tasks.setup.user_errors import UsageError

COCO = ("train2014", "val2014")


def paths(**flags):
    return {f"{stage.stage_name()} {stage.slug}": stage.path for stage in walk(pipeline.RunAll(**flags))}


# ------------------------------------------------------------ what moves, and what does not


def test_every_stage_of_a_part_moves_but_what_is_downloaded_whole(artifacts):
    whole, part = paths(dataset="vqa-v2"), paths(dataset="vqa-v2", limit_pictures="2000,500")
    stays = {name for name, path in part.items() if whole.get(name) == path}
    assert {name.split()[0] for name in stays} == {
        *("download-questions", "download-annotations", "download-glove", "download-weights")
    }
    assert paths(dataset="vqa-v2", limit_pictures="0") == whole


def test_only_the_split_that_is_limited_moves(artifacts):
    whole = paths(dataset="vqa-v2")
    judged = paths(dataset="vqa-v2", limit_pictures="0,500")
    moved = {name.split()[0] for name in whole.keys() | judged.keys() if whole.get(name) != judged.get(name)}
    assert moved == {
        *("choose-pictures", "download-part", "download-images", "extract-part", "extract-features"),
        *("encode-questions", "encode-answers", "predict-answers", "check-leaks", "evaluate-model", "report"),
    }
    assert {name for name in whole if name.endswith("train") and whole[name] == judged.get(name)} >= {
        *(
            "encode-questions vqa-v2-train",
            "train-model deeper-lstm-vqa-v2-train",
            "build-vocabulary vqa-v2-train",
        )
    }


def test_all_that_the_catalog_counts_is_the_whole(artifacts):
    whole = paths(dataset="vqa-v2")
    counts = [sources.image_set(name).images for name in COCO]
    assert paths(dataset="vqa-v2", limit_pictures="{},{}".format(*counts)) == whole
    assert paths(dataset="vqa-v2", limit_pictures="1000000") == whole
    assert (
        paths(limit_pictures="400,100") == paths() != paths(limit_pictures="399,100")
    )  # the sample's, as it is drawn
    one_less = paths(dataset="vqa-v2", limit_pictures=f"{counts[0]},{counts[1] - 1}")
    assert one_less["train-model deeper-lstm-vqa-v2-train"] == whole["train-model deeper-lstm-vqa-v2-train"]
    assert one_less["encode-questions vqa-v2-val"] != whole["encode-questions vqa-v2-val"]


def test_mini_has_the_files_and_pictures_of_vqa_v2(artifacts):
    mini = paths(dataset="vqa-v2-mini")
    of_v2 = paths(dataset="vqa-v2", limit_pictures="2000,500", backbone="resnet50", glove="none")
    shared = {name.split()[0] for name, path in mini.items() if of_v2.get(name) == path}
    assert shared == {
        *("download-questions", "download-annotations", "download-weights"),
        *("choose-pictures", "download-part", "extract-part"),
    }
    other = {"backbone": "vgg16", "layer": "fc7", "model": "deeper-lstm", "glove": "glove.6B.300d"}
    again = paths(dataset="vqa-v2-mini", **other)
    assert again["download-part vqa-v2-train"] == mini["download-part vqa-v2-train"]
    assert (
        "extract-part vgg16-fc7-vqa-v2-val" in again and "build-embeddings vqa-v2-mini-glove.6B.300d" in again
    )


def test_trainval_is_one_split_of_both_sets(artifacts):
    flags = {"dataset": "vqa-v2", "train_split": "trainval", "eval_split": "test", "limit_pictures": "100,50"}
    stages = {
        stage.slug: stage
        for stage in walk(pipeline.RunAll(**flags))
        if stage.stage_name() == "choose-pictures"
    }
    assert {slug: len(stage.upstream) for slug, stage in stages.items()} == {
        **{"vqa-v2-train": 2, "vqa-v2-val": 2, "vqa-v2-test": 1}
    }


@pytest.mark.parametrize(
    "text, told",
    [("1", "one picture is too few to train on"), ("1,5", "too few"), ("-3", "expected N, or N,M"), ("5,6,7", "N,M"),
     ("many", "N,M"), ("", "N,M"), ("5,", "N,M"), ("2.5", "N,M")],
)  # fmt: skip
def test_other_values_are_refused_in_one_line(artifacts, text, told):
    with pytest.raises(UsageError, match=told) as error:
        pipeline.RunAll(limit_pictures=text)
    assert "\n" not in str(error.value)


def test_spellings_are_one(artifacts):
    assert pipeline.RunAll(limit_pictures="40,40").limit_pictures == "40"
    assert pipeline.RunAll(limit_pictures=" 040 , 020").limit_pictures == "40,20"
    assert pipeline.RunAll(limit_pictures="0,0").limit_pictures == "0"


def test_a_part_of_own_catalogs(artifacts, tmp_path, monkeypatch):
    from data.base.errors import DataError
    from data.catalog.read_catalog import load

    more = tmp_path / "more.toml"
    more.write_text('[datasets.half]\npart_of = "vqa-v1"\ndefaults = { limit_pictures = "7" }\n')
    half = load(sources.CATALOG, more).datasets["half"]
    assert half.whole == "vqa-v1" and half.split("val").image_set == "val2014" and half.humans == 10
    for wrong in ('part_of = "vqa-v2-mini"', 'part_of = "vqa-v2"\nhumans = 3', 'part_of = "vqa-v3"'):
        more.write_text(f"[datasets.half]\n{wrong}\n")
        with pytest.raises(DataError, match="half"):
            load(sources.CATALOG, more)


def test_plan_counts_the_bytes_of_the_part(artifacts):
    stages = {stage.path: stage for stage in walk(pipeline.RunAll(dataset="vqa-v2-mini"))}
    download = sum(stage.costs().get("download", 0) for stage in stages.values())
    pictures = 2000 * (13_510_573_713 // 82_783) + 500 * (6_645_013_297 // 40_504)
    directories = 111 * (82_783 + 40_504)
    texts = 7_239_401 + 21_708_861 + 3_494_929 + 10_518_930
    weights = pipeline.DownloadWeights(backbone="resnet50").costs()["download"]
    assert download == pictures + directories + texts + weights
    assert weights == 103_000_000


def pictures_expected(**flags):
    stages = {stage.slug: stage for stage in walk(pipeline.RunAll(**flags))}
    return {slug: stage.units() for slug, stage in stages.items() if stage.stage_name() == "extract-part"}


def test_plan_shares_the_pictures_of_trainval_out_among_its_splits(artifacts):
    flags = {"dataset": "vqa-v2", "train_split": "trainval", "eval_split": "test"}
    expected = pictures_expected(**flags, limit_pictures="100000,50")
    train, both = 82_783, 82_783 + 40_504
    assert [
        round(expected[f"vgg16-fc7-vqa-v2-{split}"] * both) for split in ("train", "val")
    ] == pytest.approx([100_000 * train, 100_000 * (both - train)], abs=both)
    assert expected["vgg16-fc7-vqa-v2-test"] == 50


def test_plan_expects_no_more_pictures_than_there_are(artifacts, tmp_path, monkeypatch):
    (tmp_path / "photos").mkdir()
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        (tmp_path / "photos" / name).write_bytes(b"x")
    (tmp_path / "qa.csv").write_text("image,question,answer\na.jpg,Is it?,yes\n")
    (tmp_path / "own.toml").write_text('[own.mine]\npictures = "photos"\nquestions = "qa.csv"\n')
    monkeypatch.setattr(sources, "_added", [tmp_path / "own.toml"])
    assert set(pictures_expected(dataset="mine", limit_pictures="1000").values()) == {3}


# ------------------------------------------------------------ a whole run

PUBLISHED = """
[datasets.sample.published]
lines = [{ model = "somebody's", trained_on = "train", split = "val", task = "open-ended", accuracy = 54.40 }]
"""
NOTE = "trained on 4 of 8 and judged on 2 of 4 pictures: not comparable with published figures"


def official(files, what, split):
    """The entries of one of the sample's official files."""
    path = next(files.glob(f"{what}_{split.title()}_sample.zip"))
    with zipfile.ZipFile(path) as archive:
        name = next(name for name in archive.namelist() if not name.startswith("MultipleChoice"))
        return json.loads(archive.read(name))[what.lower()]


def chosen_by_hand(files, split, count):
    ids = {one["image_id"] for one in official(files, "Questions", split)}
    return set(sorted(ids, key=lambda number: hashlib.sha256(f"0:{number}".encode()).hexdigest())[:count])


@pytest.fixture(scope="module")
def files(tiny_run):
    return tiny_run[0].artifact("make-sample")


@pytest.fixture(scope="module")
def served(files):
    with BadServer() as server:
        server.files = {path.name: path.read_bytes() for path in files.iterdir()}
        yield server


@pytest.fixture(scope="module")
def limited(tmp_path_factory, files, served):
    """(shell, output) of a run of a part, all of whose files come from a server."""
    shell = TinyShell(tmp_path_factory.mktemp("limited"))
    pinned(shell, files, served.url)
    shell.catalog.write_text(shell.catalog.read_text() + PUBLISHED)
    return shell, shell("luigi", "RunAll", "--limit-pictures", "4,2", "--answers", "6")


def read(shell, stage, name, part=""):
    return json.loads((shell.artifact(stage, part) / name).read_text())


def test_every_stage_sees_the_chosen_pictures_and_no_other(limited, files):
    import h5py

    shell, _ = limited
    for split, count in (("train", 4), ("val", 2)):
        ids = chosen_by_hand(files, split, count)
        asked = {q["question_id"] for q in official(files, "Questions", split) if q["image_id"] in ids}
        told = read(shell, "choose-pictures", "pictures.json", split)
        assert set(told["image_ids"]) == ids and told["of"] == {"train": 8, "val": 4}[split]
        with h5py.File(shell.artifact("extract-part", split) / "features.h5") as file:
            assert file["image_ids"][()].tolist() == sorted(ids)
        for stage, name in (("encode-questions", "questions.h5"), ("encode-answers", "answers.h5")):
            with h5py.File(shell.artifact(stage, split) / name) as file:
                assert set(file["question_ids"][()].tolist()) == asked
        with zipfile.ZipFile(shell.artifact("download-part", split) / f"sample-{split}.zip") as archive:
            names = [f"sample-{split}/COCO_sample-{split}_{number:012}.jpg" for number in sorted(ids)]
            assert archive.namelist() == names
    results = read(shell, "predict-answers", "results.json")
    assert {one["question_id"] for one in results} == asked


def test_vocabulary_and_priors_are_of_the_part(limited, files):
    shell, _ = limited
    ids = chosen_by_hand(files, "train", 4)
    said = Counter(
        one["multiple_choice_answer"]
        for one in official(files, "Annotations", "train")
        if one["image_id"] in ids
    )
    vocabulary = read(shell, "build-vocabulary", "vocabulary.json")
    assert {one["answer"]: one["count"] for one in vocabulary["answers"]}.items() <= said.items()
    assert vocabulary["questions"] == said.total() and len(vocabulary["answers"]) == 6
    accuracy = read(shell, "evaluate-model", "accuracy.json")
    best = min(said, key=lambda answer: (-said[answer], answer))
    assert accuracy["baselines"]["commonest_answer"]["answer"] == best
    judged = chosen_by_hand(files, "val", 2)
    assert accuracy["questions"] == sum(
        one["image_id"] in judged for one in official(files, "Questions", "val")
    )


def test_wherever_its_accuracy_stands_it_is_said_that_it_is_a_part(limited, tmp_path):
    shell, output = limited
    assert NOTE in "\n".join(output.splitlines()[-25:])
    part = read(shell, "evaluate-model", "accuracy.json")["part"]
    assert part == {
        **{"trained": {"pictures": 4, "of": 8}, "judged": {"pictures": 2, "of": 4}, "note": NOTE},
    }
    page = (shell.artifact("report") / "report.html").read_text()
    assert NOTE in page and "somebody" not in page and "54.40" not in page
    listed = shell("pipeline", "runs")
    assert NOTE in listed and "] (part)" in listed
    assert json.loads(shell("pipeline", "runs", "--json"))[0]["evaluations"][0]["part"] == part
    run = shell.artifact("train-model").name
    assert NOTE in shell("pipeline", "compare", run, run, "--out", tmp_path / "page.html")
    with zipfile.ZipFile(next(shell.artifacts.glob("download-part/*val*/*.zip"))) as archive:
        archive.extract(archive.namelist()[0], tmp_path)
    picture = next(tmp_path.rglob("*.jpg"))
    assert NOTE in shell("pipeline", "ask", picture, "What colour is it?")


def test_its_pictures_came_by_range(limited, served):
    asked = [request for request in served.requests if request["path"].startswith("/sample-")]
    assert asked and all("range" in request for request in asked)


def test_a_larger_part_fetches_what_the_smaller_lacks_and_is_the_same_as_if_fetched_alone(
    limited, served, files, tmp_path
):
    shell = TinyShell(tmp_path)
    shell.catalog.write_text(limited[0].catalog.read_text())
    shutil.copytree(limited[0].artifacts, shell.artifacts, symlinks=True)
    flags = ("--split", "train", "--limit-pictures", "6,2")
    before = served.sent
    shell("luigi", "DownloadPart", *flags)
    after_smaller = served.sent - before
    larger = next(
        path
        for path in shell.artifacts.glob("download-part/*train*/*.zip")
        if len(zipfile.ZipFile(path).namelist()) == 6
    )
    (tmp_path / "alone").mkdir()
    alone = TinyShell(tmp_path / "alone")
    alone.catalog.write_text(limited[0].catalog.read_text())
    before = served.sent
    alone("luigi", "DownloadPart", *flags)
    assert (alone.artifact("download-part") / "sample-train.zip").read_bytes() == larger.read_bytes()
    size = sum(info.file_size for info in zipfile.ZipFile(larger).infolist())
    assert after_smaller < served.sent - before - size // 3
    before = served.sent  # of one that they contain nothing comes but the zip's directory
    shell("luigi", "DownloadPart", "--split", "train", "--limit-pictures", "5,2")
    assert served.sent - before < after_smaller
    output = shell("pipeline", "plan", "DownloadPart", "--split", "train", "--limit-pictures", "3,2")
    assert "to download 0 bytes" in output


@pytest.mark.slow
def test_all_of_the_data_after_a_part_and_the_part_again(limited, files, tmp_path):
    shell = TinyShell(tmp_path)
    shell.catalog.write_text(limited[0].catalog.read_text())
    shutil.copytree(limited[0].artifacts, shell.artifacts, symlinks=True)
    output = shell("luigi", "RunAll", "--answers", "6")
    again = {"DownloadQuestions", "DownloadAnnotations", "DownloadGlove", "ChoosePictures", "DownloadPart"}
    assert not again & set(shell.built(output)) and "DownloadImages" in shell.built(output)
    accuracy = [
        json.loads(path.read_text()) for path in shell.artifacts.glob("evaluate-model/*/accuracy.json")
    ]
    assert sorted(one["questions"] for one in accuracy) == sorted(
        [
            len(official(files, "Questions", "val")),
            read(limited[0], "evaluate-model", "accuracy.json")["questions"],
        ]
    )
    pages = [path.read_text() for path in shell.artifacts.glob("report/*/report.html")]
    assert {("somebody" in page, NOTE in page) for page in pages} == {(True, False), (False, True)}
    for limit in ("4,2", "8,4", "99"):  # the catalog counts 8 and 4
        assert "nothing to do" in shell("pipeline", "plan", "--answers", "6", "--limit-pictures", limit)


def test_a_copy_or_the_whole_artifact_serves(limited, files, tmp_path):
    """Nothing else could: no address answers."""
    shell = TinyShell(tmp_path)
    pinned(shell, files, "http://127.0.0.1:1/")
    shell.configure(f"[sources]\nmirror = {files.as_uri()}\n")
    shell("luigi", "DownloadPart", "--limit-pictures", "4,2")
    ours, theirs = (
        one.artifact("download-part", "train") / "sample-train.zip" for one in (shell, limited[0])
    )
    assert ours.read_bytes() == theirs.read_bytes() and not ours.is_symlink()
    shell("luigi", "DownloadImages", "--image-set", "sample-val")
    shell("luigi", "ChoosePictures", "--split", "val", "--limit-pictures", "4,2")
    shell.configure("")
    shell("luigi", "DownloadPart", "--split", "val", "--limit-pictures", "4,2")
    ours, theirs = (one.artifact("download-part", "val") / "sample-val.zip" for one in (shell, limited[0]))
    assert ours.read_bytes() == theirs.read_bytes()


def test_an_export_has_all_pictures(artifacts):
    from data.base.errors import DataError
    from pipeline.commands.export import _finished

    with pytest.raises(DataError, match="--limit-pictures 40: an export has all pictures"):
        _finished(pipeline.RunAll(limit_pictures="40"))


def test_pictures_that_a_copy_lacks_are_counted_and_named(files, tmp_path):
    mine = tmp_path / "mine"
    shutil.copytree(files, mine)
    ids = sorted(chosen_by_hand(files, "train", 4))
    lacking = [f"sample-train/COCO_sample-train_{number:012}.jpg" for number in ids[:2]]
    with (
        zipfile.ZipFile(files / "sample-train.zip") as whole,
        zipfile.ZipFile(mine / "sample-train.zip", "w") as file,
    ):
        for name in whole.namelist():
            if name not in lacking:
                file.writestr(name, whole.read(name))
    shell = TinyShell(tmp_path)
    pinned(shell, mine, "http://127.0.0.1:1/")
    shell.configure(f"[sources]\nmirror = {mine.as_uri()}\n")
    output = shell("luigi", "DownloadPart", "--limit-pictures", "4", code=30)
    last = output.strip().splitlines()[-1]
    assert (
        "lacks 2 of the 4 pictures" in last
        and all(name in last for name in lacking)
        and "Traceback" not in output
    )


def test_pictures_of_your_own_keep_the_ids_that_they_have_among_all(tmp_path):
    """Without numbers in their names they are counted, and a part of them is not counted anew."""
    import h5py
    from PIL import Image

    shell = TinyShell(tmp_path)
    (tmp_path / "photos").mkdir()
    rows = ["image,question,answer"]
    for name in "abcdefgh":
        Image.new("RGB", (30, 30), (ord(name), 0, 0)).save(tmp_path / "photos" / f"{name}.png")
        rows += [f"{name}.png,What is it?,{name}"]
    (tmp_path / "qa.csv").write_text("\n".join(rows))
    (tmp_path / "mine.toml").write_text('[own.mine]\npictures = "photos"\nquestions = "qa.csv"\n')
    shell.configure("[sources]\ndatasets = mine.toml\n")
    flags = ("--dataset", "mine", "--limit-pictures", "3,1", "--weights", "random:0")
    shell("luigi", "ExtractPart", *flags)
    asked = json.loads((shell.artifact("convert-own-data") / "train-questions.json").read_text())["questions"]
    ids = sorted(
        {one["image_id"] for one in asked}, key=lambda n: hashlib.sha256(f"0:{n}".encode()).hexdigest()
    )[:3]
    with h5py.File(shell.artifact("extract-part") / "features.h5") as file:
        assert file["image_ids"][()].tolist() == sorted(ids)
        assert file["image_names"].asstr()[()].tolist() == [
            f"{'abcdefgh'[number - 1]}.png" for number in sorted(ids)
        ]
