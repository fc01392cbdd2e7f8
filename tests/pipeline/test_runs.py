"""`runs` and `compare`, and the trained baseline, as commands on a few pictures."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace

import pytest
from pages import jpeg

from models.classifiers.architecture import Architecture
from tasks.contract.manifest import Input, parse


@pytest.fixture(scope="module")
def trained(tiny_run, tmp_path_factory):
    """The tiny run and, beside it, more epochs with the language-only baseline, and one that nobody judged."""
    shell = type(tiny_run[0])(tmp_path_factory.mktemp("trained"))
    shutil.copytree(tiny_run[0].artifacts, shell.artifacts, symlinks=True)
    output = shell("luigi", "RunAll", "--epochs", 4, "--baseline", "language-only")
    shell("luigi", "TrainModel", "--epochs", 3, "--model", "bag-of-words")
    return shell, output


def listed(shell):
    return json.loads(shell("pipeline", "runs", "--json"))


def run_of(shell, **flags):
    """The fingerprint of the one run with these flags."""
    (run,) = [run for run in listed(shell) if flags.items() <= run["parameters"].items()]
    return run["run"]


def figures_of(shell, run, task="open-ended"):
    runs = [entry for entry in listed(shell) if entry["run"] == run]
    return next(entry for entry in runs[0]["evaluations"] if entry["task"] == task)


def test_runs_lists_when_what_differs_accuracy_and_minutes(trained):
    shell, output = trained
    text = shell("pipeline", "runs")
    head, columns, *lines = text.splitlines()
    assert head == "sample (4 trained)"
    assert columns.split()[:6] == ["run", "trained", "minutes", "accuracy", "picture", "worth"]
    assert {*columns.split()[6:8]} == {"model", "epochs"} and columns.split()[8:] == ["parameters"]
    assert len(lines) == 4 and "not judged" in lines[0] and "bag-of-words" in lines[0]
    accuracy = re.findall(r"^accuracy +([\d.]+)", output, re.MULTILINE)[-1]
    worth = re.findall(r"^what the picture is worth: (-?[\d.]+) points", output, re.MULTILINE)[-1]
    (line,) = [line for line in lines if "deeper-lstm" in line and re.search(r"\b4\b", line)]
    assert re.search(rf"{accuracy} \[[\d.]+ to [\d.]+\] +{worth} ", line) and re.search(
        r"\d{4}-\d\d-\d\d \d\d:\d\d", line
    )


def test_equal_flags_and_other_data_are_told_apart(trained, tmp_path):
    shell = type(trained[0])(tmp_path)
    source = next(trained[0].artifacts.glob("train-model/deeper-lstm*"))
    for number in (1, 2):
        folder = shell.artifacts / "train-model" / f"{source.name[:-1]}{number}"
        shutil.copytree(source, folder)
        manifest = parse((folder / "manifest.json").read_bytes())
        other = manifest.inputs | {"questions-train": Input("there", f"other-{number}")}
        replace(manifest, inputs=other).write(folder)
    _, columns, *lines = shell("pipeline", "runs").splitlines()
    assert columns.split()[-1] == "data" and len({line.split()[-1] for line in lines}) == 2
    assert "data" not in trained[0]("pipeline", "runs").split()


@pytest.mark.slow
def test_a_run_that_went_on_under_other_settings_is_said_to_be_mixed(tiny):
    tiny.config.write_text(tiny.config.read_text().replace("threads = 2", ""))  # a small batch takes one
    said = tiny("luigi", "TrainModel", "--epochs", 3)
    assert "not all computed with the same device, precision and threads" in said
    _, columns, *lines = tiny("pipeline", "runs").splitlines()
    assert columns.split()[-1] == "arithmetic" and [line.split()[-1] == "mixed" for line in lines] == [
        True,
        False,
    ]
    mixed, plain = (run["arithmetic"] for run in listed(tiny))
    assert [used["threads"] for used in mixed] == [2, 1] and len(plain) == 1


def test_runs_as_json_has_the_flags_and_evaluations(trained):
    shell, _ = trained
    runs = listed(shell)
    assert [run["finished"] for run in runs] == sorted((run["finished"] for run in runs), reverse=True)
    assert {name for run in runs for name in run["differs"]} == {"model", "epochs"}
    judged = json.loads(
        (shell.artifacts / "evaluate-model" / judged_folder(shell) / "accuracy.json").read_text()
    )
    figures = figures_of(shell, run_of(shell, model="deeper-lstm", epochs=4))
    assert figures["overall"] == judged["overall"] and figures["perAnswerType"] == judged["perAnswerType"]
    assert all(run["minutes"] >= 0 for run in runs)
    reads = {run["parameters"]["model"]: run["reads"] for run in runs}
    assert reads == {"deeper-lstm": [512], "language-only": [], "bag-of-words": [512]}
    assert all(isinstance(run["trained_parameters"], int) for run in runs)


def judged_folder(shell):
    """The evaluation of the four epochs, found by its own manifest."""
    for folder in (shell.artifacts / "evaluate-model").iterdir():
        flags = parse((folder / "manifest.json").read_bytes()).key.parameters
        if (flags["model"], flags["epochs"]) == ("deeper-lstm", 4):
            return folder.name
    raise AssertionError


def test_no_trained_model_is_said_with_the_command(shell):
    assert "luigi --module pipeline RunAll" in shell("pipeline", "runs")
    assert json.loads(shell("pipeline", "runs", "--json")) == []


def test_compare_prints_the_figures_and_writes_the_page(trained, tmp_path):
    shell, _ = trained
    first, second = (run_of(shell, model="deeper-lstm", epochs=epochs) for epochs in (2, 4))
    output = shell("pipeline", "compare", first, second, "--out", tmp_path / "pages" / "page.html")
    before, after = (figures_of(shell, run)["overall"] for run in (first, second))
    gain = re.escape(f"{after - before:+.2f}")
    figures = re.search(
        rf"^overall +{before:.2f} +{after:.2f} +{gain} +([+-][\d.]+) +([+-][\d.]+)$", output, re.MULTILINE
    )
    assert float(figures[1]) <= round(after - before, 2) <= float(figures[2])
    assert "epochs: 2 → 4" in output and f"page: {tmp_path / 'pages' / 'page.html'}" in output
    page = (tmp_path / "pages" / "page.html").read_text(encoding="utf-8")
    assert "<td>epochs</td><td>2</td><td>4</td>" in page and "<polyline" in page
    assert not re.search(r"(src|href)=\"(?!data:|#)", page)
    alone = re.search(r"of 48 questions A alone is right on (\d+), B alone on (\d+)", output)
    shown = [page.count(f'data-mark="{name}"') for name in ("first", "second")]
    assert shown == [int(number) for number in alone.groups()]
    assert page.count("data:image/jpeg;base64,") == sum(shown)


def test_a_run_that_was_not_judged_is_said_with_the_command_that_judges_it(trained, tmp_path):
    shell, _ = trained
    first, second = run_of(shell, model="deeper-lstm", epochs=2), run_of(shell, model="bag-of-words")
    output = shell("pipeline", "compare", first, second, "--out", tmp_path / "page.html")
    assert "B was not judged" in output and "--epochs 3" in output and "--model bag-of-words" in output
    assert "can't be ranked" in (tmp_path / "page.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_other_tasks_are_not_set_against_each_other(trained, tmp_path):
    shell, _ = trained
    first, second = run_of(shell, model="deeper-lstm", epochs=2), run_of(shell, model="bag-of-words")
    shell("luigi", "EvaluateModel", "--epochs", 3, "--model", "bag-of-words", "--task", "multiple-choice")
    assert "(multiple-choice)" in shell("pipeline", "runs")
    output = shell("pipeline", "compare", first, second, "--out", tmp_path / "page.html")
    assert "A was judged on val, open-ended, B on val, multiple-choice: nothing in common" in output
    assert re.search(r"^overall .* –$", output, re.MULTILINE)


@pytest.mark.slow
def test_a_model_without_pictures_answers_alike_whatever_the_picture(trained, tmp_path):
    shell = trained[0]
    run = run_of(shell, model="language-only")
    answers = []
    for name, image_id in (("a.jpg", 200), ("b.jpg", 20)):
        (tmp_path / name).write_bytes(jpeg(image_id))
        answers.append(
            shell("pipeline", "ask", tmp_path / name, "What color is the star?", "--run", run[:10])
        )
    assert answers[0] == answers[1] and f"language-only-sample-train-{run}" in answers[0]


def test_what_a_model_ignores_is_no_part_of_it(trained):
    shell = trained[0]
    assert "nothing to do" in shell(
        *("pipeline", "plan", "TrainModel", "--epochs", 3, "--model", "bag-of-words", "--hidden", 99)
    )
    (config,) = shell.artifacts.glob("train-model/bag-of-words*/config.json")
    default = Architecture("bag-of-words", 2, 2, 2, (2,)).hidden
    assert json.loads(config.read_text())["architecture"]["hidden"] == default  # not luigi.cfg's 16


def test_an_unknown_run_is_refused_in_one_line(trained):
    output = trained[0]("pipeline", "compare", "0000", "1111", code=1)
    assert output.startswith("error: ") and "Traceback" not in output


def test_the_trained_baseline_is_that_models_own_evaluation(trained):
    shell, output = trained
    folder = shell.artifacts / "evaluate-model" / judged_folder(shell)
    baseline = json.loads((folder / "accuracy.json").read_text())["baselines"]["language_only"]
    own = figures_of(shell, run_of(shell, model="language-only"))
    assert baseline.keys() == {"overall", "perAnswerType", "perQuestionType"}
    assert (baseline["overall"], baseline["perAnswerType"]) == (own["overall"], own["perAnswerType"])
    judged = json.loads((folder / "accuracy.json").read_text())
    low, high = judged["intervals"]["gains"]["language_only"]["overall"]
    assert low <= round(judged["overall"] - own["overall"], 2) <= high
    assert "language only" in output
    assert "language-only" in parse((folder / "manifest.json").read_bytes()).inputs
    reports = [path.read_text(encoding="utf-8") for path in shell.artifacts.glob("report/*/report.html")]
    assert sorted("language-only model trained alike" in page for page in reports) == [False, True]


def test_the_baseline_is_an_input_only_where_it_is_asked_for(trained):
    shell, _ = trained
    assert "nothing to do" in shell(
        "pipeline", "plan", "RunAll", "--epochs", 4, "--baseline", "language-only"
    )
    plain = shell("pipeline", "plan", "RunAll", "--epochs", 4)
    assert "language-only" not in plain.replace("baseline language-only", "")
    # Its own evaluation and report: nothing is trained.
    assert len(re.findall(r"^run ", plain, re.MULTILINE)) == 2


@pytest.mark.parametrize(
    "words, said",
    [
        (
            ("EvaluateModel", "--model", "language-only", "--baseline", "language-only"),
            "that is the model itself",
        ),
        (
            ("RunAll", "--dataset", "vqa-v1", "--eval-split", "test", "--baseline", "language-only"),
            "are secret",
        ),
        (("Report", "--baseline", "language"), "language-only"),
    ],
)
def test_a_baseline_that_makes_no_sense_is_refused(shell, words, said):
    output = shell("luigi", *words, code=1)
    assert said in output and "Traceback" not in output
