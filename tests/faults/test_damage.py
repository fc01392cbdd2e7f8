"""Every file of every artifact, harmed in every way: plan names it, a run repairs it, and nothing else."""

from __future__ import annotations

import json
import shutil
from itertools import cycle
from pathlib import Path

import luigi
import pytest

from pipeline.commands import plan as cache
from pipeline.commands import verify
from pipeline.run_all import RunAll
from tasks.contract.graph import walk
from tasks.contract.manifest import MANIFEST
from tasks.library import inventory


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def grow(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0")


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def delete(path: Path) -> None:
    path.unlink()


def replace_by_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def point_nowhere(path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere")


FILE_HARMS = {
    truncate: "bytes, manifest says",
    grow: "bytes, manifest says",
    empty: "has 0 bytes, manifest says",
    delete: "is missing",
    replace_by_a_folder: "is not a file",
    point_nowhere: "is not a file",
}


def missing(manifest: Path) -> None:
    manifest.unlink()


def malformed(manifest: Path) -> None:
    manifest.write_text(manifest.read_text(encoding="utf-8")[:-20], encoding="utf-8")


def nested(manifest: Path) -> None:
    manifest.write_text("[" * 100_000)


def another_stages(manifest: Path) -> None:
    known = json.loads(manifest.read_bytes())
    known["key"]["stage"] = "SomethingElse"
    manifest.write_text(json.dumps(known))


def another_artifacts(manifest: Path) -> None:
    known = json.loads(manifest.read_bytes())
    known["key"]["version"] += 1
    manifest.write_text(json.dumps(known))


def not_text(manifest: Path) -> None:
    manifest.write_bytes(b"\xff\xfe\0")


def without_sizes(manifest: Path) -> None:
    known = json.loads(manifest.read_bytes())
    known["files"] = {name: {} for name in known["files"]}
    manifest.write_text(json.dumps(known))


def of_other_types(manifest: Path) -> None:
    known = json.loads(manifest.read_bytes())
    known["inputs"], known["seconds"] = {"images": "text"}, None
    manifest.write_text(json.dumps(known))


MANIFEST_HARMS = {
    missing: "no manifest.json",
    malformed: "manifest.json can't be read",
    nested: "manifest.json can't be read",
    another_stages: "manifest.json is of SomethingElse",
    another_artifacts: "manifest.json is of another artifact",
    not_text: "manifest.json can't be read",
    without_sizes: "manifest.json can't be read",
    of_other_types: "manifest.json can't be read",
}


@pytest.fixture
def here(tiny, artifacts, monkeypatch):
    """A finished tiny run, as this process sees it."""
    from luigi import configuration

    assert artifacts == tiny.artifacts
    monkeypatch.setenv("VQA_CATALOG", str(tiny.catalog))
    monkeypatch.setenv("LUIGI_CONFIG_PATH", str(tiny.config))
    config = configuration.get_config()
    config.set("compute", "threads", "2")
    yield tiny
    config.remove_option("compute", "threads")


def plan():
    """{path: (action, why)} as a later process would see it."""
    luigi.Task.clear_instance_cache()
    return {step.stage.path: (step.action, step.why) for step in cache.planned_steps(RunAll())}


def run():
    luigi.Task.clear_instance_cache()
    return luigi.build([RunAll()], local_scheduler=True, log_level="WARNING")


def manifests(shell):
    return {
        path.parent: json.loads(path.read_bytes())
        for path in sorted(shell.artifacts.glob(f"*/*/{MANIFEST}"))
        if not path.parent.name.startswith(".")
    }


def files_of(artifact: Path) -> list[Path]:
    names = json.loads((artifact / MANIFEST).read_bytes())["files"]
    return [artifact / name for name in sorted(names)]


def named(artifact: Path, why: str) -> str:
    """The plan has this artifact, and no other for a reason of its own, to be made again: the whole reason."""
    steps = plan()
    action, why_run = steps[artifact]
    assert action == "run" and why_run.startswith("damaged: ") and why in why_run, (artifact, why_run)
    others = {path for path, (what, text) in steps.items() if what == "run" and "input" not in text}
    assert others == {artifact}
    return why_run


def repaired(shell, artifact: Path, before: dict[Path, dict]) -> None:
    """A run makes this artifact again, to the same bytes, and leaves all others alone."""
    assert run()
    after = manifests(shell)
    assert {path for path in after if after[path]["finished"] != before[path]["finished"]} == {artifact}
    assert after.keys() == before.keys()
    assert {path: known["digest"] for path, known in after.items()} == {
        path: known["digest"] for path, known in before.items()
    }
    assert not [path for path in shell.artifacts.glob("*/.*") if path.parent.name != ".work"]


def some_slow(harms, *quick):
    """Cases for all harms, those that are not among `quick` with the mark of slow tests."""
    return [
        pytest.param(harm, id=harm.__name__, marks=() if harm in quick else pytest.mark.slow)
        for harm in harms
    ]


def test_every_stage_of_a_run_is_among_those_that_are_harmed(here):
    known = {path.parent.name for path in manifests(here)}
    assert known == {stage.stage_name() for stage in walk(RunAll())} and len(known) >= 14


@pytest.mark.parametrize("harm", some_slow(FILE_HARMS, truncate, delete, replace_by_a_folder))
def test_plan_names_every_harmed_file(here, harm):
    for artifact in manifests(here):
        for path in files_of(artifact):
            spare = path.with_name("spare")
            shutil.copy2(path, spare)
            harm(path)
            assert path.relative_to(artifact).as_posix() in named(artifact, FILE_HARMS[harm])
            path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)
            spare.rename(path)
    assert all(action == "keep" for action, _ in plan().values())


@pytest.mark.parametrize("harm", some_slow(MANIFEST_HARMS, missing, another_stages, of_other_types))
def test_plan_names_every_harmed_manifest(here, harm):
    for artifact in manifests(here):
        path = artifact / MANIFEST
        content = path.read_bytes()
        harm(path)
        named(artifact, f"damaged: {MANIFEST_HARMS[harm]}")
        path.write_bytes(content)


def test_verify_finds_a_flipped_byte_in_every_file(here):
    expected = {}
    for artifact in manifests(here):
        expected[artifact] = [path.relative_to(artifact).as_posix() for path in files_of(artifact)]
        for path in files_of(artifact):
            flip(path)
    assert all(action == "keep" for action, _ in plan().values())  # sizes are as they were
    wrong_files = verify.differences(list(inventory.all_artifacts()))
    assert {
        path: [line.split(" has sha256")[0] for line in wrong] for path, wrong in wrong_files.items()
    } == expected
    assert all("has sha256" in why for path, (_, why) in plan().items() if "input" not in why)


HARMS = [*FILE_HARMS, flip]


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_run_repairs_what_is_harmed_and_nothing_else(here):
    """Every file of every artifact, in one way after the other."""
    places = [(artifact, place) for artifact in manifests(here) for place in range(len(files_of(artifact)))]
    assert len(places) > 3 * len(HARMS)
    for (artifact, place), harm in zip(places, cycle(HARMS)):
        before = manifests(here)
        harm(files_of(artifact)[place])  # the name of TensorBoard's file has the time in it
        if harm is flip:
            assert verify.differences([artifact])[artifact]
        repaired(here, artifact, before)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_run_repairs_every_harmed_manifest_and_nothing_else(here):
    for artifact, harm in zip(manifests(here), cycle([missing, malformed, another_stages])):
        before = manifests(here)
        harm(artifact / MANIFEST)
        repaired(here, artifact, before)


@pytest.mark.slow
def test_an_artifact_that_is_no_folder_is_made_again(here):
    for artifact in manifests(here):
        before = manifests(here)
        shutil.rmtree(artifact)
        artifact.write_text("in the way")
        named(artifact, "is not a folder")
        repaired(here, artifact, before)


@pytest.mark.slow
@pytest.mark.parametrize(
    "stage, part, file, reader",
    [
        ("extract-features", "train", "features.h5", ("TrainModel", "--seed", 5)),
        ("build-vocabulary", "", "vocabulary.json", ("EncodeQuestions", "--split", "val", "--rerun")),
        ("download-glove", "", "glove.sample.zip", ("BuildEmbeddings", "--rerun")),
        ("train-model", "", "model.safetensors", ("PredictAnswers", "--rerun")),
        ("predict-answers", "", "results.json", ("EvaluateModel", "--rerun")),
    ],
)
def test_a_stage_notices_a_flipped_byte_of_an_input_before_it_uses_it(tiny, stage, part, file, reader):
    """The sizes are right, so only hashing can tell: the reader stops, and the next run repairs, then reads."""
    flip(tiny.artifact(stage, part) / file)
    output = tiny("luigi", *reader, code=30)
    assert f"{file} has sha256" in output and "run the same command again" in output
    assert "Traceback" not in output and tiny.built(output) == []
    again = tiny.built(tiny("luigi", *reader))
    assert [name for name in again if name == reader[0]] and len(again) == 2
    tiny("pipeline", "verify")


@pytest.mark.slow
def test_the_commands_say_what_is_wrong_and_mend_it(tiny):
    """The same through the command line, several at once."""
    another_stages(tiny.artifact("encode-answers", "val") / MANIFEST)
    delete(tiny.artifact("build-embeddings") / "embeddings.h5")
    replace_by_a_folder(tiny.artifact("evaluate-model") / "accuracy.json")
    output = tiny("pipeline", "plan")
    assert "damaged: manifest.json is of SomethingElse" in output
    assert "damaged: embeddings.h5 is missing" in output and "damaged: accuracy.json is not a file" in output
    output = tiny("pipeline", "verify", code=1)
    assert len([line for line in output.splitlines() if line.startswith("DIFFERS")]) == 3
    built = tiny.built(tiny("luigi", "RunAll"))
    assert sorted(built) == ["BuildEmbeddings", "EncodeAnswers", "EvaluateModel"]
    tiny("pipeline", "verify")
    assert "nothing to do" in tiny("pipeline", "plan")
