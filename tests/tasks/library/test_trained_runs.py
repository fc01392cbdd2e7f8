"""What is said of a trained run: its size, and a command that a shell reads back as it is meant."""

from __future__ import annotations

import shlex
from pathlib import Path
from types import SimpleNamespace

import luigi
import pytest

from tasks.contract.manifest import Key
from tasks.library.trained_runs import Run, command, typed
from tasks.setup import settings
from tasks.stages.evaluate import EvaluateModel
from tasks.stages.report import Report
from tasks.stages.train import TrainModel


@pytest.mark.parametrize(
    "weights", ["/my models/vgg 16.pth", "/it's/$HOME/w.pth", "/a;b/`c`/*.pth", "/plain/w.pth"]
)
def test_a_printed_command_is_read_back_by_a_shell(artifacts, weights):
    parameters = {"dataset": "sample", "model": "bag-of-words", "weights": weights, "epochs": 77}
    run = Run(Path("run"), SimpleNamespace(key=Key("TrainModel", 1, parameters, {}), flags={}))
    words = shlex.split(command(run, TrainModel))
    assert words[:6] == ["luigi", "--module", "pipeline", "TrainModel", "--dataset", "sample"]
    assert dict(zip(words[6::2], words[7::2], strict=True)) == {
        "--model": "bag-of-words",
        "--weights": weights,
        "--epochs": "77",
    }
    judge = shlex.split(command(run, EvaluateModel, task="multiple choice"))
    assert judge[-2:] == ["--task", "multiple choice"]


def test_a_command_means_the_same_where_luigi_cfg_says_otherwise(artifacts, monkeypatch):
    """What luigi.cfg states is in the line, though nobody typed it; what is the dataset's default is not."""
    plain = Report(dataset="sample")
    assert typed("RunAll", Report, plain.flags_read) == "luigi --module pipeline RunAll --dataset sample"
    luigi.Task.clear_instance_cache()
    monkeypatch.setattr(settings, "experiment", lambda: {"hidden": "16", "model": "deeper-lstm"})
    stated = Report(dataset="sample", baseline="language-only")
    words = shlex.split(typed("RunAll", Report, stated.flags_read))
    assert words[3:6] == ["RunAll", "--dataset", "sample"]
    assert dict(zip(words[6::2], words[7::2], strict=True)) == {
        "--model": "deeper-lstm",
        "--hidden": "16",
        "--baseline": "language-only",
    }


@pytest.mark.parametrize(
    ("facts", "reads", "trained"),
    [
        ({"reads": [7, 7, 512], "trained_parameters": 15_324_602}, "7 x 7 x 512", "15,324,602"),
        ({"reads": [], "trained_parameters": 6_364_136}, "no picture", "6,364,136"),
        ({}, "–", "–"),  # trained by an earlier version
    ],
)
def test_a_run_says_what_its_model_reads_and_how_large_it_is(facts, reads, trained):
    run = Run(Path("run"), SimpleNamespace(facts=facts))
    assert run.network == {"reads": reads, "trained parameters": trained}
