"""Which picture a question is asked about in place of its own, and what is answered then."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from data.base.errors import ModelError
from models.classifiers.architecture import Architecture
from models.classifiers.build import build
from models.classifiers.names import CLASSIFIERS
from models.exchanged_pictures import exchanged, predict_exchanged, survey
from models.feature_table import Features
from models.prediction import predict

VOCABULARY, ANSWERS, PICTURES, SIZE = 12, 9, 20, 16
ON_CPU = {"device": "cpu", "precision": "float32"}
SEEING = [name for name, entry in CLASSIFIERS.items() if entry.reads != "none"]


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


@given(st.lists(st.integers(0, 12), min_size=1, max_size=60), st.integers(0, 2**32))
def test_no_picture_keeps_its_own_nor_an_equal_one(pictures, seed):
    kinds = np.array(pictures)
    places = exchanged(kinds, seed)
    if len(set(pictures)) < 2:
        assert places is None
        return
    got = kinds[places]
    assert (got != kinds).all()
    assert len({(own, other) for own, other in zip(pictures, got.tolist(), strict=True)}) == len(
        set(pictures)
    )
    assert set(got.tolist()) == set(pictures)  # each stands in for one other
    assert (exchanged(kinds, seed) == places).all()


def test_the_seed_draws_the_order():
    kinds = np.arange(40)
    assert len({tuple(exchanged(kinds, seed).tolist()) for seed in range(5)}) == 5


def table(name: str = "deeper-lstm") -> np.ndarray:
    shape = (2, 2, SIZE // 4) if CLASSIFIERS[name].reads == "grid" else (SIZE,)
    values = np.maximum(np.random.default_rng(1).normal(size=(PICTURES, SIZE)), 0)
    return values.astype(np.float16).reshape(PICTURES, *shape)


def test_the_mean_is_taken_at_each_place_over_the_pictures_asked_about(monkeypatch):
    monkeypatch.setattr("models.exchanged_pictures.BLOCK_BYTES", 100)  # three rows at a time
    features = table("saaa")
    features[7], rows = features[3], np.array([2, 3, 5, 7, 19])
    mean, pictures = survey(Features([features[:4], features[4:]], torch.device("cpu")), rows)
    expected = features[rows].astype(np.float64).mean(axis=0)
    assert (mean.shape, mean.dtype) == ((1, 2, 2, SIZE // 4), np.float16)
    np.testing.assert_allclose(mean[0], expected, atol=1e-3)
    assert np.ptp(mean[0].astype(float), axis=(0, 1)).min() > 0  # no place has another's mean
    assert pictures.tolist() == [0, 1, 2, 1, 3]  # two ids of one picture
    features[5, 0, 0, 0] = np.nan
    with pytest.raises(ModelError, match="not finite, the first is row 5"):
        survey(Features(features, torch.device("cpu")), rows)


def example(count: int = 90) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(4)
    tokens = np.zeros((count, 26), np.int32)
    tokens[:, -2:] = rng.integers(1, VOCABULARY, (count, 2))
    return tokens, rng.integers(2, PICTURES, count)


@pytest.mark.parametrize("name", SEEING)
def test_answers_are_those_about_the_other_picture_and_the_mean_one(name: str, tmp_path: Path):
    features, (tokens, rows) = table(name), example()
    vectors = np.random.default_rng(0).normal(size=(VOCABULARY, 8)).astype(np.float32)
    shape = features.shape[1:]
    module = build(Architecture(name, VOCABULARY, 8, ANSWERS, shape, hidden=16, joint=16), vectors, seed=3)
    choices = np.random.default_rng(3).integers(0, ANSWERS, (len(rows), 4)).astype(np.int32)
    np.save(tmp_path / "features.npy", features)
    parts = [
        features[:8],
        np.load(tmp_path / "features.npy", mmap_mode="r")[8:],
    ]  # in memory, and on the disk
    found = predict_exchanged(module, tokens, rows, parts, choices=choices, **ON_CPU)
    assert found.pictures == len(np.unique(rows)) and (found.rows != rows).all()
    mean = features[np.unique(rows)].astype(np.float64).mean(axis=0).astype(np.float16)
    about = {
        "exchanged": predict(module, tokens, found.rows, features, choices=choices, **ON_CPU),
        "mean_picture": predict(module, tokens, 0 * rows, mean[None], choices=choices, **ON_CPU),
    }
    assert found.answers.keys() == about.keys()
    for kind, expected in about.items():
        got = found.answers[kind]
        np.testing.assert_allclose(got.top_probabilities, expected.top_probabilities, atol=1e-5)
        assert (got.choices == expected.choices).mean() > 0.95  # two may be equally probable
        assert got.arithmetic == expected.arithmetic


def test_of_one_picture_there_is_no_other():
    tokens, rows = example()
    features = table()
    features[:] = features[0]  # twenty ids, one picture
    module = build(Architecture("deeper-lstm", VOCABULARY, 8, ANSWERS, (SIZE,), hidden=16, joint=16), seed=3)
    found = predict_exchanged(module, tokens, rows, [features], **ON_CPU)
    assert (found.pictures, len(found.rows), found.answers) == (1, 0, {})
