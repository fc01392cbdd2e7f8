"""What a training run is given, checked before it begins: data, options, and what makes two runs the same."""

from __future__ import annotations

import hashlib
import math
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from data.base.errors import ModelError
from models.classifiers.architecture import Architecture
from models.classifiers.deeper_lstm import Classifier
from models.feature_table import Table
from models.training.optimisers import SCHEDULES

History = list[dict[str, float]]


@dataclass(frozen=True)
class TrainingData:
    """Questions with their pictures and answers, row by row in the same order.

    tokens (Q, 26) int32, zeros on the left; rows (Q,) int64, each question's picture as a row of `features`;
    features (N, ...) float16, one array (in memory or memory-mapped) or several one behind the other, None
    for a model without pictures; consensus (Q,) int32, the class of the consensus answer, negative if it has
    none; soft_classes (Q, K) int32 and soft_scores (Q, K) float32, needed for target `soft`: the official
    scores of the answers that have a class, classes negative where a question has fewer than K.
    """

    tokens: np.ndarray
    rows: np.ndarray
    features: Table | None
    consensus: np.ndarray
    soft_classes: np.ndarray | None = None
    soft_scores: np.ndarray | None = None


@dataclass(frozen=True)
class TrainingOptions:
    """What decides the weights. The defaults are the original's; dropout is part of the Architecture.

    limit: train on the first so many questions only (for trials).
    """

    epochs: int = 3
    batch_size: int = 256
    learning_rate: float = 1e-3
    optimiser: str = "rmsprop"
    schedule: str = "constant"
    target: str = "consensus"
    seed: int = 0
    limit: int | None = None


@dataclass
class Trained:
    """The model in eval mode on the CPU, a history row per epoch, and facts worth recording."""

    module: Classifier
    history: History
    facts: dict[str, Any] = field(default_factory=dict)


def usable(data: TrainingData, options: TrainingOptions) -> np.ndarray:
    """Numbers of the questions that are trained on.

    `consensus`: those whose consensus answer has a class, as the original. `soft`: all, as the later systems do
    (those after arXiv:1708.02711): a question none of whose answers has a class teaches that none is right.
    """
    every = np.arange(len(data.tokens))
    kept = every if options.target == "soft" else every[data.consensus >= 0]
    if not len(kept):
        raise ModelError(
            f"None of the {len(every)} questions has an answer among the classes: nothing to train on."
        )
    return kept[: options.limit]


def run_identity(
    data: TrainingData, architecture: Architecture, embeddings: np.ndarray, options: TrainingOptions
) -> dict[str, Any]:
    """What two runs must share for one to go on from the other. Under a schedule, epochs count."""
    free = options.schedule == "constant"
    digest = hashlib.sha256()
    for array in (data.tokens, data.rows, data.consensus, data.soft_classes, data.soft_scores, embeddings):
        digest.update(repr(None if array is None else array.shape).encode())
        if array is not None:
            digest.update(np.ascontiguousarray(array).data)
    settings = asdict(replace(options, epochs=0) if free else options)
    return {**asdict(architecture), **settings, "data": digest.hexdigest()}


def check_inputs(data: TrainingData, architecture: Architecture, options: TrainingOptions) -> None:
    for name, choices in (("schedule", SCHEDULES), ("target", ("consensus", "soft"))):
        if getattr(options, name) not in choices:
            raise ModelError(
                f"There is no {name} {getattr(options, name)!r}; there are {', '.join(choices)}."
            )
    if min(options.epochs, options.batch_size) < 1 or not 0 < options.learning_rate < math.inf:
        raise ModelError(
            f"epochs is {options.epochs}, batch size {options.batch_size}, learning rate "
            f"{options.learning_rate}: all three have to be above 0."
        )
    if options.target == "soft" and (data.soft_classes is None or data.soft_scores is None):
        raise ModelError(
            "Target `soft` needs the answers' official scores, and these answers were given without."
        )
    check_ranges(architecture, data.tokens, data.consensus)


def check_ranges(architecture: Architecture, tokens: np.ndarray, consensus: np.ndarray) -> None:
    """Raise ModelError where ids or classes do not fit the model's sizes."""
    for what, array, size in (
        ("word id", tokens, architecture.vocabulary),
        ("class", consensus, architecture.answers),
    ):
        if array.size and array.max() >= size:
            raise ModelError(
                f"The highest {what} is {array.max()}, but the model has {size}. Encode the questions and "
                "answers with the vocabulary that the model is trained on."
            )
