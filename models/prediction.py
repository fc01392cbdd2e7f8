"""Prediction: from questions and pictures to the likeliest answers, with what they are judged by."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from data.base.errors import ModelError
from data.base.progress import Progress, silent
from models.classifiers.interface import Classifier
from models.devices import arithmetic, describe_arithmetic, pick_device, pick_precision, send
from models.encoded_pairs import BATCH, encoded_pairs
from models.feature_table import Features, Table
from models.memory import memory_kept

TOP = 5


@dataclass(frozen=True)
class Predictions:
    """For Q questions: top_classes (Q, 5) int32, best first, and top_probabilities (Q, 5) float32.

    log_likelihoods (Q,) float32 of the classes that were given, NaN where a question has none; None if none
    were given. choices (Q,) int32: the best of the classes to choose from, -1 where there were none.
    Probabilities are the softmax over the classes, or for target `soft` each class's predicted score. arithmetic:
    device, precision and threads that computed them. attention (Q, rows, columns) float16: each place's share, the mean
    over the glimpses; (Q, glimpses, rows, columns) where they were asked for; None for a model without.
    """

    top_classes: np.ndarray
    top_probabilities: np.ndarray
    log_likelihoods: np.ndarray | None = None
    choices: np.ndarray | None = None
    attention: np.ndarray | None = None
    arithmetic: dict[str, Any] = field(default_factory=dict)

    @property
    def loss(self) -> float:
        """The mean cross-entropy over the questions that have a class; NaN if none has."""
        given = np.full(0, np.nan) if self.log_likelihoods is None else self.log_likelihoods
        known = given[~np.isnan(given)]
        return float(-known.mean(dtype=np.float64)) if len(known) else float("nan")


def predict(
    module: Classifier,
    tokens: np.ndarray,
    rows: np.ndarray,
    features: Table | None,
    *,
    classes: np.ndarray | None = None,
    choices: np.ndarray | None = None,
    target: str = "consensus",
    device: str = "auto",
    precision: str = "auto",
    batch: int = BATCH,
    glimpses: bool = False,
    progress: Progress = silent,
) -> Predictions:
    """Answer Q questions: tokens (Q, 26) int32, rows (Q,) int64 into features (N, ...) float16 (`Features`).

    classes (Q,) int32: whose log likelihood is wanted, negative for none; choices (Q, C) int32: the classes
    to choose from in multiple choice, negative for what has no class. Leaves the module in eval mode.
    Raises ModelError where questions, features and model do not fit together.
    """
    place = pick_device(device)
    precision = pick_precision(place, precision)
    _check(module, tokens, rows, features)
    module.to(place).eval()
    given = {"classes": classes, "choices": choices}
    results: dict[str, np.ndarray] = {}
    with memory_kept(), torch.inference_mode(), arithmetic(place, precision == "bfloat16"):
        done = 0
        for pairs, question, picture in encoded_pairs(module, tokens, rows, features, place, batch):
            logits, shares = module.answer(question, picture)
            wanted = {name: array[pairs] for name, array in given.items() if array is not None}
            read = _read(logits[: len(pairs)].float(), target, **wanted)
            if shares is not None:
                maps = shares[: len(pairs)].unflatten(2, module.features[:2])
                read["attention"] = (maps if glimpses else maps.mean(dim=1)).half()
            for name, value in read.items():
                array = value.cpu().numpy()
                whole = results.setdefault(name, np.empty((len(tokens), *array.shape[1:]), array.dtype))
                whole[pairs] = array
            done += len(pairs)
            progress(done, len(tokens), "")
    return Predictions(**results, arithmetic=describe_arithmetic(place, precision))


def _read(
    logits: Tensor, target: str, classes: np.ndarray | None = None, choices: np.ndarray | None = None
) -> dict[str, Tensor]:
    """The fields of Predictions for one batch of logits (B, answers) float32."""
    top, best = logits.topk(min(TOP, logits.shape[1]), dim=1)
    log_norm = logits.logsumexp(dim=1, keepdim=True)
    probabilities = top.sigmoid() if target == "soft" else (top - log_norm).exp()
    fields = {"top_classes": best.int(), "top_probabilities": probabilities}
    if classes is not None:
        index = send(classes.astype(np.int64), logits.device)[:, None]
        likelihood = logits.gather(1, index.clamp(min=0)) - log_norm
        fields["log_likelihoods"] = likelihood.masked_fill(index < 0, float("nan"))[:, 0]
    if choices is not None:
        index = send(choices.astype(np.int64), logits.device)
        scores = logits.gather(1, index.clamp(min=0)).masked_fill(index < 0, -float("inf"))
        fields["choices"] = index.gather(1, scores.argmax(dim=1, keepdim=True))[:, 0].clamp(min=-1).int()
    return fields


def _check(
    module: Classifier,
    tokens: np.ndarray,
    rows: np.ndarray,
    features: Table | None,
) -> None:
    if not len(tokens):
        raise ModelError("There are no questions to answer.")
    if len(rows) != len(tokens):
        raise ModelError(f"There are {len(tokens)} questions but {len(rows)} rows of pictures.")
    vocabulary = module.embedding.num_embeddings
    if tokens.size and tokens.max() >= vocabulary:
        raise ModelError(
            f"The highest word id is {tokens.max()}, but the model knows {vocabulary}. Encode the questions "
            "with the vocabulary that the model was trained on."
        )
    if not module.sees_pictures:
        return
    if features is None:
        raise ModelError("This model looks at pictures, but was given no features.")
    table = features if isinstance(features, Features | np.ndarray) else features[0]
    if tuple(table.shape[1:]) != module.features:
        given, expected = (" x ".join(map(str, shape)) for shape in (table.shape[1:], module.features))
        raise ModelError(
            f"The features are {given} a picture, but the model needs {expected}, extracted with the same "
            "backbone and layer."
        )
