"""Small trainings: a model, questions that it can learn, and how two models are told apart."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np

from models.classifiers.architecture import Architecture
from models.classifiers.interface import Classifier
from models.classifiers.names import CLASSIFIERS, Entry
from models.training.inputs import Trained, TrainingData, TrainingOptions
from models.training.loop import train

VOCABULARY, ANSWERS, PICTURES, SIZE = 40, 6, 30, 16
SMALL = Architecture("deeper-lstm", VOCABULARY, 12, ANSWERS, (SIZE,), hidden=16, joint=24, dropout=0.3)
OPTIONS = TrainingOptions(epochs=4, batch_size=32, seed=1)
EMBEDDINGS = np.random.default_rng(9).normal(size=(VOCABULARY, 12)).astype(np.float32)


def small(name: str, **changes: object) -> Architecture:
    """A small model of this name; one for grids sees the same features as 2 x 2 places."""
    features = (2, 2, SIZE // 4) if CLASSIFIERS[name].reads == "grid" else (SIZE,)
    return replace(SMALL, model=name, features=features, **changes)


def questions(count: int = 200, seed: int = 0, grid: bool = False) -> TrainingData:
    """The answer is decided by the last word; one class in seven lies outside."""
    rng = np.random.default_rng(seed)
    tokens = np.zeros((count, 26), np.int32)
    for row, length in zip(tokens, rng.integers(1, 9, count), strict=True):
        row[26 - length :] = rng.integers(1, VOCABULARY, length)
    consensus = (tokens[:, -1] % (ANSWERS + 1) - 1).astype(np.int32)
    classes = np.stack([consensus, np.full(count, -2)], axis=1).astype(np.int32)
    features = np.maximum(rng.normal(size=(PICTURES, SIZE)), 0).astype(np.float16)
    features[3] = 0
    features = features.reshape(PICTURES, 2, 2, -1) if grid else features
    rows = rng.integers(0, PICTURES, count)
    scores = (classes >= 0).astype(np.float32)
    humans = np.repeat(consensus[:, None], 10, axis=1)
    return TrainingData(tokens, rows, features, consensus, classes, scores, humans)


def digest(module: Classifier) -> str:
    arrays = [weight.detach().numpy().tobytes() for weight in module.state_dict().values()]
    return hashlib.sha256(b"".join(arrays)).hexdigest()


def run(options: TrainingOptions = OPTIONS, architecture: Architecture = SMALL, **more: object) -> Trained:
    data = questions(grid=len(architecture.features) == 3)
    return train(data, architecture, EMBEDDINGS, options, device="cpu", precision="float32", **more)


def recipe_run(name: str, epochs: int, **more: object) -> Trained:
    """A small model of this name, trained as its recipe trains it."""
    entry = CLASSIFIERS[name]
    options = replace(
        OPTIONS,
        epochs=epochs,
        optimiser=entry.recipe.get("optimiser", "rmsprop"),
        schedule=entry.recipe.get("lr_schedule", "constant"),
        target=entry.recipe.get("target", "consensus"),
        **entry.training,
    )
    tuned = "fine_tune_embeddings" in entry.recipe
    return run(options, small(name, fine_tune_embeddings=tuned), **more)


def with_one_layer() -> dict[str, Entry]:
    """MCAN with one of its six layers, which are alike."""
    deep = {name: entry for name, entry in CLASSIFIERS.items() if "layers" in entry.sizes}
    return {name: replace(entry, sizes={**entry.sizes, "layers": 1}) for name, entry in deep.items()}
