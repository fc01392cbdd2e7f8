"""The tiny sample's files as if they were the real ones: from a server, from your own copy, from unpacked folders."""

from __future__ import annotations

import hashlib
import shutil
import threading
import zipfile
from functools import partial
from http.server import SimpleHTTPRequestHandler

import pytest
from commands import TinyShell, pinned
from quiet_server import QuietServer

NOWHERE = "http://127.0.0.1:1/"


@pytest.fixture(scope="module")
def files(tiny_run):
    """The folder of the sample's zips."""
    return tiny_run[0].artifact("make-sample")


@pytest.fixture
def server(files):
    """(its address, the paths it was asked for)."""
    requested: list[str] = []

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            requested.append(self.path.lstrip("/"))

    with QuietServer(("127.0.0.1", 0), partial(Handler, directory=files)) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{httpd.server_port}/", requested
        httpd.shutdown()


@pytest.mark.slow
def test_everything_from_a_server(tmp_path, files, server, tiny_run):
    """Four at a time, each once; what is learnt from the files is what the sample itself gives."""
    shell, (base, requested) = TinyShell(tmp_path), server
    pinned(shell, files, base)
    assert "download 0 B" not in shell("pipeline", "plan")
    shell("luigi", "RunAll", "--workers", "4")
    assert sorted(requested) == sorted(path.name for path in files.glob("*.zip"))
    for stage, name in (("extract-features", "features.h5"), ("evaluate-model", "accuracy.json")):
        ours, theirs = (
            {hashlib.sha256(path.read_bytes()).hexdigest() for path in artifacts.glob(f"{stage}/*/{name}")}
            for artifacts in (shell.artifacts, tiny_run[0].artifacts)
        )
        assert ours == theirs and ours
    assert "nothing to do" in shell("luigi", "RunAll")


@pytest.mark.slow
def test_ones_own_zips_and_folders_are_used_in_place(tmp_path, files):
    """One image set lies unpacked, as COCO often does; everything else as zips. Nothing is copied."""
    shell, mine = TinyShell(tmp_path), tmp_path / "my coco"
    mine.mkdir()
    pinned(shell, files, NOWHERE)
    for path in files.glob("*.zip"):
        if path.name == "sample-train.zip":
            with zipfile.ZipFile(path) as archive:
                archive.extractall(mine / "sample-train")
        else:
            shutil.copy(path, mine)
    shell.configure(f"[sources]\nmirror = {mine.as_uri()}\n")  # with a lone %
    shell("luigi", "RunAll")
    folder = shell.artifact("download-images", "train") / "pictures"
    assert folder.is_symlink() and folder.resolve() == (mine / "sample-train").resolve()
    zipped = shell.artifact("download-images", "val") / "sample-val.zip"
    assert zipped.is_symlink() and zipped.resolve() == (mine / "sample-val.zip").resolve()
    copies = [path for path in shell.artifacts.glob("download-*/*/*.zip") if not path.is_symlink()]
    assert copies == []


def test_an_incomplete_folder_is_refused_by_count(tmp_path, files):
    shell, mine = TinyShell(tmp_path), tmp_path / "coco"
    pinned(shell, files, NOWHERE)
    with zipfile.ZipFile(files / "sample-train.zip") as archive:
        archive.extractall(mine / "sample-train")
    next((mine / "sample-train").rglob("*.jpg")).unlink()
    shell.configure(f"[sources]\nmirror = {mine.as_uri()}\n")
    flags = ("--image-set", "sample-train", "--weights", "random:0")
    output = shell("luigi", "ExtractFeatures", *flags, code=None)
    assert "found 7 pictures, expected the 8 of sample-train" in output
    assert not list(shell.artifacts.glob("extract-features/*/features.h5"))


@pytest.mark.slow
def test_a_multiple_choice_file_without_choices_is_refused(tmp_path, files):
    shell = TinyShell(tmp_path)
    text = shell.catalog.read_text(encoding="utf-8")
    open_ended = '"OpenEnded_sample_val_questions.json"'
    shell.catalog.write_text(
        text.replace('"MultipleChoice_sample_val_questions.json"', open_ended), encoding="utf-8"
    )
    output = shell("luigi", "PredictAnswers", "--task", "multiple-choice", "--epochs", "1", code=30)
    assert "the multiple-choice file has no multiple_choices" in output and "Traceback" not in output
