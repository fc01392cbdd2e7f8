"""What is held out trains nothing, and chooses the epoch alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from trainings import EMBEDDINGS, OPTIONS, SMALL, digest, questions, run, small

from data.base.errors import ModelError
from data.scoring.accuracy import question_scores
from data.text.answers import encode_answers
from data.text.official import Annotation
from data.text.questions import Vocabulary
from models.classifiers.names import CLASSIFIERS
from models.prediction import predict
from models.training.held_out import best_epoch, held_out_questions, remark, scores_of
from models.training.inputs import TrainingOptions
from models.training.loop import bytes_needed, train

HELD_OUT = np.arange(120, 200)
ON_CPU = {"device": "cpu", "precision": "float32"}


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch):
    torch.set_num_threads(1)
    entry = CLASSIFIERS["mcan-small"]
    monkeypatch.setitem(CLASSIFIERS, "mcan-small", replace(entry, sizes=entry.sizes | {"layers": 1}))


@given(st.lists(st.integers(0, 30), min_size=2, max_size=200), st.floats(0.01, 0.99), st.integers(0, 2**31))
def test_a_seeded_share_of_the_pictures_is_held_out_with_all_their_questions(pictures, share, seed):
    pictures = np.array(pictures)
    distinct = len(set(pictures.tolist()))
    wanted = int(share * distinct + 0.5)
    if wanted in (0, distinct):
        with pytest.raises(
            ModelError, match=r"no picture would be (held out|left to train on); give another"
        ):
            held_out_questions(pictures, share, seed)
        return
    held = held_out_questions(pictures, share, seed)
    kept = np.setdiff1d(np.arange(len(pictures)), held)
    assert not set(pictures[held].tolist()) & set(pictures[kept].tolist())
    assert len(set(pictures[held].tolist())) == wanted and (np.diff(held) > 0).all()
    assert (held_out_questions(pictures, share, seed) == held).all()
    again = held_out_questions(pictures[::-1] + 100, share, seed)  # neither order nor numbers matter
    assert set((pictures[::-1] + 100)[again].tolist()) == {number + 100 for number in pictures[held].tolist()}


def test_another_seed_holds_out_others():
    pictures = np.arange(200) // 2
    assert len({tuple(held_out_questions(pictures, 0.2, seed).tolist()) for seed in range(5)}) == 5


def test_the_earliest_of_equally_good_epochs_is_the_best():
    rows = [
        {"epoch": number + 1, "held_out_accuracy": value} for number, value in enumerate([50, 61, 61, 20])
    ]
    assert [best_epoch(rows[:count]) for count in (1, 2, 3, 4)] == [1, 2, 2, 2]
    assert remark(rows) == ", held out 20.00 % after epoch 4, best 61.00 % after 2"
    assert remark([]) == remark([{"epoch": 1, "loss": 0.5}]) == ""


KINDS = [(name, "soft") for name in CLASSIFIERS if name != "mcan-large"]  # as mcan-small, in a larger size


@pytest.mark.parametrize(("name", "target"), [*KINDS, ("deeper-lstm", "consensus"), ("saaa", "shares")])
def test_what_is_held_out_trains_nothing_and_the_best_epoch_is_the_model(name: str, target: str):
    options = replace(OPTIONS, epochs=3, target=target, learning_rate=1e-2)
    architecture = small(name, standardise=CLASSIFIERS[name].reads == "grid")
    data = questions(grid=len(architecture.features) == 3)
    held = np.flatnonzero(np.isin(data.rows, [1, 4, 7, 8]))  # with their pictures
    trained = train(data, architecture, EMBEDDINGS, options, held_out=held, **ON_CPU)
    best = best_epoch(trained.history)
    assert trained.facts["best_epoch"] == best and trained.facts["questions_held_out"] == len(held)
    others = np.setdiff1d(np.arange(200), held)
    columns = ("tokens", "rows", "consensus", "soft_classes", "soft_scores", "humans")
    part = replace(data, **{column: getattr(data, column)[others] for column in columns})
    features = np.asarray(data.features).copy()
    features[[1, 4, 7, 8]] = features[[0, 0, 2, 2]]  # no one looks at these
    alone = train(
        replace(part, features=features), architecture, EMBEDDINGS, replace(options, epochs=best), **ON_CPU
    )
    if not architecture.standardise:  # there the other pictures would count
        assert digest(alone.module) == digest(trained.module)
        assert [row["loss"] for row in alone.history] == [row["loss"] for row in trained.history][:best]
    found = predict(trained.module, data.tokens[held], data.rows[held], data.features, **ON_CPU).top_classes[
        :, 0
    ]
    right = 100 * (found == data.consensus[held]).mean()  # the scores of these answers are 1, or of none
    assert trained.history[best - 1]["held_out_accuracy"] == pytest.approx(right, abs=1e-4)


def test_the_loss_is_that_of_training_without_dropout():
    data = questions()
    trained = run(replace(OPTIONS, epochs=2), held_out=HELD_OUT)
    epochs = run(replace(OPTIONS, epochs=best_epoch(trained.history)), held_out=HELD_OUT)
    found = predict(
        epochs.module,
        data.tokens[HELD_OUT],
        data.rows[HELD_OUT],
        data.features,
        classes=data.consensus[HELD_OUT],
        **ON_CPU,
    )
    assert epochs.history[-1]["held_out_loss"] == pytest.approx(found.loss, rel=1e-5)
    nobody = replace(data, consensus=np.where(np.arange(200) < 120, data.consensus, -1))
    assert np.isnan(
        train(nobody, SMALL, EMBEDDINGS, OPTIONS, held_out=HELD_OUT, **ON_CPU).history[0]["held_out_loss"]
    )


def test_the_channels_of_pictures_that_are_held_out_do_not_count():
    data, architecture = questions(grid=True), small("saaa", standardise=True)
    held = np.flatnonzero(np.isin(data.rows, [1, 4, 7]))
    trained = train(data, architecture, EMBEDDINGS, replace(OPTIONS, epochs=1), held_out=held, **ON_CPU)
    seen = np.delete(np.asarray(data.features).astype(np.float64), [1, 4, 7], axis=0).reshape(-1, 4)
    np.testing.assert_allclose(trained.module.channel_mean, seen.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(trained.module.channel_scale, 1 / seen.std(axis=0), rtol=1e-5)


def test_answers_earn_what_the_official_rule_gives():
    people = [["bus"] * 2 + ["van"] * 8, ["yes"] * 10, ["two"] * 4 + ["2"] * 6, ["no"] * 9 + ["tram"]]
    judged = [Annotation(n, n, "what", "other", said[-1], tuple(said)) for n, said in enumerate(people)]
    answers = ("bus", "van", "yes", "2", "no")
    vocabulary = Vocabulary(("w",), (1,), answers, (1,) * len(answers), 4, 4)
    encoded = encode_answers(judged, vocabulary)
    for said in answers:
        answered = np.full(4, answers.index(said))
        expected = question_scores([said] * 4, people)
        np.testing.assert_allclose(
            scores_of(answered, encoded.soft_classes, encoded.soft_scores), expected, atol=1e-6
        )


def falling(monkeypatch: pytest.MonkeyPatch) -> None:
    """Judge so that the second epoch is the best."""
    accuracies = {1: 30.0, 2: 60.0}
    monkeypatch.setattr(
        "models.training.held_out.scores_of", lambda answered, *_: np.full(len(answered), next(told)) / 100
    )
    told = iter([*accuracies.values(), *[10.0] * 20])


def weights_after(epochs: int) -> str:
    return digest(run(replace(OPTIONS, epochs=epochs), held_out=HELD_OUT).module)


def test_snapshots_keep_the_best_epoch_and_grow_by_no_more(tmp_path: Path, monkeypatch):
    falling(monkeypatch)
    second = weights_after(2)
    falling(monkeypatch)
    whole = run(replace(OPTIONS, epochs=6), held_out=HELD_OUT, snapshot_dir=tmp_path)
    assert whole.facts["best_epoch"] == 2 and digest(whole.module) == second
    assert sorted(path.stem for path in tmp_path.glob("*.safetensors")) == ["epoch-0005", "epoch-0006"]
    size = sum(path.stat().st_size for path in tmp_path.glob("*.safetensors"))
    assert 1.5 * size < bytes_needed(SMALL, OPTIONS, held_out=True) + 100_000
    on = run(replace(OPTIONS, epochs=9), held_out=HELD_OUT, snapshot_dir=tmp_path)  # judged 10 from here on
    assert (
        on.facts["resumed_after_epochs"] == 6 and on.facts["best_epoch"] == 2 and digest(on.module) == second
    )
    (tmp_path / "epoch-0009.safetensors").write_bytes(b"")
    on = run(replace(OPTIONS, epochs=9), held_out=HELD_OUT, snapshot_dir=tmp_path)
    assert on.facts["resumed_after_epochs"] == 8 and digest(on.module) == second


def test_more_epochs_go_on_and_may_find_a_better_one(tmp_path: Path):
    whole = run(replace(OPTIONS, epochs=8), held_out=HELD_OUT)
    for epochs in (1, 3, 8):
        continued = run(replace(OPTIONS, epochs=epochs), held_out=HELD_OUT, snapshot_dir=tmp_path)
    assert continued.facts["resumed_after_epochs"] == 3
    assert digest(continued.module) == digest(whole.module)
    judged = [[row["held_out_accuracy"] for row in trained.history] for trained in (whole, continued)]
    assert judged[0] == judged[1] and continued.facts["best_epoch"] == 1 + int(np.argmax(judged[0]))


def test_a_run_that_holds_out_others_is_another(tmp_path: Path):
    run(replace(OPTIONS, epochs=1), held_out=HELD_OUT, snapshot_dir=tmp_path)
    for held_out in (None, HELD_OUT[1:]):
        with pytest.raises(ModelError, match=r"differs in held_out\."):
            run(OPTIONS, held_out=held_out, snapshot_dir=tmp_path)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ModelError, match="Judging what is held out needs the answers' official scores"):
        train(replace(questions(), soft_scores=None), SMALL, EMBEDDINGS, OPTIONS, held_out=HELD_OUT)
    outside = replace(questions(), consensus=np.where(np.arange(200) < 120, -1, 0).astype(np.int32))
    with pytest.raises(ModelError, match="None of the 120 questions has an answer among the classes"):
        train(outside, SMALL, EMBEDDINGS, TrainingOptions(epochs=1), held_out=HELD_OUT)
