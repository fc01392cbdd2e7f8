"""Epochs of a model that attends, by this project's own `train` and by a plain loop, over made-up grids."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.peers import EMBEDDING, VOCABULARY, make_embeddings, make_questions
from bench.turns import Turn
from models.classifiers.names import CLASSIFIERS

if TYPE_CHECKING:
    from bench.attention_ways import Step
    from models.training.history import History

HUMANS = 10


@dataclass(frozen=True)
class Asked:
    """tokens (Q, 26) int32, rows (Q,) of made-up questions; features (N, side, side, channels) float16; humans (Q, 10)
    int32, the classes of what they answered."""

    tokens: np.ndarray
    rows: np.ndarray
    features: np.ndarray
    humans: np.ndarray


def make_asked(questions: int, pictures: int, shape: tuple[int, ...], answers: int) -> Asked:
    """Questions about pictures in turn: of v2's 443,757 few of a batch share one."""
    rng = np.random.default_rng(1)
    features = rng.standard_normal((min(pictures, 256), *shape), np.float32).clip(0).astype(np.float16)
    repeated = np.concatenate([features] * -(-pictures // len(features)))[:pictures]
    humans = (rng.zipf(1.5, (questions, HUMANS)) % answers).astype(np.int32)
    return Asked(make_questions(questions, 0), np.arange(questions) % pictures, repeated, humans)


def number(model: str, name: str) -> int:
    """A size of the model's recipe."""
    return int(CLASSIFIERS[model].recipe[name])


def train_by_recipe(
    model: str,
    task: Asked,
    device: str,
    epochs: int = 1,
    limit: int | None = None,
    precision: str = "auto",
    hidden: int = 0,
    each_epoch: Callable[[History], None] | None = None,
) -> float:
    """Samples a second of the last epoch. hidden: 0 is the recipe's, for `joint`, too."""
    from models.classifiers.architecture import Architecture
    from models.training.inputs import TrainingData, TrainingOptions
    from models.training.loop import train

    recipe, answers = CLASSIFIERS[model].recipe, number(model, "answers")
    units = hidden or number(model, "hidden"), hidden or number(model, "joint")
    shape, dropout = task.features.shape[1:], float(recipe["dropout"])
    architecture = Architecture(
        model, VOCABULARY, EMBEDDING, answers, shape, *units, dropout, fine_tune_embeddings=True
    )
    options = TrainingOptions(
        epochs,
        number(model, "batch_size"),
        float(recipe["learning_rate"]),
        recipe["optimiser"],
        recipe.get("lr_schedule", "constant"),
        recipe["target"],
        limit=limit,
        **CLASSIFIERS[model].training,
    )
    scores = np.full(task.humans.shape, 1 / HUMANS, np.float32)
    data = TrainingData(
        task.tokens, task.rows, task.features, task.humans[:, 0], task.humans, scores, task.humans
    )
    how: dict[str, Any] = {"device": device, "precision": precision, "each_epoch": each_epoch}
    return float(
        train(data, architecture, make_embeddings(), options, **how).history[-1]["samples_per_second"]
    )


def plain_epoch(model: str, task: Asked, device: str, make: Callable[..., Step], limit: int = 0) -> Turn:
    """An epoch of the plain loop. What its authors' loaders prepare is prepared before; pictures become float32 in it.

    make: the step, from the numbers of words and of answers, and the device.
    """
    import torch

    from bench.attention_ways import PLAIN

    batch, answers, count = number(model, "batch_size"), number(model, "answers"), limit or len(task.tokens)
    features = task.features.reshape(len(task.features), -1, task.features.shape[-1])
    if PLAIN[model].first:
        features = np.ascontiguousarray(features.transpose(0, 2, 1))[..., None]
    ids, humans = (
        torch.from_numpy(array.astype(np.int64)).to(device)
        for array in (PLAIN[model].ids(task.tokens), task.humans)
    )
    step = make(VOCABULARY, answers, device)

    def turn() -> float:
        began, order = time.perf_counter(), np.random.default_rng(0).permutation(count)
        for first in range(0, count, batch):
            rows = order[first : first + batch]
            there = torch.from_numpy(rows).to(device)
            pictures = torch.from_numpy(features[task.rows[rows]]).to(device).float()
            wanted = torch.zeros(len(rows), answers, device=device)
            wanted.scatter_add_(1, humans[there], torch.full((len(rows), HUMANS), 1 / HUMANS, device=device))
            if not math.isfinite(step(ids[there], pictures, wanted)):
                raise ValueError("the plain loop's loss is not finite")
        return count / (time.perf_counter() - began)

    return turn
