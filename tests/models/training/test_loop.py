"""Training learns, counts what it leaves out, and ends at the same bits however often it is interrupted."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from data.base.errors import ModelError
from models.classifiers.architecture import Architecture
from models.classifiers.build import MODELS
from models.classifiers.deeper_lstm import Classifier
from models.training import loop
from models.training.inputs import Trained, TrainingData, TrainingOptions
from models.training.loop import soft_targets, train

VOCABULARY, ANSWERS, PICTURES, SIZE = 40, 6, 30, 16
SMALL = Architecture("deeper-lstm", VOCABULARY, 12, ANSWERS, (SIZE,), hidden=16, joint=24, dropout=0.3)
OPTIONS = TrainingOptions(epochs=4, batch_size=32, seed=1)
EMBEDDINGS = np.random.default_rng(9).normal(size=(VOCABULARY, 12)).astype(np.float32)


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


def questions(count: int = 200, seed: int = 0) -> TrainingData:
    """The answer is decided by the last word; one class in seven lies outside."""
    rng = np.random.default_rng(seed)
    tokens = np.zeros((count, 26), np.int32)
    for row, length in zip(tokens, rng.integers(1, 9, count), strict=True):
        row[26 - length :] = rng.integers(1, VOCABULARY, length)
    consensus = (tokens[:, -1] % (ANSWERS + 1) - 1).astype(np.int32)
    classes = np.stack([consensus, np.full(count, -2)], axis=1).astype(np.int32)
    features = np.maximum(rng.normal(size=(PICTURES, SIZE)), 0).astype(np.float16)
    features[3] = 0
    rows = rng.integers(0, PICTURES, count)
    return TrainingData(tokens, rows, features, consensus, classes, (classes >= 0).astype(np.float32))


def digest(module: Classifier) -> str:
    arrays = [weight.detach().numpy().tobytes() for weight in module.state_dict().values()]
    return hashlib.sha256(b"".join(arrays)).hexdigest()


def run(options: TrainingOptions = OPTIONS, architecture: Architecture = SMALL, **more: object) -> Trained:
    return train(questions(), architecture, EMBEDDINGS, options, device="cpu", precision="float32", **more)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(("target", "optimiser"), [("consensus", "rmsprop"), ("soft", "adamw")])
def test_every_model_learns_what_words_decide(name: str, target: str, optimiser: str):
    options = replace(OPTIONS, epochs=12, target=target, optimiser=optimiser, learning_rate=1e-2)
    architecture = replace(SMALL, model=name, dropout=0.0)
    history = run(options, architecture, validation=questions(100, seed=5)).history
    assert history[-1]["loss"] < 0.9 * history[0]["loss"]
    assert history[-1]["exact_match"] > 1.5 * history[0]["exact_match"]
    assert {"validation_loss", "validation_exact_match", "samples_per_second"} <= history[-1].keys()


def test_same_seed_same_bits_other_seed_other_bits():
    first, again, other = (run(replace(OPTIONS, epochs=1, seed=seed)) for seed in (1, 1, 2))
    assert digest(first.module) == digest(again.module) != digest(other.module)


@pytest.mark.parametrize("optimiser", ["rmsprop", "adamw"])
@pytest.mark.parametrize("tune", [False, True])
def test_more_epochs_train_on_from_the_finished_ones(tmp_path: Path, optimiser: str, tune: bool):
    options, architecture = replace(OPTIONS, optimiser=optimiser), replace(SMALL, fine_tune_embeddings=tune)
    whole = run(options, architecture)
    run(replace(options, epochs=2), architecture, snapshot_dir=tmp_path)
    continued = run(options, architecture, snapshot_dir=tmp_path)
    assert continued.facts["resumed_after_epochs"] == 2
    assert digest(continued.module) == digest(whole.module)
    assert [row["loss"] for row in continued.history] == [row["loss"] for row in whole.history]
    assert run(options, architecture, snapshot_dir=tmp_path).facts["resumed_after_epochs"] == 4


CHILD = """
import sys
from pathlib import Path
sys.path[:0] = {paths!r}
from tests_training import OPTIONS, digest, run
from dataclasses import replace
trained = run(replace(OPTIONS, epochs=12), snapshot_dir=Path({folder!r}))
print(digest(trained.module), trained.facts["resumed_after_epochs"])
"""


def child(folder: Path) -> subprocess.Popen[str]:
    """A process that trains 12 epochs with snapshots in `folder` and prints its digest."""
    (folder / "code").mkdir(parents=True, exist_ok=True)
    (folder / "code" / "tests_training.py").write_text(
        Path(__file__).read_text(encoding="utf-8"), encoding="utf-8"
    )
    root = str(Path(loop.__file__).parents[2])
    code = CHILD.format(paths=[str(folder / "code"), root], folder=str(folder / "snapshots"))
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment)


def test_kill_minus_nine_and_run_again_ends_at_the_same_bits(tmp_path: Path):
    killed = child(tmp_path)
    while not list((tmp_path / "snapshots").glob("epoch-*.json")):
        assert killed.poll() is None
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    out, _ = child(tmp_path).communicate(timeout=120)
    found, resumed = out.split()
    assert 1 <= int(resumed) < 12
    assert found == digest(run(replace(OPTIONS, epochs=12)).module)


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
    found = train(
        replace(data, features=parts), SMALL, EMBEDDINGS, options, device="cpu", precision="float32"
    )
    assert digest(found.module) == digest(run(options).module)


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
@pytest.mark.parametrize("name", MODELS)
def test_a_gpu_learns_what_the_cpu_learns(name: str, precision: str, near: float):
    architecture, data = replace(SMALL, model=name, dropout=0.0), questions()
    on_gpu = train(data, architecture, EMBEDDINGS, OPTIONS, device="cuda", precision=precision)
    on_cpu = run(OPTIONS, architecture)
    found, expected = ([row["loss"] for row in one.history] for one in (on_gpu, on_cpu))
    np.testing.assert_allclose(found, expected, rtol=near)
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
