"""The inputs of a training run, checked before it begins: data, options, and what makes two runs the same."""

from __future__ import annotations

import hashlib
import math
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from data.base.errors import ModelError
from models.classifiers.architecture import Architecture
from models.classifiers.interface import Classifier
from models.feature_table import Table
from models.training.choices import SCHEDULES, TARGETS
from models.training.history import History

NO_HUMAN = -2
"""Fills rows of questions that fewer humans answered than others."""


@dataclass(frozen=True)
class TrainingData:
    """Questions with their pictures and answers, row by row in the same order.

    tokens (Q, 26) int32, zeros on the left; rows (Q,) int64, each question's picture as a row of `features`;
    features (N, ...) float16, one array (in memory or memory-mapped) or several one behind the other, None
    for a model without pictures; consensus (Q,) int32, the class of the consensus answer, negative if it has
    none; soft_classes (Q, K) int32 and soft_scores (Q, K) float32, needed for target `soft`: the official
    scores of the answers that have a class, classes negative where a question has fewer than K; humans (Q, H) int32,
    needed for target `shares`: the classes of what the humans answered, -1 outside the classes, -2 for no such human.
    """

    tokens: np.ndarray
    rows: np.ndarray
    features: Table | None
    consensus: np.ndarray
    soft_classes: np.ndarray | None = None
    soft_scores: np.ndarray | None = None
    humans: np.ndarray | None = None


@dataclass(frozen=True)
class TrainingOptions:
    """What decides the weights. The defaults are the original's; dropout is part of the Architecture.

    limit: train on the first so many questions only (for trials).
    Only published recipes set these: clip, the largest norm of the gradient, 0 for any; summed: a batch's loss is the
    sum over its questions, not their mean; whole_batches: questions that do not fill a last batch wait for another
    epoch; second_beta and epsilon, Adam's.
    """

    epochs: int = 3
    batch_size: int = 256
    learning_rate: float = 1e-3
    optimiser: str = "rmsprop"
    schedule: str = "constant"
    target: str = "consensus"
    seed: int = 0
    limit: int | None = None
    clip: float = field(default=0.0, metadata={"neutral": 0.0})
    summed: bool = field(default=False, metadata={"neutral": False})
    whole_batches: bool = field(default=False, metadata={"neutral": False})
    second_beta: float = field(default=0.999, metadata={"neutral": 0.999})
    epsilon: float = field(default=1e-8, metadata={"neutral": 1e-8})


SMALL_BATCH = 1 << 13
"""Questions of a batch, times units: below that a second thread waits for most of the time."""


def threads_for(architecture: Architecture, options: TrainingOptions) -> int:
    """How many CPU threads suit a training: 1 for small batches about one vector a picture, or none; else 0, all.

    32 questions of 256 units are thousands of regions of some ten microseconds, at whose ends threads wait for each
    other. On two idle cores a second thread made 1.10 times as many samples a second (0.86 with 128 units, 1.55
    with 64 questions of 512 units); beside other work, where the system rarely runs both at once, a fifth.
    """
    small = options.batch_size * architecture.hidden <= SMALL_BATCH and len(architecture.features) <= 1
    return 1 if small else 0


@dataclass
class Trained:
    """The model in eval mode on the CPU, a history row per epoch, and facts worth recording."""

    module: Classifier
    history: History
    facts: dict[str, Any] = field(default_factory=dict)


def taught(data: TrainingData, options: TrainingOptions) -> np.ndarray:
    """(Q,) bool: which questions can be trained on.

    `consensus`: those whose consensus answer has a class, as the original. `soft`: all, as the later systems do
    (those after arXiv:1708.02711): a question none of whose answers has a class teaches that none is right. `shares`:
    those with a human whose answer has a class.
    """
    if options.target == "shares" and data.humans is not None:
        return np.any(data.humans >= 0, axis=1)
    return np.ones(len(data.tokens), bool) if options.target == "soft" else data.consensus >= 0


def usable(data: TrainingData, options: TrainingOptions, held_out: np.ndarray | None = None) -> np.ndarray:
    """Numbers of the questions that are trained on; none of those in `held_out` is."""
    kept = taught(data, options)
    if held_out is not None:
        kept[held_out] = False
    if not kept.any():
        count = len(kept) - (0 if held_out is None else len(held_out))
        raise ModelError(
            f"None of the {count} questions has an answer among the classes: nothing to train on."
        )
    return np.flatnonzero(kept)[: options.limit]


def run_identity(
    data: TrainingData,
    architecture: Architecture,
    embeddings: np.ndarray,
    options: TrainingOptions,
    held_out: np.ndarray | None = None,
) -> dict[str, Any]:
    """What two runs must share for one to go on from the other. Under a schedule that ends with the last epoch,
    epochs count."""
    free = SCHEDULES[options.schedule].open
    digest = hashlib.sha256()
    arrays = [data.tokens, data.rows, data.consensus, data.soft_classes, data.soft_scores, embeddings]
    for array in [*arrays, data.humans] if options.target == "shares" else arrays:
        digest.update(repr(None if array is None else array.shape).encode())
        if array is not None:
            digest.update(np.ascontiguousarray(array).data)
    settings = asdict(replace(options, epochs=0) if free else options)
    kept_back = {} if held_out is None else {"held_out": hashlib.sha256(held_out.data).hexdigest()}
    return {**asdict(architecture), **settings, "data": digest.hexdigest(), **kept_back}


def check_inputs(
    data: TrainingData,
    architecture: Architecture,
    options: TrainingOptions,
    held_out: np.ndarray | None = None,
) -> None:
    for name, choices in (("schedule", SCHEDULES), ("target", TARGETS)):
        if getattr(options, name) not in choices:
            raise ModelError(
                f"There is no {name} {getattr(options, name)!r}; there are {', '.join(choices)}."
            )
    if min(options.epochs, options.batch_size) < 1 or not 0 < options.learning_rate < math.inf:
        raise ModelError(
            f"epochs is {options.epochs}, batch size {options.batch_size}, learning rate "
            f"{options.learning_rate}: all three have to be above 0."
        )
    needing = "Judging what is held out" if held_out is not None else "Target `soft`"
    needed = options.target == "soft" or held_out is not None
    if needed and (data.soft_classes is None or data.soft_scores is None):
        raise ModelError(
            f"{needing} needs the answers' official scores, and these answers were given without."
        )
    if options.target == "shares" and data.humans is None:
        raise ModelError("Target `shares` needs the humans' answers, and these answers were given without.")
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
