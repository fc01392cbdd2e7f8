"""Whatever path a user names, in whatever command: what is not a plain file of bearable size ends in one line."""

from __future__ import annotations

import json
import os
import re
import resource
from pathlib import Path

import h5py
import pytest
from not_plain import FLOOD, KINDS, NETWORK, a_folder_of_pictures, features_to, refusal
from watched import MIB

from data.base.errors import DataError
from data.catalog import entries, sources
from data.download import fetch
from data.pictures.identities import folder_identity
from data.pictures.image_sets import open_images
from pipeline.__main__ import main
from tasks.library.trained_model import Model
from tasks.setup import config_files, settings
from tasks.setup.user_errors import UsageError

pytestmark = pytest.mark.timeout(30)


def features_of(path):
    return ["features", path, *NETWORK, "--weights", "random:0", "--out", "f.h5"]


def features_with(path):
    a_folder_of_pictures("photos")
    return ["features", "photos", *NETWORK, "--weights", path, "--out", "f.h5"]


def scored(which):
    """`score` with honest files but for one."""

    def words(path):
        said = [{"answer": "yes", "answer_confidence": "yes", "answer_id": n} for n in range(1, 11)]
        question = {"question_id": 1, "image_id": 1, "question": "Is it?"}
        told = {"question_id": 1, "image_id": 1, "question_type": "is", "answer_type": "yes/no"}
        told |= {"multiple_choice_answer": "yes", "answers": said}
        honest = {
            "questions": {"questions": [question]},
            "annotations": {"annotations": [told]},
            "results": [{"question_id": 1, "answer": "yes"}],
        }
        for name, content in honest.items():
            Path(f"{name}.json").write_text(json.dumps(content))
        return ["score", *(w for n in honest for w in (f"--{n}", path if n == which else f"{n}.json"))]

    return words


def imported(path):
    return ["import", "--from", path, "--annotations", "sample"]


def imported_from_a_folder(path):
    """The original's three files in a folder, one of which is what it should not be."""
    Path("seed").mkdir()
    names = {"ix_to_word": {"1": "UNK"}, "ix_to_ans": {"1": "yes"}}
    images = {"unique_img_train": ["a.jpg"], "unique_img_test": ["b.jpg"]}
    Path("seed/data_prepro.json").write_text(json.dumps(names | images))
    for name in ("data_prepro.h5", "data_img.h5"):
        h5py.File(f"seed/{name}", "w").close()
    (Path("seed") / path).unlink()
    Path(path).rename(Path("seed") / path) if os.path.lexists(path) else None
    return ["import", "--from", "seed", "--annotations", "sample"]


def own_data(**changed):
    """`plan` of a dataset of your own with honest files but for one, named by the key that `changed` has."""

    def words(path):
        a_folder_of_pictures("photos")
        Path("qa.csv").write_text("image,question,answer\ngood.jpg,Is it?,yes\n")
        Path("qa.json").write_text("{}")
        values = {"pictures": "photos", "questions": "qa.csv"} | changed
        lines = [f"{key} = {json.dumps(path if value is ... else value)}" for key, value in values.items()]
        Path("mine.toml").write_text("\n".join(["[own.mine]", *lines]))
        sources.add(Path("mine.toml"))
        return ["plan", "ConvertOwnData", "--dataset", "mine"]

    return words


def stated(entry, *command):
    """`plan` of a download whose file is stated by its path."""

    def words(path):
        Path("more.toml").write_text(f'{entry}\npath = "{path}"\n')
        sources.add(Path("more.toml"))
        return ["plan", *command]

    return words


def mirrored(path):
    from luigi import configuration

    configuration.get_config().set("sources", "mirror", Path.cwd().as_uri())
    return ["plan", "DownloadQuestions", "--dataset", "vqa-v1", "--split", "train"]


def datasets(path):
    from luigi import configuration

    configuration.get_config().set("sources", "datasets", str(Path(path).absolute()))
    settings.add_datasets()  # as when the pipeline is imported
    return ["plan", "MakeSample"]


READ = {
    "features PICTURES": (features_of, "photos.zip"),
    "features --weights .pth": (features_with, "w.pth"),
    "features --weights .safetensors": (features_with, "w.safetensors"),
    "score --annotations": (scored("annotations"), "a.json"),
    "score --questions": (scored("questions"), "q.json"),
    "score --results": (scored("results"), "r.json"),
    "import --from": (imported, "data.zip"),
    "import --from FOLDER: data_img.h5": (imported_from_a_folder, "data_img.h5"),
    "import --from FOLDER: data_prepro.h5": (imported_from_a_folder, "data_prepro.h5"),
    "import --from FOLDER: data_prepro.json": (imported_from_a_folder, "data_prepro.json"),
    "[sources] datasets": (datasets, "mine.toml"),
    "own data: pictures": (own_data(pictures=...), "mine.zip"),
    "own data: questions": (own_data(questions=...), "mine.csv"),
    "own data: questions .jsonl": (own_data(questions=...), "mine.jsonl"),
    "own data: questions .json": (own_data(questions=..., annotations="qa.json"), "q.json"),
    "own data: annotations": (own_data(questions="qa.json", annotations=...), "a.json"),
    "image set: path": (
        stated("[image_sets.mine]", "DownloadImages", "--image-set", "mine"),
        "mine.zip",
    ),
    "glove: path": (
        stated('[glove.mine]\nmembers = {"mine.txt" = 3}', "DownloadGlove", "--glove", "mine"),
        "glove.zip",
    ),
    "weights: path": (
        stated("[weights.resnet18]", "DownloadWeights", "--backbone", "resnet18"),
        "w.pth",
    ),
    "[sources] mirror": (mirrored, "Questions_Train_mscoco.zip"),
}
HARMLESS = {
    ("[sources] datasets", "empty file"),  # a TOML file may be empty
    ("[sources] mirror", "nothing"),  # it is downloaded then
    ("own data: questions", "empty file"),  # seen when they are read, by ConvertOwnData
    ("own data: questions .jsonl", "empty file"),
    ("own data: questions .json", "empty file"),
    ("own data: annotations", "empty file"),
}


@pytest.mark.parametrize(
    "where, kind", [(where, kind) for where in READ for kind in KINDS if (where, kind) not in HARMLESS]
)
def test_what_is_no_plain_file_is_refused_at_once(room, capsys, where, kind):
    command, name = READ[where]
    make, expected = KINDS[kind]
    make(room / name)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    line = refusal(lambda: main(command(name)), capsys)
    assert name.partition(".")[0] in line
    assert re.search(expected, line), line
    taken = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert taken * 1024 < 300 * MIB  # of the libraries; the flood has 3 GB


def asked(path):
    """What `ask` does with a picture before it loads the network that looks at it."""
    return Model._look(object.__new__(Model), path)


def copied(path):
    """A download from a file:// address that the catalog states."""
    source = entries.Source("mine", path, (f"file://{Path(path).absolute()}",))
    return fetch.download(source, Path("copy"), part_dir=Path("parts"))


def read_in_a_folder(path):
    a_folder_of_pictures("photos")
    images = open_images(Path("photos"))
    Path("photos/good.jpg").unlink()
    Path(path).rename("photos/good.jpg") if os.path.lexists(path) else None
    return images.read(0)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("empty file", "3 GB of nothing")])
@pytest.mark.parametrize("reader", [asked, copied, read_in_a_folder])
def test_so_do_the_readers_below_the_commands(room, kind, reader):
    make, expected = KINDS[kind]
    make(room / "good.jpg")
    with pytest.raises(DataError) as caught:
        reader("good.jpg")
    assert re.search(expected, str(caught.value)) and "good.jpg" in str(caught.value)


@pytest.mark.parametrize("kind", ["pipe", "device", "socket", "link to nothing", "link in a circle"])
def test_a_folder_of_pictures_with_one_that_is_none(room, capsys, kind):
    make, expected = KINDS[kind]
    a_folder_of_pictures("photos")
    make(room / "other.jpg")
    (room / "other.jpg").rename("photos/other.jpg")
    line = refusal(lambda: main(features_to("f.h5")), capsys)
    assert "photos/other.jpg: " in line and re.search(expected, line)
    assert os.listdir() == ["photos"]


def test_what_is_too_large_to_be_a_picture_counts_by_its_length(tmp_path):
    """It is left out in any case, so that terabytes of nothing are not hashed."""
    identities = set()
    for size in (FLOOD, FLOOD + 1, FLOOD << 10):
        with (tmp_path / "flood.jpg").open("wb") as file:
            file.truncate(size)
        identities.add(folder_identity(tmp_path, tmp_path / "known.json"))
    assert len(identities) == 3


@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "link to nothing", "link in a circle"])
def test_a_file_that_was_imported_and_is_another_thing_since(room, capsys, kind):
    make, expected = KINDS[kind]
    make(room / "data_img.h5")
    imported_from_a_folder("data_img.h5")
    stated = f'[ready_made.seed]\npath = "{Path("seed").absolute()}"\nannotated_by = "sample"\nanswers = 1\n'
    Path("imported.toml").write_text(stated)
    sources.add(Path("imported.toml"))
    line = refusal(lambda: main(["plan", "EvaluateModel", "--dataset", "seed"]), capsys)
    assert "seed/data_img.h5: " in line and re.search(expected, line)


@pytest.mark.parametrize("reader", [asked, read_in_a_folder])
def test_a_flood_is_no_picture(room, reader):
    KINDS["3 GB of nothing"][0](room / "good.jpg")
    with pytest.raises(DataError, match=r"good\.jpg: has 3,221,225,472 bytes; at most 67,108,864 are read"):
        reader("good.jpg")


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("empty file", "nothing")])
@pytest.mark.parametrize("where", ["LUIGI_CONFIG_PATH", "luigi.cfg"])
def test_the_configuration(room, monkeypatch, where, kind):
    make, expected = KINDS[kind]
    name = "luigi.cfg" if where == "luigi.cfg" else "other.cfg"
    make(room / name)
    if where == "LUIGI_CONFIG_PATH":
        monkeypatch.setenv(where, name)
    with pytest.raises(DataError, match=f"{name}: .*({expected})"):
        config_files.check()


@pytest.mark.parametrize("kind", ["pipe", "device", "link to nothing", "link in a circle", "empty file"])
def test_an_artifacts_folder_that_is_none(room, kind):
    from luigi import configuration

    KINDS[kind][0](room / "artifacts")
    configuration.get_config().set("paths", "artifacts", str((room / "artifacts").absolute()))
    with pytest.raises(UsageError, match="artifacts: is not a folder"):
        settings.check_artifacts_folder()
