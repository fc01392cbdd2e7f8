"""CompareModels as a user runs it: killed and run again, what does not fit, its files, and `compare`."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
from statistics import fmean, stdev

import pytest

from tasks.contract.manifest import parse

pytestmark = pytest.mark.slow

MODELS = ("--models", "language-only,deeper-lstm,saaa", "--seeds", 2)


def trained(shell):
    """The folders of finished models, with the inode of each manifest: another one for what was made again."""
    found = (shell.artifacts / "train-model").glob("*/manifest.json")
    return {path.parent.name: path.stat().st_ino for path in found if path.parent.name[0] != "."}


@pytest.fixture(scope="module")
def compared(tiny_run, tmp_path_factory):
    """(shell, models before the kill, models after it, output of the second run): killed after the second training."""
    shell = type(tiny_run[0])(tmp_path_factory.mktemp("compared"))
    ours = shutil.ignore_patterns(".run-*")
    shutil.copytree(tiny_run[0].artifacts, shell.artifacts, symlinks=True, ignore=ours)
    process = shell.start("luigi", "CompareModels", *MODELS)
    for line in process.stdout:
        if "built TrainModel" in line:
            break
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    before = trained(shell)
    output = shell("luigi", "CompareModels", *MODELS)
    return shell, before, trained(shell), output


def comparison(shell):
    return json.loads((shell.artifact("compare-models") / "comparison.json").read_text())


def test_what_was_trained_before_a_kill_is_not_trained_again(compared):
    shell, before, after, output = compared
    assert 2 <= len(before) < len(after) == 4  # the tiny run had trained deeper-lstm with seed 0
    assert before.items() <= after.items()
    assert shell.built(output).count("TrainModel") == 4 - len(before)
    assert "nothing to do" in shell("pipeline", "plan", "CompareModels", *MODELS)


def test_a_model_that_does_not_fit_is_listed_with_the_reason(compared):
    shell, _, _, output = compared
    why = "--model saaa reads a grid of vectors a picture, but --backbone resnet18 --layer flatten gives 512"
    assert why in output and why in comparison(shell)["left_out"]["saaa"]
    assert f"left out: saaa: {why}" in shell("pipeline", "plan", "CompareModels", *MODELS)
    page = (shell.artifact("compare-models") / "comparison.html").read_text()
    assert "Left out" in page and why in page
    said = shell("pipeline", "plan", "CompareModels", "--models", "saaa", code=1)
    assert said.startswith("error: none of the models fits") and why in said and "Traceback" not in said


def test_the_figures_are_those_of_the_evaluations(compared):
    shell, _, after, _ = compared
    found = comparison(shell)
    assert {model["name"] for model in found["models"]} == {"deeper-lstm", "language-only"}
    runs = {run["run"]: run for run in json.loads(shell("pipeline", "runs", "--json"))}
    for model in found["models"]:
        assert [one["seed"] for one in model["seeds"]] == [0, 1]
        judged = [runs[one["fingerprint"]]["evaluations"][0] for one in model["seeds"]]
        overall = [one["overall"] for one in judged]
        assert model["overall"]["mean"] == round(fmean(overall), 2)
        assert model["overall"]["deviation"] == round(stdev(overall), 2)
        low, high = model["overall"]["interval"]
        assert low < model["overall"]["mean"] < high
        for kind, figure in model["perAnswerType"].items():
            assert figure["mean"] == round(fmean(one["perAnswerType"][kind] for one in judged), 2)
        assert model["seeds"][0]["parameters"] > 1000 and model["flags"]["model"] == model["name"]
    (pair,) = found["pairs"]
    means = [model["overall"]["mean"] for model in found["models"]]
    assert pair["difference"] == pytest.approx(means[0] - means[1], abs=0.011) and means[0] >= means[1]
    assert len(after) == 4 and found["questions"] == 48


def test_times_and_versions_are_outside_of_the_digest(compared):
    shell = compared[0]
    folder = shell.artifact("compare-models")
    digest = parse((folder / "manifest.json").read_bytes()).digest
    made = json.loads((folder / "made.json").read_text())
    assert {one["model"] for one in made["trainings"]} == {"deeper-lstm", "language-only"}
    assert all(one["seconds"] > 0 and one["versions"]["torch"] for one in made["trainings"])
    shell("luigi", "CompareModels", *MODELS, "--rerun")
    assert parse((folder / "manifest.json").read_bytes()).digest == digest
    assert not re.search(r"seconds|torch|finished", (folder / "comparison.json").read_text())
    command = made["command"]
    assert command.startswith("luigi --module pipeline CompareModels") and "--backbone resnet18" in command
    assert "--models deeper-lstm,language-only,saaa --seeds 2" in command


def test_compare_sets_any_number_of_runs_side_by_side(compared, tmp_path):
    shell, _, after, _ = compared
    runs = [name.rpartition("-")[2] for name in after]
    output = shell("pipeline", "compare", *runs, "--out", tmp_path / "all.html")
    for model in comparison(shell)["models"]:
        figures = f"{model['overall']['mean']:.2f} ± {model['overall']['deviation']:.2f}"
        assert re.search(rf"^{model['name']} +2 +{re.escape(figures)} ", output, re.MULTILINE), output
    page = (tmp_path / "all.html").read_text()
    assert page.count('class="row model"') == 2 and all(run in page for run in runs)
    shell("luigi", "TrainModel", "--epochs", 1)
    (new,) = (name for name in trained(shell) if name not in after)
    output = shell("pipeline", "compare", *runs[:2], new.rpartition("-")[2], "--out", tmp_path / "all.html")
    assert f"left out: {new} was not judged; to judge it: luigi" in output


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--models", "deeper-lstm,deeper-lstm"), "deeper-lstm is there twice"),
        (("--models", "deeper"), "deeper is unknown; did you mean 'deeper-lstm'?"),
        (("--seeds", "0"), "--seeds 0: expected a whole number from 1 to 1000"),
        (("--model", "saaa"), "--model is not a flag of this stage"),
        (("--dataset", "vqa-v2", "--eval-split", "test"), "its answers are secret"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_one_line(shell, words, said):
    output = shell("pipeline", "plan", "CompareModels", *words, code=None)
    assert said in output and output.startswith("error: ") and "Traceback" not in output
    assert len(output.splitlines()) == 1


def test_one_run_is_nothing_to_compare(compared):
    run = next(iter(compared[1])).rpartition("-")[2]
    assert "takes two runs or more" in compared[0]("pipeline", "compare", run, code=1)
    assert "named twice" in compared[0]("pipeline", "compare", run, run, run, code=1)
