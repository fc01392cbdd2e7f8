"""`gc` removes what is the pipeline's and not needed, and nothing else."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import luigi
import pytest
from commands import ROOT
from small_disk import PAGE, Disk

from pipeline.__main__ import main
from pipeline.commands import gc as pruning
from tasks.contract import artifacts as contract
from tasks.contract.manifest import Key, Manifest, digest
from tasks.library import inventory
from tasks.stages.download import DownloadGlove, DownloadImages

HEX = "0123456789abcdef"
FILES = {
    "extract-features": ["features.h5"],
    "train-model": ["model.safetensors", "config.json", "history.csv", "curves.png", "events/events.out.1"],
    "predict-answers": ["results.json", "predictions.h5"],
    "report": ["report.html"],
}


def write(path: Path, text: str = "x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def artifact(base: Path, stage: str, number: int = 0) -> Path:
    """A complete artifact that no root reaches."""
    family = next(cls.__name__ for name, cls in inventory.stages().items() if name == stage)
    key = Key(family, 1, {"number": number}, {})
    folder = base / stage / f"vgg16-{key.fingerprint}"
    for name in FILES[stage]:
        write(folder / name)
    files = contract.describe(folder)
    Manifest(key, files, digest(files, ()), {}, {}, [], 1, 1, 1, manifest_version=1).write(folder)
    assert contract.complete(folder)
    return folder


def files_below(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if not path.is_dir() or path.is_symlink()}


def gc(capsys, *words: str) -> str:
    """A root that reaches none of what the tests make."""
    luigi.Task.clear_instance_cache()
    assert main(["gc", "MakeSample", *words]) == 0
    return capsys.readouterr().out


def dead(name: str) -> str:
    return f"{name}-{socket.gethostname()}-4194303-{time.time_ns()}"


def test_artifacts_of_ours_go_whole_or_damaged(artifacts, capsys):
    ours = [artifact(artifacts, stage) for stage in FILES]
    (ours[0] / "manifest.json").unlink()
    (ours[1] / "manifest.json").write_text("{")
    (ours[2] / "results.json").unlink()
    write(ours[3] / "damaged.txt")
    (emptied := artifacts / "build-vocabulary" / f"sample-train-{HEX}").mkdir(parents=True)
    listed = gc(capsys)
    assert [str(path) in listed for path in [*ours, emptied]] == [True] * 5
    assert all(path.is_dir() for path in [*ours, emptied])
    assert "5 artifacts, " in listed.splitlines()[-2]
    assert "5 artifacts, " in gc(capsys, "--yes").splitlines()[-1]
    assert not files_below(artifacts) and not emptied.exists()


@pytest.mark.parametrize(
    "name",
    [
        f"thesis/ch1-{HEX}/t.tex",
        "thesis/ch1/t.tex",
        "extract-features/my-notes/t.txt",
        f"extract-features/my-notes-{HEX}/t.txt",
        f"extract-features/vgg16-{HEX}/photos/features.h5/a.jpg",
        f"extract-features/vgg16-{HEX}x/features.h5",
        f"extract-features/vgg16-{HEX}",
        "extract-features/.tmp-x/t.txt",
        f"extract-features/.old-vgg16-{HEX}/t.txt",
        f"thesis/.tmp-ch1-{HEX}-host-4194303-1700000000000000000/t.tex",
        f".work/ch1-{HEX}/t.tex",
        ".work/train-model-mine/epoch-0001.json",
        f".work/train-model-{HEX}/notes.txt",
        f"extract-features/.work/extract-features-{HEX}/cpu-float32-{HEX}/artifact/notes.txt",
        f"extract-features/.work/photos-{HEX}/features.h5",
        f"thesis/.work/extract-features-{HEX}/cpu/artifact/features.h5",
        ".work/.trip-paris-2019-07/t.txt",
        ".work/.run-mine",
        ".work/download-parts/notes.txt",
        ".work/download-parts/my.part",
        "notes.txt",
        "features.h5",
        ".identities.json.mine.tmp",
    ],
)
def test_what_is_a_persons_stays(artifacts, capsys, name):
    theirs = write(artifacts / name)
    ours = artifact(artifacts, "extract-features")
    assert main(["verify"]) == 0
    assert str(theirs) not in (said := gc(capsys, "--downloads", "--yes"))
    assert "DIFFERS" not in said and not ours.exists() and theirs.read_text() == "x"


def test_a_persons_copy_of_an_artifact_under_another_name_stays(artifacts, capsys):
    ours = artifact(artifacts, "train-model")
    copy = shutil.copytree(ours, artifacts / "best models" / ours.name)
    gc(capsys, "--yes")
    assert not ours.exists() and len(files_below(copy)) == 6


def test_an_artifact_or_work_with_a_persons_file_in_it_is_kept_and_the_file_named(artifacts, capsys):
    ours, work = artifact(artifacts, "train-model"), artifacts / ".work" / f"train-model-{HEX}"
    notes = [write(ours / "events" / "notes.txt"), write(work / "drafts" / "todo.md")]
    write(work / "epoch-0001.json")
    before = files_below(artifacts)
    said = gc(capsys, "--yes").splitlines()
    assert [line.partition(": holds")[0] for line in said[:2]] == [f"keep {ours}", f"keep {work}"]
    assert "events/notes.txt" in said[0] and "drafts/todo.md" in said[1] and said[2:] == ["nothing to remove"]
    assert files_below(artifacts) == before
    for path in notes:
        path.unlink()
    gc(capsys, "--yes")
    assert not files_below(artifacts)


def test_links_are_not_followed_but_for_a_whole_stage(artifacts, capsys, tmp_path):
    large = tmp_path / "large"
    moved = artifact(large, "extract-features")
    theirs = {
        write(large / "extract-features" / "photos" / "a.jpg"),
        write(large / "data" / "2019" / "b.jpg"),
        write(large / "report" / f"vgg16-{HEX}" / "report.html"),
        write(large / "snapshots" / "epoch-0001.json"),
    }
    linked = artifact(large / "other", "predict-answers")
    kept = theirs | files_below(linked)
    inside = artifact(artifacts, "train-model")
    (inside / "model.safetensors").unlink()
    (inside / "model.safetensors").symlink_to(large / "data" / "2019" / "b.jpg")
    shutil.rmtree(inside / "events")
    (inside / "events").symlink_to(large / "data" / "2019")  # a link to a folder, under a name of ours
    for place, target in {
        "extract-features": large / "extract-features",
        "pictures": large / "data",
        f"report/vgg16-{HEX}": large / "report" / f"vgg16-{HEX}",
        f"predict-answers/{linked.name}": linked,
        f".work/train-model-{HEX}": large / "snapshots",
    }.items():
        (artifacts / place).parent.mkdir(exist_ok=True)
        (artifacts / place).symlink_to(target)
    (artifacts / "report" / dead(f".tmp-vgg16-{HEX}")).symlink_to(large / "data")
    said = gc(capsys, "--yes")
    assert f"keep {artifacts / 'predict-answers' / linked.name}: a link" in said
    assert not moved.exists() and kept <= files_below(large)
    assert files_below(large) == kept
    assert (artifacts / "extract-features").is_symlink() and (
        artifacts / "report" / f"vgg16-{HEX}"
    ).is_symlink()
    assert "events" in said and inside.exists()  # it holds a link that is not the pipeline's
    (inside / "events").unlink()
    gc(capsys, "--yes")
    assert not inside.exists() and files_below(large) == kept


def test_the_artifacts_folder_may_be_a_link(artifacts, capsys, tmp_path):
    ours, theirs = (
        artifact(tmp_path / "large", "report"),
        write(tmp_path / "large" / "report" / "notes" / "t.txt"),
    )
    artifacts.symlink_to(tmp_path / "large")
    gc(capsys, "--yes")
    assert artifacts.is_symlink() and not ours.exists() and theirs.exists()


def test_work_and_leftovers_of_any_age_go(artifacts, capsys):
    work, features = artifacts / ".work", artifacts / "extract-features" / ".work" / f"extract-features-{HEX}"
    settings = f"cpu-float32-{HEX}"
    ours = [
        write(work / f"train-model-{HEX}" / "epoch-0001.safetensors"),
        write(features / settings / "shard-000001.json"),
        write(features / settings / dead(".tmp-shard-000002.json")),
        write(features / settings / "artifact" / "features.h5"),
        write(features / settings / "artifact" / "manifest.json"),
        write(features / settings / "fc7" / "artifact" / "features.h5"),
        write(features / settings / "fc7" / "kept" / "features.h5"),
        write(features.parent / dead(f".tmp-{features.name}") / settings / "shard-000001.json"),
        # versions before kept the rows of each shard in a file of its own, and all of it here
        write(work / features.name / settings / "shard-000001.npy"),
        write(work / features.name / settings / dead(".tmp-shard-000002.npy")),
        write(work / features.name / settings / dead(".shard-000003.npy")),  # older
        write(artifacts / "report" / dead(f".tmp-vgg16-{HEX}") / "half.html"),
        write(artifacts / "report" / dead(f".old-vgg16-{HEX}") / "report.html"),
        write(work / dead(f".tmp-train-model-{HEX}") / "epoch-0001.json"),
        write(work / dead(".run")),
        write(artifacts / dead(".tmp-.identities.json")),
        write(artifacts / ".identities.json.4194303.tmp"),
    ]
    # Where only .old-* is left of an artifact, that is the artifact.
    replaced = artifact(artifacts, "train-model")
    replaced.rename(replaced.with_name(dead(f".old-{replaced.name}")))
    said = gc(capsys, "--yes")
    assert str(replaced) in said and "2 artifacts, 9 pieces of unfinished work, " in said.splitlines()[-1]
    assert not files_below(artifacts), ours


def test_work_of_the_features_command_goes_when_its_process_has_ended(artifacts, capsys, tmp_path):
    """Killed after its first shard; then a living process works there."""
    work = artifacts / ".work" / f"features-{HEX}"
    shard = write(work / "settings" / "shard-00000.npy")
    code = (
        f"from pathlib import Path; from tasks.library import in_use; in_use.note_paths(Path({str(work)!r}))"
    )
    environment = os.environ | {
        "LUIGI_CONFIG_PATH": str(write(tmp_path / "luigi.cfg", f"[paths]\nartifacts = {artifacts}"))
    }
    program = [sys.executable, "-c", f"import pipeline; {code}; print(1); input()"]
    with subprocess.Popen(
        program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, cwd=ROOT
    ) as living:
        assert living.stdout.readline() == "1\n"
        assert f"process {living.pid} on" in gc(capsys, "--yes") and shard.exists()
        living.kill()
    gc(capsys, "--yes")
    assert not work.exists()


def test_partial_downloads_that_a_root_needs_stay(artifacts, capsys):
    images, glove = DownloadImages(image_set="train2014"), DownloadGlove(glove="glove.6B.300d")
    mine, other = write(images.part()), write(glove.part())
    beside = [
        write(path.with_name(f"{path.name}.{more}")) for path in (mine, other) for more in ("json", "h.12")
    ]
    whole = write(images.path.with_name(f"val2014-{HEX}") / "val2014.zip")
    unfinished = {mine, other, *beside}

    def left(*words: str) -> set[Path]:
        luigi.Task.clear_instance_cache()
        assert main(["gc", *words, "--yes"]) == 0
        return {path for path in {*unfinished, whole} if path.exists()}

    assert left("MakeSample") == {*unfinished, whole}
    assert (
        left("DownloadImages", "--image-set", "train2014", "--", glove.task_family, "--downloads")
        == unfinished
    )
    assert left("DownloadImages", "--image-set", "train2014", "--downloads") == {mine, *beside[:2]}
    assert left("MakeSample", "--downloads") == set()


def _killed_while_it_removes(path: Path) -> None:
    def die(_: Path) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    shutil.rmtree = lambda *_, **__: die(path)
    pruning.discard(path)


def test_a_gc_killed_while_it_removes_leaves_no_half_artifact(artifacts, capsys):
    ours = artifact(artifacts, "train-model")
    child = multiprocessing.get_context("fork").Process(target=_killed_while_it_removes, args=(ours,))
    child.start()
    child.join()
    assert child.exitcode == -signal.SIGKILL
    assert not ours.exists() and len(files_below(artifacts)) == 6
    assert "1 piece of unfinished work" in gc(capsys, "--yes")
    assert not files_below(artifacts)


def test_a_link_put_in_the_place_of_what_is_being_removed_is_not_followed(artifacts, tmp_path):
    ours, theirs = artifact(artifacts, "report"), write(tmp_path / "photos" / "a.jpg")
    shutil.rmtree(ours)
    ours.symlink_to(theirs.parent)
    pruning.discard(ours)
    assert theirs.exists() and not os.path.lexists(ours) and not files_below(artifacts)


def test_what_cannot_be_removed_is_said(artifacts, capsys):
    """Root may remove anything but the place of a mounted disk."""
    root = os.geteuid() == 0
    events = artifact(artifacts, "train-model") / "events"
    if root:
        shutil.rmtree(events)
        Disk(events, 4 * PAGE)
    else:
        events.chmod(0o500)
    try:
        assert main(["gc", "MakeSample", "--yes"]) == 1
        assert "could not be removed whole" in capsys.readouterr().err
    finally:
        [events] = artifacts.rglob("events")
        subprocess.run(["umount", events], check=True) if root else events.chmod(0o700)
    assert not list(artifacts.glob("train-model/[!.]*"))  # what is left is not an artifact any more


@pytest.mark.parametrize(
    "command",
    [
        ("pipeline", "gc", "RunAll", "--yes"),
        ("pipeline", "verify"),
        ("pipeline", "runs"),
        ("luigi", "RunAll"),
    ],
    ids=lambda words: " ".join(words),
)
def test_an_empty_artifacts_setting_is_refused(shell, command):
    theirs = write(shell.folder / "photos" / "2019" / "a.jpg")
    shell.config.write_text("[paths]\nartifacts =\n")
    said = shell(*command, code=1)
    assert said.strip() == f"error: {shell.config}, line 2: [paths] artifacts = '': expected a folder"
    assert theirs.exists()


@pytest.mark.slow
def test_what_a_living_run_needs_stays_and_it_ends_well(tiny):
    """The run has made most of what it needs, and trains; gc is asked to keep something else."""
    process = tiny.start("luigi", "RunAll", "--seed", 7)
    try:
        deadline = time.time() + 120
        while not list(tiny.artifacts.glob("train-model/.tmp-*")) and time.time() < deadline:
            time.sleep(0.002)
        os.killpg(process.pid, signal.SIGSTOP)  # so that it is not over before gc is
        said = tiny("pipeline", "gc", "MakeSample", "--size", "tiny", "--downloads", "--yes")
        os.killpg(process.pid, signal.SIGCONT)
        output, _ = process.communicate(timeout=120)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 0, output
    # Besides what the run has built, it has read features, and needs those of val only after its training.
    kept = [line for line in said.splitlines() if f"process {process.pid} on " in line]
    assert sum("/extract-features/" in line for line in kept) == 2
    assert "1 trained model: " in said.splitlines()[-1]  # that of the run before, with other epochs
    assert tiny.built(output) == [
        "TrainModel",
        "PredictAnswers",
        "ExchangePictures",
        "EvaluateModel",
        "Report",
    ]
    assert not list((tiny.artifacts / ".work").glob(".run-*"))


def test_what_a_killed_run_needed_goes(tiny):
    process = tiny.start("luigi", "RunAll", "--epochs", 300)
    deadline = time.time() + 120
    while not list((tiny.artifacts / ".work").glob(".run-*")) and time.time() < deadline:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert "keep" not in tiny("pipeline", "gc", "MakeSample", "--size", "tiny", "--downloads", "--yes")
    sample = tiny.artifact("make-sample")
    assert all(
        sample in path.parents for path in files_below(tiny.artifacts) if path.name != ".identities.json"
    )


def test_gc_lists_then_removes_and_its_sum_names_trained_models_with_their_accuracy(tiny):
    judged, snapshots = (
        tiny.artifact("train-model").name,
        next((tiny.artifacts / ".work").glob("train-model-*")),
    )
    accuracy = json.loads((tiny.artifact("evaluate-model") / "accuracy.json").read_text())["overall"]
    tiny("luigi", "TrainModel", "--epochs", 1)
    [new] = {path.name for path in (tiny.artifacts / "train-model").iterdir()} - {judged}
    *lines, total, advice = tiny("pipeline", "gc", "RunAll", "--seed", 5).splitlines()
    assert len(lines) == 7 and advice == "nothing was removed; add --yes to remove these"
    assert str(snapshots) in lines[-1]
    assert total.startswith("6 artifacts, 1 piece of unfinished work, ") and "B, 2 trained models: " in total
    assert f"{judged} {accuracy:.2f}" in total and f"{new} not judged" in total
    removed = tiny("pipeline", "gc", "RunAll", "--yes").splitlines()
    assert (
        len(removed) == 2 and removed[0].startswith("remove ") and removed[0].endswith(f"train-model/{new}")
    )
    assert removed[1].startswith("1 artifact, ") and removed[1].endswith(
        f", 1 trained model: {new} not judged"
    )
    assert tiny.artifact("train-model").name == judged
    assert "nothing to do" in tiny("pipeline", "plan")
    assert "gc needs the task" in tiny("pipeline", "gc", code=2)
