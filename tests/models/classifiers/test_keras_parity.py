"""The original's model against Keras 3: same weights, same outputs; one step of RMSprop, same new weights."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest
import torch

from models.classifiers.architecture import Architecture
from models.classifiers.build import build
from models.classifiers.interface import Classifier
from models.feature_table import Features
from models.training.optimisers import KerasRMSprop

os.environ.setdefault("KERAS_BACKEND", "torch")
keras = pytest.importorskip("keras", reason="Keras 3 is not installed: pip install keras")

SMALL = Architecture(
    "deeper-lstm", vocabulary=60, embedding=20, answers=15, features=(32,), hidden=24, joint=40, dropout=0.0
)


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


def keras_model(a: Architecture, embeddings: np.ndarray | None = None) -> Any:
    """The original's model in Keras, from its description: two inputs, softmax out, GloVe frozen."""
    layers = keras.layers
    start = "zeros" if embeddings is None else keras.initializers.Constant(embeddings)
    question, picture = keras.Input((26,), dtype="int32"), keras.Input(a.features)
    x = layers.Embedding(a.vocabulary, a.embedding, embeddings_initializer=start, trainable=False)(question)
    x = layers.Dropout(a.dropout)(layers.LSTM(a.hidden, return_sequences=True)(x))
    x = layers.Dropout(a.dropout)(layers.LSTM(a.hidden)(x))
    x = layers.Dense(a.joint, activation="tanh")(x)
    x = layers.Multiply()([x, layers.Dense(a.joint, activation="tanh", name="image")(picture)])
    x = layers.Dense(a.joint, activation="tanh")(layers.Dropout(a.dropout)(x))
    x = layers.Dense(a.answers, activation="softmax")(layers.Dropout(a.dropout)(x))
    model = keras.Model([question, picture], x)
    model.compile(keras.optimizers.RMSprop(learning_rate=1e-3), "sparse_categorical_crossentropy")
    return model


def as_keras(module: Classifier) -> list[list[np.ndarray]]:
    """Our weights, per layer, in the order and layout in which Keras has them: kernels are (in, out)."""
    q = module.questions
    lstms = [[lstm.kernel, lstm.recurrent_kernel, lstm.bias] for lstm in (q.lstm_1, q.lstm_2)]
    dense = [[layer.weight.T, layer.bias] for layer in (q.dense, module.image, module.fusion, module.answers)]
    return [[w.detach().numpy().copy() for w in layer] for layer in [*lstms, *dense]]


def trained_layers(model: Any) -> list[Any]:
    lstms = [layer for layer in model.layers if isinstance(layer, keras.layers.LSTM)]
    image = model.get_layer("image")
    dense = [layer for layer in model.layers if isinstance(layer, keras.layers.Dense) and layer is not image]
    return [*lstms, dense[0], image, *dense[1:]]


def batch(a: Architecture) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    tokens = np.zeros((64, 26), np.int32)
    for row, length in zip(tokens, [0, 26, *rng.integers(1, 14, 62)], strict=True):
        row[26 - length :] = rng.integers(1, a.vocabulary, length)
    features = np.maximum(rng.normal(size=(64, *a.features)), 0).astype(np.float16)
    return tokens, features, rng.integers(0, a.answers, 64)


def both() -> tuple[Classifier, Any]:
    embeddings = np.random.default_rng(1).normal(size=(60, 20)).astype(np.float32)
    embeddings[0] = 0
    ours, theirs = build(SMALL, embeddings, seed=2), keras_model(SMALL, embeddings)
    for layer, weights in zip(trained_layers(theirs), as_keras(ours), strict=True):
        layer.set_weights(weights)
    return ours, theirs


def normalised(features: np.ndarray) -> np.ndarray:
    return features.astype(np.float32) / np.linalg.norm(features.astype(np.float32), axis=1, keepdims=True)


def test_outputs_are_those_of_keras():
    ours, theirs = both()
    tokens, features, _ = batch(SMALL)
    pictures = Features(features, torch.device("cpu")).gather(np.arange(64))
    expected = theirs.predict([tokens, normalised(features)], verbose=0)
    with torch.no_grad():
        actual = ours.eval()(tokens, pictures).softmax(dim=1).numpy()
    np.testing.assert_allclose(actual, expected, atol=1e-6, rtol=1e-5)


def test_one_step_of_rmsprop_is_that_of_keras():
    ours, theirs = both()
    tokens, features, classes = batch(SMALL)
    pictures = Features(features, torch.device("cpu")).gather(np.arange(64))
    before = as_keras(ours)
    theirs.train_on_batch([tokens, normalised(features)], classes)
    logits = ours.train()(tokens, pictures)
    torch.nn.functional.cross_entropy(logits, torch.from_numpy(classes)).backward()
    KerasRMSprop([weight for weight in ours.parameters() if weight.requires_grad]).step()
    for layer, actual, old in zip(trained_layers(theirs), as_keras(ours), before, strict=True):
        for theirs_now, ours_now, then in zip(layer.get_weights(), actual, old, strict=True):
            np.testing.assert_allclose(ours_now, theirs_now, atol=1e-5)
            assert np.abs(ours_now - then).max() > 1e-4  # the step did move it


def test_parameter_counts_are_those_of_keras_at_the_seeds_sizes():
    sizes = Architecture("deeper-lstm", vocabulary=12602, embedding=300, answers=1000, features=(4096,))
    model = keras_model(sizes)
    assert model.count_params() == 14_340_064
    assert sum(int(np.prod(weight.shape)) for weight in model.trainable_weights) == 10_559_464
