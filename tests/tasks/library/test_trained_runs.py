"""The command that is printed for a run is one that a shell reads back as it is meant."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from tasks.library.trained_runs import Run, command
from tasks.stages.evaluate import EvaluateModel
from tasks.stages.train import TrainModel


@pytest.mark.parametrize(
    "weights", ["/my models/vgg 16.pth", "/it's/$HOME/w.pth", "/a;b/`c`/*.pth", "/plain/w.pth"]
)
def test_a_printed_command_is_read_back_by_a_shell(artifacts, weights):
    run = Run(Path("run"), {"key": {"parameters": {"dataset": "sample", "weights": weights, "epochs": 77}}})
    words = shlex.split(command(run, TrainModel))
    assert words[:6] == ["luigi", "--module", "pipeline", "TrainModel", "--dataset", "sample"]
    assert dict(zip(words[6::2], words[7::2], strict=True)) == {"--weights": weights, "--epochs": "77"}
    judge = shlex.split(command(run, EvaluateModel, task="multiple choice"))
    assert judge[-2:] == ["--task", "multiple choice"]
