"""Pictures stream by in blocks: the same answers, each thing encoded once, and little in memory at a time."""

from __future__ import annotations

import os
import weakref
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from data.base.errors import DataError
from models import encoded_pairs
from models.classifiers.architecture import Architecture
from models.classifiers.build import build
from models.classifiers.interface import Classifier
from models.classifiers.names import CLASSIFIERS
from models.encoded_pairs import _bytes, _tensors
from models.prediction import Predictions, predict

VOCABULARY, QUESTIONS, GRID = 12, 150, (2, 2, 4)


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


def small_blocks(monkeypatch: pytest.MonkeyPatch, pictures: int = 4_000, questions: int = 1 << 30) -> None:
    for name, most in (("LOOK", 5 * 64), ("PICTURES", pictures), ("QUESTIONS", questions), ("PAIRS", 2_000)):
        monkeypatch.setattr(encoded_pairs, f"{name}_BYTES", most)


def model(name: str) -> Classifier:
    vectors = np.random.default_rng(0).normal(size=(VOCABULARY, 8)).astype(np.float32)
    features = GRID if CLASSIFIERS[name].reads == "grid" else (16,)
    return build(Architecture(name, VOCABULARY, 8, 9, features, hidden=16, joint=16), vectors, seed=3)


def asked(pictures: int, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    tokens = np.zeros((QUESTIONS, 26), np.int32)
    for row, length in zip(tokens, rng.integers(0, 4, QUESTIONS), strict=True):  # short, so that many repeat
        row[26 - length :] = rng.integers(1, VOCABULARY, length)
    features = np.maximum(rng.normal(size=(pictures, *shape)), 0).astype(np.float16)
    return tokens, rng.integers(0, pictures, QUESTIONS), features


def answers(module: Classifier, pictures: int = 60, batch: int = 2048) -> Predictions:
    classes = np.arange(QUESTIONS, dtype=np.int32) % 9
    data = asked(pictures, module.features)
    return predict(module, *data, classes=classes, batch=batch, device="cpu", precision="float32")


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_blocks_of_any_size_give_the_same_answers(name: str, monkeypatch):
    module = model(name)
    whole = answers(module)
    small_blocks(monkeypatch, questions=1)
    found = answers(module, batch=32)
    assert np.array_equal(found.top_classes, whole.top_classes)
    np.testing.assert_allclose(found.top_probabilities, whole.top_probabilities, atol=1e-6)
    np.testing.assert_allclose(found.log_likelihoods, whole.log_likelihoods, atol=1e-5)
    if whole.attention is not None:
        np.testing.assert_allclose(found.attention, whole.attention, atol=1e-3)


@pytest.mark.parametrize("name", ["deeper-lstm", "saaa"])
def test_each_distinct_question_and_each_picture_is_encoded_once(name: str, monkeypatch):
    module, seen, encoded = model(name), [], []
    small_blocks(monkeypatch, pictures=1)
    look, encode = module.look, module.encode
    monkeypatch.setattr(module, "look", lambda features: seen.append(features.numpy()) or look(features))
    monkeypatch.setattr(
        module, "encode", lambda tokens, words: encoded.append(tokens) or encode(tokens, words)
    )
    tokens, rows, features = asked(60, module.features)
    predict(module, tokens, rows, features, batch=32, device="cpu", precision="float32")
    assert max(map(len, seen)) == 5  # LOOK_BYTES
    assert np.array_equal(np.concatenate(seen), features[np.unique(rows)])
    assert np.array_equal(np.concatenate(encoded), np.unique(tokens, axis=0))


@pytest.mark.parametrize("name", ["deeper-lstm", "saaa", "top-down", "mcan-small"])
def test_what_is_in_memory_at_a_time_does_not_grow_with_the_pictures(name: str, monkeypatch):
    module = model(name)
    small_blocks(monkeypatch, pictures=1_000)
    assert most_in_memory(module, 140, monkeypatch) < 1.3 * most_in_memory(module, 40, monkeypatch)


def most_in_memory(module: Classifier, pictures: int, monkeypatch: pytest.MonkeyPatch) -> int:
    """The most bytes of encoded pictures at a time, looks and blocks together."""
    now, most = [0], [0]

    def freed(count: int) -> None:
        now[0] -= count

    def watched(make):
        def call(*arguments: object) -> object:
            made = make(*arguments)
            now[0] += _bytes(made)
            most[0] = max(most[0], now[0])
            for tensor in _tensors(made):
                weakref.finalize(tensor, freed, tensor.nbytes)
            return made

        return call

    with monkeypatch.context() as patch:
        patch.setattr(module, "look", watched(module.look))
        patch.setattr(encoded_pairs, "join", watched(encoded_pairs.join))
        answers(module, pictures)
    assert now[0] == 0
    return most[0]


def test_a_table_on_the_disk_gives_the_same_bits(tmp_path: Path, monkeypatch):
    module = model("saaa")
    tokens, rows, features = asked(60, module.features)
    np.save(tmp_path / "features.npy", features)
    mapped = np.load(tmp_path / "features.npy", mmap_mode="r")
    small_blocks(monkeypatch)
    found, expected = (
        predict(module, tokens, rows, table, device="cpu", precision="float32")
        for table in (mapped, features)
    )
    for name in ("top_classes", "top_probabilities", "attention"):
        assert np.array_equal(getattr(found, name), getattr(expected, name))


def test_a_table_cut_short_while_it_is_read_is_one_error(tmp_path: Path, monkeypatch):
    module = model("saaa")
    tokens, rows, features = asked(60, module.features)
    np.save(tmp_path / "features.npy", features)
    mapped = np.load(tmp_path / "features.npy", mmap_mode="r")
    small_blocks(monkeypatch)
    size = (tmp_path / "features.npy").stat().st_size
    cut = lambda done, total, note: os.truncate(tmp_path / "features.npy", size // 2)  # noqa: E731
    with pytest.raises(DataError, match=rf"features.npy: ends at byte {size // 2:,}"):
        predict(module, tokens, rows, mapped, device="cpu", progress=cut)


def test_the_originals_pictures_are_one_block():
    """All pictures of COCO's largest split, as the vectors that deeper-lstm makes of them: as before they streamed."""
    encoded = Tensor(1, 1024)
    assert 81_434 * _bytes(encoded) < encoded_pairs.PICTURES_BYTES
    assert encoded_pairs.LOOK_BYTES // (4 * 4096) >= encoded_pairs.BATCH
