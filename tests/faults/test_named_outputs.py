"""Whatever path a user names to write to: refused before the work, links followed, nothing but a file replaced."""

from __future__ import annotations

import os
import re
import stat
import zipfile

import pytest
from not_plain import KINDS, NO_TARGETS, a_folder_of_pictures, features_to, refusal

from data.catalog import sources
from data.seed_files import write_seed_files
from pipeline.__main__ import main
from tasks.setup import settings

pytestmark = pytest.mark.timeout(60)
SMALL_RUN = ("RunAll", "--backbone", "resnet18", "--layer", "flatten", "--hidden", "16", "--joint", "32")
SMALL_RUN += ("--epochs", "2")  # as in commands.SMALL


@pytest.fixture
def trained(tiny_run, room, monkeypatch):
    """The finished run's artifacts as those of this process."""
    import luigi

    monkeypatch.setenv(sources.VARIABLE, str(tiny_run[0].catalog))
    luigi.configuration.get_config().set("paths", "artifacts", str(tiny_run[0].artifacts))
    luigi.Task.clear_instance_cache()
    return tiny_run[0].artifact("train-model").name.rpartition("-")[2]


def nothing_is_done(monkeypatch):
    """Whatever works for an output ends the test."""
    for place in (
        "tasks.extraction.standalone.extract_features",
        "tasks.library.evaluations.compare",
        "pipeline.commands.export._finished",
    ):
        monkeypatch.setattr(place, lambda *_: pytest.fail("worked before it looked at the output"))


def lying(folder):
    """Name and kind of all that lies in a folder."""
    return {path.name: stat.S_IFMT(path.lstat().st_mode) for path in folder.iterdir()}


@pytest.mark.parametrize("kind", NO_TARGETS)
@pytest.mark.parametrize("command", ["features", "compare"])
def test_an_output_that_can_t_be_written_is_refused_before_the_work(
    room, trained, capsys, monkeypatch, command, kind
):
    make, expected = NO_TARGETS[kind]
    a_folder_of_pictures("photos")
    make(room / "out")
    before = lying(room)
    words = {"features": features_to("out"), "compare": ["compare", trained, trained, "--out", "out"]}[
        command
    ]
    nothing_is_done(monkeypatch)
    line = refusal(lambda: main(words), capsys)
    assert re.search(expected, line) and lying(room) == before


@pytest.mark.parametrize("kind", [*(kind for kind in NO_TARGETS if kind != "folder"), "link to nothing"])
@pytest.mark.parametrize("name", ["out", "data_prepro.json"])
def test_an_export_is_refused_before_the_work(room, trained, capsys, monkeypatch, name, kind):
    """The folder itself, or one of the files that would come into it."""
    (NO_TARGETS | KINDS)[kind][0](room / name)
    before = lying(room)
    nothing_is_done(monkeypatch)
    line = refusal(lambda: main(["export", "--to", "out" if name == "out" else "."]), capsys)
    assert ("out: is not a folder" if name == "out" else "already holds data_prepro.json") in line
    assert lying(room) == before


@pytest.mark.parametrize("command", ["features", "compare"])
def test_an_output_that_is_a_link_is_followed(room, trained, artifacts, capsys, monkeypatch, command):
    a_folder_of_pictures("photos")
    (room / "real").mkdir()
    (room / "real" / "file").write_text("old")
    (room / "real" / "file").chmod(0o640)
    (room / "out").symlink_to("real/file")
    before, work = lying(room), set(os.listdir(settings.artifacts_folder()))
    assert (
        main(features_to("out") if command == "features" else ["compare", trained, trained, "--out", "out"])
        == 0
    )
    assert lying(room) == before and os.listdir("real") == ["file"]
    assert (room / "real" / "file").stat().st_size > 1000
    assert stat.S_IMODE((room / "real" / "file").stat().st_mode) == 0o640
    left = set(os.listdir(settings.artifacts_folder())) - work
    assert left <= {".work", ".identities.json"} and not list(
        settings.artifacts_folder().glob(".work/features-*")
    )


@pytest.mark.parametrize("out", ["photos/good.jpg", "photos/new.png", "photos.zip", "w.pth"])
def test_what_is_read_is_not_replaced(room, capsys, out):
    a_folder_of_pictures("photos")
    with zipfile.ZipFile("photos.zip", "w") as archive:
        archive.write("photos/good.jpg", "good.jpg")
    (room / "w.pth").write_bytes(b"PK\x03\x04")
    words = features_to(out)
    words[1] = "photos.zip" if out == "photos.zip" else "photos"
    words[words.index("random:0")] = "w.pth"
    assert "is one of the files that are read" in refusal(lambda: main(words), capsys)


def test_a_folder_that_an_export_made_for_nothing_is_removed(room, trained, capsys, monkeypatch):
    def full(path, *_):
        assert path.parent.name == "out"
        raise OSError(28, "No space left on device", "out")

    monkeypatch.setattr(write_seed_files, "write_images", full)
    assert "No space left" in refusal(lambda: main(["export", *SMALL_RUN, "--to", "out"]), capsys)
    assert os.listdir() == []
