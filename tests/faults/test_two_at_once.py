"""Two runs at the same moment in one folder of artifacts: both succeed, and each artifact is made once."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections import Counter

import pytest
from bad_server import Answer, BadServer
from faults.harness import Run, copy_of, differences

from tasks.contract.manifest import parse


def beside(run, workers=1):
    """Another user's folder, with the same artifacts."""
    other = Run(run.folder.with_name("other"), workers)
    other.artifacts, other.catalog = run.artifacts, run.catalog
    other.configure("")
    return other


def at_once(run, other, ours=(), theirs=(), **extra):
    """Both commands, which must succeed. Returns how often each artifact was made."""
    processes = run.start(*ours, **extra), other.start(*theirs, **extra)
    codes = [each.wait(process) for each, process in zip((run, other), processes, strict=True)]
    said = run.said() + other.said()
    assert codes == [0, 0], said
    assert run.survivors() + other.survivors() == []
    return Counter(re.findall(r"built \w+ in [\d.]+ s: (.+)", said))


def test_two_runs_at_once_make_each_missing_artifact_once(tiny_run, tmp_path):
    run = Run(tmp_path / "one")
    shutil.copytree(tiny_run[0].artifacts, run.artifacts)
    for stage in ("evaluate-model", "report"):
        shutil.rmtree(run.artifact(stage))
    made = at_once(run, beside(run))
    assert set(made.values()) == {1} and len(made) == 2
    assert differences(tiny_run[0].artifacts, run.artifacts) == []


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("workers", "theirs"), [(1, "the same"), (4, "other flags")])
def test_two_runs_at_once_both_succeed_and_make_each_artifact_once(usual, tmp_path, workers, theirs):
    run = Run(tmp_path / "one", workers)
    other = beside(run, 5 - workers)
    flags = ("--epochs", 3) if theirs == "other flags" else ()
    made = at_once(run, other, theirs=("luigi", "RunAll", "--workers", other.workers, *flags))
    assert set(made.values()) == {1}
    assert len(made) == len(usual.each) + (5 if flags else 0)  # train, predict, exchange, evaluate, report
    if not flags:
        assert run.finish(usual) == []
    else:  # the two share snapshots, of which the newest are kept: those of three epochs
        assert run.wait(run.start("pipeline", "gc", "RunAll", "--yes")) == 0
        different = differences(usual.artifacts, run.artifacts)
        assert [line for line in different if ".work/train-model" not in line] == []


@pytest.mark.slow
def test_two_trainings_at_once_end_with_one_model(usual, tmp_path):
    """Many short epochs: each run drops the snapshots of the other while it writes its own."""
    run = copy_of(usual, tmp_path / "one", without=("train-model",))
    words = ("luigi", "TrainModel", "--epochs", 60)
    made = at_once(run, beside(run), words, words)
    assert list(made.values()) == [1]
    undisturbed = copy_of(usual, tmp_path / "three", without=("train-model",))
    assert undisturbed.wait(undisturbed.start(*words)) == 0
    different = differences(undisturbed.artifacts, run.artifacts)
    assert different == []


# ------------------------------------------------------------------------------- downloads, and locks that do not lock


@pytest.fixture
def served(tiny_run):
    """A server that has the sample's files; slow, so that two transfers meet."""
    [made] = (tiny_run[0].artifacts / "make-sample").iterdir()
    with BadServer() as server:
        server.files = {path.name: path.read_bytes() for path in made.glob("*.zip")}
        server.usual = Answer(pace=0.3)
        yield server


def download_from(run, server):
    """Give every file of the sample an address in the place of the stage that makes it."""

    def address(match):
        sha256 = hashlib.sha256(server.files[match[1]]).hexdigest()
        return f'file = "{match[1]}"\nurls = ["{server.url}{match[1]}"]\nsha256 = "{sha256}"'

    text = run.catalog.read_text(encoding="utf-8")
    changed, count = re.subn(r'made_by = "tiny"\nfile = "(.+)"', address, text)
    assert count == len(server.files)
    run.catalog.write_text(changed, encoding="utf-8")


LOCKS = ["", "nothing", "ENOLCK", "EOPNOTSUPP"]


@pytest.mark.parametrize("locks", ["nothing", *(pytest.param(one, marks=pytest.mark.slow) for one in LOCKS)])
def test_two_runs_that_download_at_once_whatever_locks_do(served, tmp_path, locks):
    run = Run(tmp_path / "one")
    download_from(run, served)
    extra = {"VQA_FLOCK": locks} if locks else {}
    words = ("luigi", "DownloadImages", "--image-set", "sample-train")
    made = at_once(run, beside(run), words, words, **extra)
    assert list(made.values()) == [1]
    file = run.artifact("download-images") / "sample-train.zip"
    assert file.read_bytes() == served.files[file.name]
    assert list((run.artifacts / ".work" / "download-parts").iterdir()) == []
    if locks == "":
        facts = parse((file.parent / "manifest.json").read_bytes()).facts
        assert served.sent in (len(served.files[file.name]), facts["transferred"])


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_whole_runs_where_locks_do_not_lock(served, tmp_path):
    run = Run(tmp_path / "one")
    download_from(run, served)
    made = at_once(run, beside(run, 2), VQA_FLOCK="nothing")
    assert set(made.values()) == {1}
    assert run.wait(run.start("pipeline", "verify")) == 0, run.said()
    assert list((run.artifacts / ".work" / "download-parts").iterdir()) == []
    assert not list(run.artifacts.glob("*/.tmp-*"))
