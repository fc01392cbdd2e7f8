"""Prediction gives what the model gives pair by pair, though it encodes questions and pictures only once."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from data.base.errors import ModelError
from models.classifiers.architecture import Architecture
from models.classifiers.build import build
from models.classifiers.interface import Classifier
from models.classifiers.names import CLASSIFIERS
from models.feature_table import Features
from models.prediction import predict

VOCABULARY, ANSWERS, PICTURES, SIZE, COUNT = 12, 9, 20, 16, 150
GRID = (2, 2, SIZE // 4)


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


def model(name: str = "deeper-lstm") -> Classifier:
    vectors = np.random.default_rng(0).normal(size=(VOCABULARY, 8)).astype(np.float32)
    features = GRID if reads_grids(name) else (SIZE,)
    return build(Architecture(name, VOCABULARY, 8, ANSWERS, features, hidden=16, joint=16), vectors, seed=3)


def reads_grids(name: str) -> bool:
    return CLASSIFIERS[name].reads == "grid"


def example(count: int = COUNT, name: str = "deeper-lstm") -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    tokens = np.zeros((count, 26), np.int32)
    for row, length in zip(tokens, rng.integers(0, 4, count), strict=True):  # short, so that many repeat
        row[26 - length :] = rng.integers(1, VOCABULARY, length)
    features = np.maximum(rng.normal(size=(PICTURES, SIZE)), 0).astype(np.float16)
    shape = GRID if reads_grids(name) else (SIZE,)
    return tokens, rng.integers(2, PICTURES, count), features.reshape(PICTURES, *shape)


def pair_by_pair(module: Classifier, name: str = "deeper-lstm") -> np.ndarray:
    tokens, rows, features = example(name=name)
    table = Features(features, torch.device("cpu"))
    with torch.no_grad():
        logits = [
            module.eval()(tokens[i : i + 1], table.gather(rows[i : i + 1]) if module.sees_pictures else None)
            for i in range(len(tokens))
        ]
    return torch.cat(logits).numpy()


@pytest.mark.parametrize("name", CLASSIFIERS)
@pytest.mark.parametrize("batch", [7, 2048])
def test_top_answers_and_their_probabilities(name: str, batch: int):
    module = model(name)
    logits = pair_by_pair(module, name)
    predictions = predict(module, *example(name=name), batch=batch, device="cpu", precision="float32")
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    expected = -np.sort(-probabilities, axis=1)[:, :5]
    assert predictions.top_classes.shape == predictions.top_probabilities.shape == (COUNT, 5)
    assert (predictions.top_classes.dtype, predictions.top_probabilities.dtype) == (np.int32, np.float32)
    np.testing.assert_allclose(predictions.top_probabilities, expected, atol=1e-6)
    np.testing.assert_allclose(
        np.take_along_axis(probabilities, predictions.top_classes, axis=1), expected, atol=1e-6
    )


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_each_questions_shares_lie_where_its_picture_has_its_places(name: str):
    module, (tokens, rows, features) = model(name), example(name=name)
    if not reads_grids(name):
        assert predict(module, tokens, rows, features, device="cpu").attention is None
        return
    every = {"device": "cpu", "precision": "float32", "batch": 7}
    maps = predict(module, tokens, rows, features, glimpses=True, **every).attention
    mean = predict(module, tokens, rows, features, **every).attention
    assert (mean.shape, mean.dtype, maps.shape[2:]) == ((COUNT, *GRID[:2]), np.float16, GRID[:2])
    np.testing.assert_allclose(maps.mean(axis=1), mean, atol=1e-3)
    for number in (0, 40):
        row = slice(number, number + 1)
        picture = module.look(torch.from_numpy(features[rows[row]]))
        with torch.no_grad():
            expected = module.attention(module.encode(tokens[row]), picture)[0].unflatten(1, GRID[:2])
        np.testing.assert_allclose(maps[number], expected.numpy(), atol=1e-3)


def test_soft_models_give_each_answers_own_score():
    module = model()
    predictions = predict(module, *example(), target="soft", device="cpu", precision="float32")
    expected = 1 / (1 + np.exp(np.sort(-pair_by_pair(module), axis=1)[:, :5]))
    np.testing.assert_allclose(predictions.top_probabilities, expected, atol=1e-6)


def test_likelihoods_and_loss_of_given_classes():
    module = model()
    logits = pair_by_pair(module).astype(np.float64)
    classes = np.random.default_rng(2).integers(-1, ANSWERS, COUNT).astype(np.int32)
    predictions = predict(module, *example(), classes=classes, device="cpu", precision="float32")
    expected = logits[np.arange(COUNT), classes] - np.log(np.exp(logits).sum(axis=1))
    known = classes >= 0
    np.testing.assert_allclose(predictions.log_likelihoods[known], expected[known], atol=1e-6)
    assert np.isnan(predictions.log_likelihoods[~known]).all()
    assert predictions.loss == pytest.approx(-expected[known].mean(), abs=1e-6)


def test_multiple_choice_takes_the_best_choice_that_has_a_class():
    module = model()
    logits = pair_by_pair(module)
    choices = np.random.default_rng(3).integers(-2, ANSWERS, (COUNT, 4)).astype(np.int32)
    choices[0] = [-1, -2, -1, -1]
    chosen_classes = predict(module, *example(), choices=choices, device="cpu", precision="float32").choices
    assert chosen_classes[0] == -1
    for row, offered, chosen in zip(logits[1:], choices[1:], chosen_classes[1:], strict=True):
        offered = offered[offered >= 0]
        assert chosen == (offered[row[offered].argmax()] if len(offered) else -1)


def test_fewer_than_five_answers_give_fewer_columns():
    module = build(Architecture("bag-of-words", VOCABULARY, 8, 2, (SIZE,)), seed=0)
    assert predict(module, *example(), device="cpu").top_classes.shape == (COUNT, 2)


def test_progress_ends_at_the_number_of_questions():
    heard = []
    predict(
        model(),
        *example(),
        batch=16,
        device="cpu",
        progress=lambda done, total, note: heard.append((done, total)),
    )
    assert heard[-1] == (COUNT, COUNT)


def test_what_does_not_fit_is_refused():
    tokens, rows, features = example()
    with pytest.raises(ModelError, match=r"features are 15 a picture.*needs 16"):
        predict(model(), tokens, rows, features[:, :15])
    with pytest.raises(ModelError, match="no features"):
        predict(model(), tokens, rows, None)
    with pytest.raises(ModelError, match="highest word id is 12"):
        predict(model(), tokens + 1 * (tokens == 11), rows, features)
    with pytest.raises(ModelError, match="to 20, but the features have 20"):
        predict(model(), tokens, rows + 1, features)
    with pytest.raises(ModelError, match="150 questions but 149"):
        predict(model(), tokens, rows[1:], features)
    with pytest.raises(ModelError, match="no questions"):
        predict(model(), tokens[:0], rows[:0], features)
    predict(model("language-only"), tokens, rows, None, device="cpu")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
@pytest.mark.parametrize(("precision", "near"), [("float32", 1e-5), ("bfloat16", 0.02)])
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_a_gpu_answers_as_the_cpu_does(name: str, precision: str, near: float):
    classes = np.arange(COUNT, dtype=np.int32) % ANSWERS
    data = example(name=name)
    on_cpu = predict(model(name), *data, classes=classes, device="cpu", precision="float32")
    on_gpu = predict(model(name), *data, classes=classes, device="cuda", precision=precision, batch=32)
    np.testing.assert_allclose(on_gpu.top_probabilities, on_cpu.top_probabilities, atol=near)
    assert on_gpu.loss == pytest.approx(on_cpu.loss, rel=near)
