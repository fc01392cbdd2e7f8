"""A share of the training pictures chooses the epoch, as commands on a few pictures."""

from __future__ import annotations

import csv
import json

import pytest

import pipeline
from tasks.contract.manifest import parse
from tasks.setup.user_errors import UsageError

FLAGS = ("--hold-out", "0.25", "--learning-rate", "0.03")


def trained(shell):
    """(the history's rows, the manifest) of the model with most epochs that holds out."""
    models = []
    for folder in (shell.artifacts / "train-model").glob("deeper-lstm-*"):
        manifest = parse((folder / "manifest.json").read_bytes())
        if "hold_out" in manifest.key.parameters:
            with (folder / "history.csv").open(encoding="utf-8") as file:
                models.append((list(csv.DictReader(file)), manifest))
    return max(models, key=lambda model: len(model[0]))


def test_the_best_epoch_is_the_model(tiny):
    output = tiny("luigi", "TrainModel", *FLAGS, "--epochs", 3)
    rows, manifest = trained(tiny)
    accuracies = [float(row["held_out_accuracy"]) for row in rows]
    best = 1 + accuracies.index(max(accuracies))
    assert manifest.facts["best_epoch"] == best
    assert (
        f"the model is that of epoch {best} of 3, with {max(accuracies):.2f} % on 24 questions held out"
        in output
    )
    assert manifest.facts["questions_held_out"] == 24 and manifest.facts["questions_trained_on"] == 72


@pytest.mark.slow
def test_more_epochs_go_on_to_the_same_model(tiny):
    tiny("luigi", "TrainModel", *FLAGS, "--epochs", 2)
    tiny("luigi", "RunAll", *FLAGS, "--epochs", 5)
    rows, manifest = trained(tiny)
    assert manifest.facts["resumed_after_epochs"] == 2
    tiny("luigi", "TrainModel", *FLAGS, "--epochs", 5, "--rerun")  # from nothing
    again, same = trained(tiny)
    assert same.digest == manifest.digest and same.facts["resumed_after_epochs"] == 0
    assert [row["held_out_accuracy"] for row in again] == [row["held_out_accuracy"] for row in rows]
    pages = [path.read_text(encoding="utf-8") for path in tiny.artifacts.glob("report/*/report.html")]
    assert [f"held out, best after epoch {manifest.facts['best_epoch']}" in page for page in pages].count(
        True
    ) == 1
    assert "hold_out" in json.loads(tiny("pipeline", "runs", "--json"))[0]["differs"]


@pytest.mark.parametrize("share", ["-0.1", "1", "1.5", "0.5%", "50%", "nan", "half", ""])
def test_what_is_no_share_is_one_line(artifacts, share):
    with pytest.raises(
        UsageError, match=r"--hold-out .*: expected a share of at least 0 and below 1, such as 0\.1"
    ):
        pipeline.TrainModel(hold_out=share)


def test_a_share_that_is_no_picture_or_all_is_refused_as_soon_as_their_number_is_known(artifacts, tiny):
    for share, left in ((0.000001, "held out"), (0.999999, "left to train on")):
        with pytest.raises(UsageError, match=f"of 82,783 training pictures no picture would be {left}"):
            pipeline.TrainModel(dataset="vqa-v1", hold_out=share)
    output = tiny("luigi", "TrainModel", "--hold-out", "0.01", code=30)
    assert "TrainModel failed: --hold-out 0.01: of 8 training pictures no picture would be held out" in output


def test_zero_is_what_was_before(artifacts):
    assert pipeline.TrainModel(hold_out=0).fingerprint == pipeline.TrainModel(hold_out="-0.0").fingerprint
    assert pipeline.TrainModel(hold_out=0).fingerprint == "7576946be2594138"
    assert pipeline.TrainModel(hold_out=0.1).work_key() != pipeline.TrainModel(hold_out=0.2).work_key()
