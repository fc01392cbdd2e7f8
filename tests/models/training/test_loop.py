"""Training learns, counts what it leaves out, and ends at the same bits however often it is interrupted."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from later_records import LaterArchitecture, LaterOptions
from trainings import (
    EMBEDDINGS,
    OPTIONS,
    SMALL,
    digest,
    questions,
    recipe_run,
    run,
    small,
    with_one_layer,
)

from data.base.errors import ModelError
from models.classifiers.deeper_lstm import LstmChannel
from models.classifiers.interface import PlacesClassifier
from models.classifiers.names import CLASSIFIERS
from models.devices import processor_name
from models.training import loop, optimisers
from models.training.choices import OPTIMISERS
from models.training.columns import Columns
from models.training.history import write_events, write_history
from models.training.inputs import Trained, threads_for
from models.training.loop import soft_targets, train
from tasks.library.judged_questions import read_history

RATES = {"mcan-small": 1e-3, "mcan-large": 1e-3}
"""Deep networks learn in smaller steps than the others' 1e-2."""

HELD_OUT = np.arange(150, 200)
KILLED = {name: (name, None) for name in CLASSIFIERS} | {"held out": ("deeper-lstm", HELD_OUT)}


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch):
    torch.set_num_threads(1)
    for name, entry in with_one_layer().items():
        monkeypatch.setitem(CLASSIFIERS, name, entry)


@pytest.mark.parametrize(
    ("batch_size", "shapes", "threads"),
    [
        (32, {"hidden": 256, "features": (2048,)}, 1),
        (32, {"hidden": 256, "features": ()}, 1),
        (64, {"hidden": 256, "features": (2048,)}, 0),
        (256, {"hidden": 512, "features": (4096,)}, 0),
        (32, {"hidden": 128, "features": (7, 7, 512)}, 0),
    ],
    ids=["vqa-v2-mini", "no pictures", "more questions", "the original", "a grid"],
)
def test_small_batches_take_one_thread(batch_size, shapes, threads):
    architecture, options = replace(SMALL, **shapes), replace(OPTIONS, batch_size=batch_size)
    assert threads_for(architecture, options) == threads


def test_shares_count_the_humans_whose_answer_has_a_class():
    data = questions(40)
    humans = np.array([[1, 1, 2, -1], [-1, -1, -1, -1], [3, -2, -2, -2]] + [[0] * 4] * 37, np.int32)
    assert loop.human_shares(humans)[:3].tolist() == [[0.25] * 4, [0.25] * 4, [1] * 4]
    data, options = replace(data, humans=humans), replace(OPTIONS, target="shares", epochs=1)
    trained = train(data, SMALL, EMBEDDINGS, options, device="cpu")
    assert trained.facts["questions_trained_on"] == 39  # all but the one that nobody answered with a class
    with pytest.raises(ModelError, match="Target `shares` needs the humans' answers"):
        train(replace(data, humans=None), SMALL, EMBEDDINGS, options)


def test_with_whole_batches_an_epoch_has_no_smaller_one(monkeypatch):
    sizes: list[int] = []
    step = loop._Run.step
    monkeypatch.setattr(loop._Run, "step", lambda run, count: (sizes.append(count), step(run, count))[1])
    for whole, expected in ((False, [32, 32, 26]), (True, [32, 32])):
        options = replace(OPTIONS, epochs=1, target="soft", limit=90, whole_batches=whole)
        assert run(options).history[0]["samples_per_second"] > 0
        assert sizes == expected
        sizes.clear()
    run(replace(options, limit=20))
    assert sizes == [20]  # less than one batch: all of it


@pytest.mark.parametrize("name", CLASSIFIERS)
@pytest.mark.parametrize(("target", "optimiser"), [("consensus", "rmsprop"), ("soft", "adamw")])
def test_every_model_learns_what_words_decide(name: str, target: str, optimiser: str):
    rate = RATES.get(name, 1e-2)
    options = replace(OPTIONS, epochs=12, target=target, optimiser=optimiser, learning_rate=rate)
    architecture = small(name, dropout=0.0)
    history = run(options, architecture).history
    assert history[-1]["loss"] < 0.9 * history[0]["loss"]
    assert history[-1]["exact_match"] > 1.5 * history[0]["exact_match"]
    assert "samples_per_second" in history[-1]


@pytest.fixture
def gpus_way(monkeypatch):
    """A GPU's way of doing things, on the CPU: all steps at once, arrays on the device, foreach kernels."""
    monkeypatch.setattr(LstmChannel, "_on_gpu", True)
    monkeypatch.setattr(PlacesClassifier, "on_gpu", True)
    monkeypatch.setattr(Columns, "_fit", lambda columns: True)
    monkeypatch.setattr(optimisers, "_update_in_chunks", optimisers._update_together)


@pytest.mark.parametrize("name", CLASSIFIERS)
@pytest.mark.parametrize("target", ["consensus", "soft"])
def test_a_gpus_way_learns_the_same(request, name: str, target: str):
    options, architecture = replace(OPTIONS, target=target), small(name, dropout=0.0)
    expected = run(options, architecture)
    request.getfixturevalue("gpus_way")
    trained = run(options, architecture)
    for weight, other in zip(
        trained.module.state_dict().values(), expected.module.state_dict().values(), strict=True
    ):
        torch.testing.assert_close(weight, other, rtol=1e-3, atol=5e-4)
    np.testing.assert_allclose(
        [row["loss"] for row in trained.history], [row["loss"] for row in expected.history], rtol=1e-4
    )


@pytest.mark.usefixtures("gpus_way")
def test_a_gpus_masks_are_each_questions_own_and_repeat_with_the_seed():
    first, again = run(), run()
    assert digest(first.module) == digest(again.module)
    module = first.module.train()
    tokens = np.zeros((2, 26), np.int32)  # padding alone, twice: the tree would give both the same masks
    tokens[:, -1] = 5
    states = module.questions.all_steps(tokens)
    assert not torch.allclose(*states)


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_columns_on_the_device_give_the_same_batches(monkeypatch, name: str):
    architecture, options = small(name), replace(OPTIONS, target="soft")
    hosted = digest(run(options, architecture).module)
    monkeypatch.setattr(Columns, "_fit", lambda columns: True)
    assert digest(run(options, architecture).module) == hosted


def test_same_seed_same_bits_other_seed_other_bits():
    first, again, other = (run(replace(OPTIONS, epochs=1, seed=seed)) for seed in (1, 1, 2))
    assert digest(first.module) == digest(again.module) != digest(other.module)


def test_a_standardised_run_has_the_statistics_and_goes_on_at_the_same_bits(tmp_path: Path):
    architecture, features = small("saaa", standardise=True), questions().features.astype(np.float64)
    whole = run(OPTIONS, architecture)
    np.testing.assert_allclose(whole.module.channel_mean, features.reshape(-1, 4).mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(whole.module.channel_scale, 1 / features.reshape(-1, 4).std(axis=0), rtol=1e-5)
    run(replace(OPTIONS, epochs=2), architecture, snapshot_dir=tmp_path)
    assert digest(run(OPTIONS, architecture, snapshot_dir=tmp_path).module) == digest(whole.module)


@pytest.mark.parametrize("optimiser", OPTIMISERS)
@pytest.mark.parametrize("tune", [False, True])
def test_more_epochs_train_on_from_the_finished_ones(tmp_path: Path, optimiser: str, tune: bool):
    schedule = {"adam": "warm-up", "adamax": "half-life"}.get(optimiser, "constant")
    options = replace(OPTIONS, optimiser=optimiser, schedule=schedule, clip=0.25 if tune else 0.0)
    architecture = replace(SMALL, fine_tune_embeddings=tune)
    whole = run(options, architecture)
    run(replace(options, epochs=2), architecture, snapshot_dir=tmp_path)
    continued = run(options, architecture, snapshot_dir=tmp_path)
    assert continued.facts["resumed_after_epochs"] == 2
    assert digest(continued.module) == digest(whole.module)
    assert [row["loss"] for row in continued.history] == [row["loss"] for row in whole.history]
    assert run(options, architecture, snapshot_dir=tmp_path).facts["resumed_after_epochs"] == 4


def test_a_snapshot_from_before_a_field_existed_goes_on_under_its_neutral_value(tmp_path: Path):
    options = LaterOptions(**{**asdict(OPTIONS), "momentum": 0.0})
    architecture = LaterArchitecture(**{**asdict(SMALL), "glimpses": 1})
    run(replace(OPTIONS, epochs=2), snapshot_dir=tmp_path)
    with pytest.raises(ModelError, match="another training run: it differs in momentum"):
        run(replace(options, momentum=0.9), architecture, snapshot_dir=tmp_path)
    continued = run(options, architecture, snapshot_dir=tmp_path)
    assert continued.facts["resumed_after_epochs"] == 2
    assert digest(continued.module) == digest(run().module)
    assert run(options, architecture, snapshot_dir=tmp_path).facts["resumed_after_epochs"] == 4


def test_a_run_that_goes_on_under_other_settings_says_so(tmp_path: Path):
    def part(epochs: int, precision: str) -> Trained:
        options = replace(OPTIONS, epochs=epochs)
        data = questions()
        return train(
            data, SMALL, EMBEDDINGS, options, device="cpu", precision=precision, snapshot_dir=tmp_path
        )

    before = {"device": processor_name(torch.device("cpu")), "precision": "float32", "threads": 1}
    assert part(2, "float32").facts["arithmetic"] == [before]
    torch.set_num_threads(2)
    trained = part(3, "bfloat16")
    after = before | {"precision": "bfloat16", "threads": 2}
    assert trained.facts["arithmetic"] == [before, after]
    assert [{name: row[name] for name in before} for row in trained.history] == [before, before, after]
    write_history(tmp_path / "history.csv", trained.history)
    assert [row.keys() & before.keys() for row in read_history(tmp_path / "history.csv")] == [set()] * 3
    write_events(tmp_path / "events", trained.history)


CHILD = """
import os, signal, sys
from pathlib import Path
sys.path[:0] = {paths!r}
import numpy as np
import torch
from trainings import CLASSIFIERS, recipe_run, with_one_layer
torch.set_num_threads(1)
CLASSIFIERS.update(with_one_layer())

def die(done, total, note):
    if note.startswith("epoch 2") and 2 * done > 3 * total / 4:  # in the middle of the second of four
        os.kill(os.getpid(), signal.SIGKILL)

for case, (name, held_out) in {cases}.items():
    held_out = held_out and np.arange(*held_out)
    if not (pid := os.fork()):
        recipe_run(name, 4, snapshot_dir=Path({folder!r}) / case, progress=die, held_out=held_out)
        os._exit(1)
    print(case, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


@pytest.fixture(scope="module")
def killed(tmp_path_factory) -> Path:
    """A folder with the snapshots of each case, by name, that kill -9 left in its second epoch of four."""
    folder, root = tmp_path_factory.mktemp("killed"), Path(loop.__file__).parents[2]
    cases = {
        case: (name, None if held_out is None else (int(held_out[0]), int(held_out[-1]) + 1))
        for case, (name, held_out) in KILLED.items()
    }
    code = CHILD.format(paths=[str(root), str(root / "tests")], folder=str(folder), cases=cases)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", code]
    said = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=environment, timeout=250).stdout
    assert said.splitlines() == [f"{case} {-signal.SIGKILL}" for case in KILLED]
    return folder


@pytest.mark.parametrize("case", KILLED)
def test_kill_minus_nine_and_run_again_ends_at_the_same_bits(killed: Path, tmp_path: Path, case: str):
    """Under its own recipe, whose schedule does not ask how many epochs there are to be: so also with two more."""
    name, held_out = KILLED[case]
    whole = recipe_run(name, 6, held_out=held_out)
    shutil.copytree(killed / case, tmp_path / case)
    assert [path.name for path in (tmp_path / case).glob("epoch-*.json")] == ["epoch-0001.json"]
    for epochs, before in ((4, 1), (6, 4)):
        trained = recipe_run(name, epochs, snapshot_dir=tmp_path / case, held_out=held_out)
        assert trained.facts["resumed_after_epochs"] == before
    assert digest(trained.module) == digest(whole.module)
    assert [row["loss"] for row in trained.history] == [row["loss"] for row in whole.history]


def test_damaged_and_unfinished_snapshots_are_passed_over(tmp_path: Path):
    whole = run()
    run(snapshot_dir=tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        f"epoch-000{epoch}.{kind}" for epoch in (3, 4) for kind in ("json", "safetensors")
    ]
    newest = tmp_path / "epoch-0004.safetensors"
    data = bytearray(newest.read_bytes())
    data[-1] ^= 1
    newest.write_bytes(data)
    again = run(snapshot_dir=tmp_path)
    assert again.facts["resumed_after_epochs"] == 3
    assert digest(again.module) == digest(whole.module)
    (tmp_path / "epoch-0004.json").write_text("{", encoding="utf-8")
    assert run(snapshot_dir=tmp_path).facts["resumed_after_epochs"] == 3


def test_snapshots_of_another_run_are_refused_by_name(tmp_path: Path):
    run(replace(OPTIONS, epochs=1), snapshot_dir=tmp_path)
    with pytest.raises(ModelError, match=r"differs in batch_size, seed\."):
        run(replace(OPTIONS, batch_size=64, seed=5), snapshot_dir=tmp_path)


def test_a_cosine_run_is_continued_only_at_the_same_number_of_epochs(tmp_path: Path):
    options = replace(OPTIONS, schedule="cosine")
    run(options, snapshot_dir=tmp_path)
    assert run(options, snapshot_dir=tmp_path).facts["resumed_after_epochs"] == 4
    with pytest.raises(ModelError, match="differs in epochs"):
        run(replace(options, epochs=6), snapshot_dir=tmp_path)


def test_consensus_leaves_out_questions_without_class_and_soft_keeps_all():
    data = questions()
    outside = int((data.consensus < 0).sum())
    assert outside
    facts = run(replace(OPTIONS, epochs=1)).facts
    assert facts["questions_trained_on"] == len(data.tokens) - outside
    assert facts["questions_without_class"] == outside
    assert run(replace(OPTIONS, epochs=1, target="soft")).facts["questions_trained_on"] == len(data.tokens)
    assert run(replace(OPTIONS, epochs=1, limit=50)).facts["questions_trained_on"] == 50


def test_soft_targets_put_each_score_on_its_class():
    classes, scores = (
        torch.tensor([[2, 0, -2], [-2, -2, -2]]),
        torch.tensor([[0.9, 0.3, 5.0], [1.0, 1.0, 1.0]]),
    )
    torch.testing.assert_close(
        soft_targets(classes, scores, 4), torch.tensor([[0.3, 0, 0.9, 0], [0, 0, 0, 0]])
    )


def test_features_in_parts_or_memory_mapped_train_the_same_model(tmp_path: Path):
    data = questions()
    features = np.asarray(data.features)
    np.save(tmp_path / "features.npy", features)
    parts = [features[:11], np.load(tmp_path / "features.npy", mmap_mode="r")[11:]]
    options = replace(OPTIONS, epochs=1)
    trained = train(
        replace(data, features=parts), SMALL, EMBEDDINGS, options, device="cpu", precision="float32"
    )
    assert digest(trained.module) == digest(run(options).module)


def test_bfloat16_trains_nearly_as_float32():
    exact, mixed = (
        train(questions(), SMALL, EMBEDDINGS, OPTIONS, device="cpu", precision=precision).history[-1]["loss"]
        for precision in ("float32", "bfloat16")
    )
    assert mixed == pytest.approx(exact, rel=0.03)


def test_progress_and_each_epoch_hear_of_it():
    heard, rows = [], []
    run(
        progress=lambda done, total, note: heard.append((done, total, note)),
        each_epoch=lambda h: rows.append(len(h)),
    )
    assert heard[-1][0] == heard[-1][1]
    assert "loss" in heard[-1][2]
    assert "samples/s" in heard[-1][2]
    assert rows == [1, 2, 3, 4]


def test_progress_after_a_resume_begins_with_what_was_done(tmp_path: Path):
    heard = []
    run(replace(OPTIONS, epochs=2), snapshot_dir=tmp_path)
    run(replace(OPTIONS, epochs=4), snapshot_dir=tmp_path, progress=lambda *told: heard.append(told[:2]))
    total = heard[-1][1]
    assert heard[0] == (total // 2, total) and heard[1][0] > total // 2 and heard[-1] == (total, total)


def test_a_diverging_run_says_what_to_change():
    data = questions()
    with pytest.raises(ModelError, match="Lower the learning rate"):
        train(data, SMALL, EMBEDDINGS * np.float32(np.nan), OPTIONS, device="cpu")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schedule": "linear"}, "constant, cosine"),
        ({"target": "hard"}, "consensus, soft"),
        ({"optimiser": "sgd"}, "rmsprop, adamw"),
        ({"epochs": 0}, "above 0"),
        ({"learning_rate": float("nan")}, "above 0"),
    ],
)
def test_impossible_options_are_refused(change: dict[str, object], message: str):
    with pytest.raises(ModelError, match=message):
        run(replace(OPTIONS, **change))


def test_data_that_does_not_fit_is_refused():
    data = questions()
    with pytest.raises(ModelError, match="highest word id is 99"):
        train(replace(data, tokens=np.full_like(data.tokens, 99)), SMALL, EMBEDDINGS, OPTIONS)
    with pytest.raises(ModelError, match="nothing to train on"):
        train(replace(data, consensus=np.full_like(data.consensus, -1)), SMALL, EMBEDDINGS, OPTIONS)
    with pytest.raises(ModelError, match="official scores"):
        train(replace(data, soft_scores=None), SMALL, EMBEDDINGS, replace(OPTIONS, target="soft"))
    broken = np.asarray(data.features).copy()
    broken[5, 2] = np.nan
    with pytest.raises(ModelError, match=r"1 rows .* not finite, the first is row 5"):
        train(replace(data, features=broken), SMALL, EMBEDDINGS, OPTIONS)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
@pytest.mark.parametrize(("precision", "near"), [("float32", 1e-3), ("bfloat16", 0.05)])
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_a_gpu_learns_what_the_cpu_learns(name: str, precision: str, near: float):
    architecture = small(name, dropout=0.0)
    data = questions(grid=len(architecture.features) == 3)
    on_gpu = train(data, architecture, EMBEDDINGS, OPTIONS, device="cuda", precision=precision)
    on_cpu = run(OPTIONS, architecture)
    losses, expected = ([row["loss"] for row in trained.history] for trained in (on_gpu, on_cpu))
    np.testing.assert_allclose(losses, expected, rtol=near)
    assert next(on_gpu.module.parameters()).device.type == "cpu"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_a_gpu_goes_on_from_a_snapshot_and_masks_by_seed(tmp_path: Path):
    def on_gpu(**more: object) -> Trained:
        return train(questions(), SMALL, EMBEDDINGS, device="cuda", precision="float32", **more)

    on_gpu(options=replace(OPTIONS, epochs=2), snapshot_dir=tmp_path)
    resumed = on_gpu(options=OPTIONS, snapshot_dir=tmp_path)
    whole = on_gpu(options=OPTIONS)
    assert resumed.facts["resumed_after_epochs"] == 2
    np.testing.assert_allclose(resumed.history[-1]["loss"], whole.history[-1]["loss"], rtol=1e-3)
