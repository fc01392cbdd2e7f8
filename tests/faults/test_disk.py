"""A disk that is full, read-only, or not ours, and folders with odd names.

The disk is a tmpfs of a stated size, filled up to what a test leaves free; where none can be mounted these tests are
skipped, and the limit on the size of a file (ulimit -f) still stands for one.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import threading
from pathlib import Path

import pytest
from commands import TinyShell
from small_disk import PAGE, small_disks
from watched import contents, watched

from data.base.files import length
from tasks.contract import artifacts
from tasks.contract.manifest import parse


@pytest.fixture
def disk(tmp_path):
    with small_disks(tmp_path / "disk") as make:
        yield make


@pytest.fixture
def tiny_on_disk(tiny_run, disk):
    """A copy of the finished run on a disk of 32 MB."""
    small = disk(32 << 20)
    shell = TinyShell(small.path)
    shutil.copytree(tiny_run[0].artifacts, shell.artifacts, symlinks=True)
    return shell, small


# ------------------------------------------------------------------------------- stages, by the command line


def digest_of(artifact: Path) -> str:
    return parse((artifact / "manifest.json").read_bytes()).digest


def fails(shell: TinyShell, said: str, *words: object, blocks: int | None = None) -> str:
    """The command ends in one line that says so, with exit code 30; nothing that was there is touched."""
    before = contents(shell.artifacts)
    limit = ["sh", "-c", f'ulimit -f {blocks}; exec "$@"', "sh"] if blocks is not None else []
    result = watched([*limit, *shell.command(*words)], shell.folder, shell.environment())
    assert result.code == 30 and said in result.output and "Traceback" not in result.output, result.output
    after = contents(shell.artifacts)
    assert {name: after.get(name) for name in before if ".work/" not in name} == {
        name: content for name, content in before.items() if ".work/" not in name
    }
    assert not [name for name in after if "/." in f"/{name}" and ".work/" not in name], after.keys()
    return result.output


def test_the_sample_is_refused_at_the_start_and_stopped_in_the_middle(disk):
    small = disk(32 << 20)
    shell = TinyShell(small.path)
    small.leave(100 * 1024)
    assert "but" in fails(
        shell, "MakeSample failed: needs 192,000 bytes", "luigi", "MakeSample", "--size", "tiny"
    )
    small.release()
    fails(shell, "File too large; the system allows no file as large", *MAKE_TINY, blocks=20)
    shell(*MAKE_TINY)
    shell("pipeline", "verify")


MAKE_TINY = ("luigi", "MakeSample", "--size", "tiny")


@pytest.mark.slow
def test_features_are_refused_at_the_start_and_stopped_in_the_middle(tiny_on_disk):
    shell, small = tiny_on_disk
    artifact = shell.artifact("extract-features", "train")
    before = digest_of(artifact)
    shutil.rmtree(artifact)
    command = ("luigi", "ExtractFeatures", "--image-set", "sample-train")
    small.leave(12 * 1024)
    known = ("--backbone", "resnet50", "--layer", "pooled")
    # 8 pictures, 2048 float16, written once
    fails(shell, "ExtractFeatures failed: needs 32,768 bytes, but", *command, *known)
    for room in (4, 12, 20):
        shutil.rmtree(artifact.parent / ".work", ignore_errors=True)
        small.leave(room * 1024)
        assert "No space left on device; make room" in fails(shell, "ExtractFeatures failed", *command)
        assert not artifact.exists()
    small.release()
    shell(*command)
    assert digest_of(artifact) == before
    shell("pipeline", "verify")


@pytest.mark.slow
def test_features_need_their_size_on_the_disk_that_their_stage_is_linked_to(tiny, disk):
    """A disk of 1.05 times their size: no byte is written twice, and none where the rest of the artifacts lie."""
    shutil.rmtree(tiny.artifacts / "extract-features")
    size = 8 * 13 * 13 * 1000 * 2
    small = disk(size * 105 // 100 // PAGE * PAGE)
    (tiny.artifacts / "extract-features").symlink_to(small.path)
    words = ("--backbone", "squeezenet1_1", "--layer", "classifier.1", "--image-set", "sample-train")
    work = tiny.artifacts / ".work"
    before = artifacts.size(work)
    with Peak(small.path, work) as peak:
        tiny("luigi", "ExtractFeatures", *words)
    assert size <= peak.most[small.path] <= 1.05 * size
    assert peak.most[work] - before < 10_000
    [artifact] = small.path.iterdir()
    assert (artifact / "features.h5").stat().st_size > size
    tiny("pipeline", "verify")


class Peak:
    """What lies below some folders at the most, names and lengths as they are: looked at again and again."""

    def __init__(self, *folders: Path) -> None:
        self.most = dict.fromkeys(folders, 0)
        self.over = threading.Event()

    def __enter__(self) -> Peak:
        self.thread = threading.Thread(target=self._look)
        self.thread.start()
        return self

    def __exit__(self, *failure: object) -> None:
        self.over.set()
        self.thread.join()

    def _look(self) -> None:
        while not self.over.wait(0.002):
            for folder in self.most:
                paths = (Path(where, name) for where, _, names in os.walk(folder) for name in names)
                self.most[folder] = max(self.most[folder], sum(length(path) for path in paths))


@pytest.mark.slow
def test_training_is_refused_at_the_start_and_stopped_in_the_middle(tiny_on_disk):
    shell, small = tiny_on_disk
    artifact = shell.artifact("train-model")
    before = digest_of(artifact)
    shutil.rmtree(artifact)
    shutil.rmtree(shell.artifacts / ".work")
    small.leave(100 * 1024)
    fails(shell, "TrainModel failed: needs ", "luigi", "TrainModel")
    small.release()
    fails(shell, "File too large; the system allows no file as large", "luigi", "TrainModel", blocks=100)
    assert not artifact.exists()
    shell("luigi", "TrainModel")
    assert digest_of(artifact) == before


SMALL_STAGES = {
    "build-vocabulary": ("BuildVocabulary",),
    "encode-questions": ("EncodeQuestions", "--split", "val"),
    "encode-answers": ("EncodeAnswers", "--split", "val"),
    "build-embeddings": ("BuildEmbeddings",),
    "check-leaks": ("CheckLeaks",),
    "predict-answers": ("PredictAnswers",),
    "exchange-pictures": ("ExchangePictures",),
    "evaluate-model": ("EvaluateModel",),
    "report": ("Report",),
    "download-glove": ("DownloadGlove", "--glove", "glove.sample.300d"),
}


@pytest.mark.slow
@pytest.mark.parametrize("stage", SMALL_STAGES)
def test_every_other_stage_is_stopped_by_a_full_disk_and_mended_by_room(tiny_on_disk, stage):
    shell, small = tiny_on_disk
    artifact = shell.artifact(stage, "val" if stage.startswith("encode") else "")
    before = digest_of(artifact)
    shutil.rmtree(artifact)
    for room in (0, PAGE):
        small.leave(room)
        fails(shell, "No space left on device; make room", "luigi", *SMALL_STAGES[stage])
        assert not artifact.exists()
    small.release()
    shell("luigi", *SMALL_STAGES[stage])
    assert digest_of(artifact) == before or stage == "report"


# --------------------------------------------------------------------------------- read-only, not permitted


@pytest.mark.slow
def test_a_read_only_disk_can_be_looked_at_and_says_so_when_written_to(tiny_on_disk):
    shell, small = tiny_on_disk
    features_file = shell.artifact("extract-features", "train") / "features.h5"
    content = bytearray(features_file.read_bytes())
    content[-9] ^= 1
    features_file.write_bytes(content)
    small.read_only()
    assert "nothing to do" in shell("luigi", "RunAll")
    assert "nothing to do" in shell("pipeline", "plan")
    assert "features.h5 has sha256" in shell("pipeline", "verify", code=1)  # though it can't be marked
    fails(
        shell,
        "Read-only file system; set [paths] artifacts in luigi.cfg",
        "luigi",
        "TrainModel",
        "--epochs",
        3,
    )
    fails(shell, "Read-only file system", "luigi", "BuildVocabulary", "--rerun")


@pytest.fixture
def nobody(tiny_run):
    """A finished run that belongs to root, and the start of a command that runs without root's rights."""
    prefix = []
    if os.geteuid() == 0:
        if not shutil.which("setpriv"):
            pytest.skip("setpriv, which gives up root's rights, is not installed")
        prefix = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    folder = Path(tempfile.mkdtemp())
    shell = TinyShell(folder)
    shutil.copytree(tiny_run[0].artifacts, shell.artifacts, symlinks=True)
    folder.chmod(0o755)
    ours = watched([*prefix, sys.executable, "-c", "import pipeline"], folder, shell.environment())
    if ours.code:
        pytest.skip("this checkout can't be read without root's rights")
    yield shell, prefix
    for path in (shell.artifacts, *shell.artifacts.rglob("*")):
        if path.is_dir():
            path.chmod(0o755)
    shutil.rmtree(folder)


@pytest.mark.slow
def test_without_permission_it_is_one_line(nobody):
    shell, prefix = nobody
    for path in (shell.artifacts, *shell.artifacts.rglob("*")):
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o555)

    def said(*words: object) -> tuple[int, str]:
        done = watched(
            [*prefix, *shell.command(*words)], shell.folder, shell.environment(HOME="/nonexistent")
        )
        assert "Traceback" not in done.output, done.output
        return done.code, done.output

    assert said("luigi", "RunAll")[0] == 0
    code, output = said("luigi", "TrainModel", "--epochs", 3)
    assert code == 30 and "Permission denied; set [paths] artifacts in luigi.cfg" in output
    shell.artifacts.chmod(0)
    code, output = said("luigi", "RunAll")
    assert code == 30 and "Permission denied" in output
    assert said("pipeline", "plan")[0] in (0, 1)


# ------------------------------------------------------------------------------------------------ odd names


@pytest.mark.slow
def test_a_folder_with_spaces_and_other_alphabets(tmp_path, tiny_run):
    folder = tmp_path / "Meine Daten 数据 [1] 'a' $ & *"
    folder.mkdir()
    shell = TinyShell(folder)
    mirror = folder / "a mirror é"
    mirror.mkdir()
    address = mirror.as_uri().replace("%", "%%")  # luigi.cfg's way to write a %
    shell.configure(f"[sources]\nmirror = {address}\n")
    shell("luigi", "RunAll")
    for stage in ("train-model", "predict-answers", "evaluate-model"):
        assert digest_of(shell.artifact(stage)) == digest_of(tiny_run[0].artifact(stage))
    (shell.artifact("build-embeddings") / "embeddings.h5").unlink()
    assert "embeddings.h5 is missing" in shell("pipeline", "plan")
    assert shell.built(shell("luigi", "RunAll")) == ["BuildEmbeddings"]
    shell("pipeline", "verify")
    shell("pipeline", "gc", "RunAll", "--epochs", 1, "--yes")
