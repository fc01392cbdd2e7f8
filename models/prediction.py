"""Prediction: each distinct question and each picture is encoded once; the pairs meet in the last layers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from data.base.errors import ModelError
from data.base.progress import Progress, silent
from models.classifiers.deeper_lstm import Classifier, LstmChannel
from models.classifiers.question_tree import Questions, gather_questions, rounded_up_index
from models.devices import pick_device, pick_precision
from models.feature_table import Features, Table, open_features, send
from models.memory import memory_kept

TOP = 5
BATCH = 4096  # distinct questions, pictures or pairs at a time: 200 MB at the original's sizes


@dataclass(frozen=True)
class Predictions:
    """For Q questions: top_classes (Q, 5) int32, best first, and top_probabilities (Q, 5) float32.

    log_likelihoods (Q,) float32 of the classes that were given, NaN where a question has none; None if none
    were given. choices (Q,) int32: the best of the classes to choose from, -1 where there were none.
    Probabilities are the softmax over the classes, or for target `soft` each class's predicted score.
    """

    top_classes: np.ndarray
    top_probabilities: np.ndarray
    log_likelihoods: np.ndarray | None = None
    choices: np.ndarray | None = None

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
    progress: Progress = silent,
) -> Predictions:
    """Answer Q questions: tokens (Q, 26) int32, rows (Q,) int64 into features (N, ...) float16 (`Features`).

    classes (Q,) int32: whose log likelihood is wanted, negative for none; choices (Q, C) int32: the classes
    to choose from in multiple choice, negative for what has no class. Leaves the module in eval mode.
    Raises ModelError where questions, features and model do not fit together.
    """
    place = pick_device(device)
    mixed = pick_precision(place, precision) == "bfloat16"
    _check(module, tokens, rows, features)
    module.to(place).eval()
    given = {"classes": classes, "choices": choices}
    results: dict[str, np.ndarray] = {}
    with memory_kept(), torch.inference_mode(), torch.autocast(place.type, torch.bfloat16, enabled=mixed):
        seen, picture_of = _look(module, rows, features, place, batch)
        done = 0
        for pairs, question_of, encoded in _ask(module, tokens, place, batch):
            question = encoded.index_select(0, rounded_up_index(send(question_of, place)))
            picture = (
                None
                if seen is None
                else seen.index_select(0, rounded_up_index(send(picture_of[pairs], place)))
            )
            logits = module.classify(question, picture)[: len(question_of)]
            wanted = {name: array[pairs] for name, array in given.items() if array is not None}
            for name, value in _read(logits.float(), target, **wanted).items():
                array = value.cpu().numpy()
                whole = results.setdefault(name, np.empty((len(tokens), *array.shape[1:]), array.dtype))
                whole[pairs] = array
            done += len(pairs)
            progress(done, len(tokens), "")
    return Predictions(**results)


def _look(
    module: Classifier,
    rows: np.ndarray,
    features: Table | None,
    place: torch.device,
    batch: int,
) -> tuple[Tensor | None, np.ndarray]:
    """Encode each picture that is asked about: (P, joint), and for each question which of them is its own."""
    if module.image is None or features is None:
        return None, rows
    table = open_features(features, place)
    table.check(rows)
    distinct, picture_of = np.unique(rows, return_inverse=True)
    encoded = [module.look(table.gather(distinct[i : i + batch])) for i in range(0, len(distinct), batch)]
    return torch.cat([part for part in encoded if part is not None]), picture_of


def _ask(
    module: Classifier, tokens: np.ndarray, place: torch.device, batch: int
) -> Iterator[tuple[np.ndarray, np.ndarray, Tensor]]:
    """Encode each distinct question, in sorted order, so that those of a batch have long common beginnings.

    Yields (numbers of questions, for each of them its row in the encoded ones, encoded (D, joint)).
    """
    order = np.lexsort(tokens.T[::-1])
    ranked = tokens[order]
    new = np.ones(len(order), bool)
    new[1:] = (ranked[1:] != ranked[:-1]).any(axis=1)
    distinct = new.cumsum() - 1
    firsts = np.flatnonzero(new)
    channel = module.questions
    encode: Callable[[Questions], Tensor] = channel
    if isinstance(channel, LstmChannel) and len(firsts) > batch:  # in fewer, most words do not occur
        words = torch.arange(channel.embedding.num_embeddings, device=place)
        encode = partial(channel, vocabulary=channel.read(words))
    for i in range(0, len(firsts), batch):
        encoded = encode(gather_questions(ranked[firsts[i : i + batch]], False, place))
        start, stop = np.searchsorted(distinct, [i, i + batch])
        for j in range(start, stop, batch):
            part = slice(j, min(j + batch, stop))
            yield order[part], distinct[part] - i, encoded


def _read(
    logits: Tensor, target: str, classes: np.ndarray | None = None, choices: np.ndarray | None = None
) -> dict[str, Tensor]:
    """The fields of Predictions for one batch of logits (B, answers) float32."""
    top, best = logits.topk(min(TOP, logits.shape[1]), dim=1)
    log_norm = logits.logsumexp(dim=1, keepdim=True)
    probabilities = top.sigmoid() if target == "soft" else (top - log_norm).exp()
    found = {"top_classes": best.int(), "top_probabilities": probabilities}
    if classes is not None:
        index = send(classes.astype(np.int64), logits.device)[:, None]
        likelihood = logits.gather(1, index.clamp(min=0)) - log_norm
        found["log_likelihoods"] = likelihood.masked_fill(index < 0, float("nan"))[:, 0]
    if choices is not None:
        index = send(choices.astype(np.int64), logits.device)
        scores = logits.gather(1, index.clamp(min=0)).masked_fill(index < 0, -float("inf"))
        found["choices"] = index.gather(1, scores.argmax(dim=1, keepdim=True))[:, 0].clamp(min=-1).int()
    return found


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
    vocabulary = len(module.questions.embedding.weight)  # type: ignore[arg-type,union-attr]
    if tokens.size and tokens.max() >= vocabulary:
        raise ModelError(
            f"The highest word id is {tokens.max()}, but the model knows {vocabulary}. Encode the questions "
            "with the vocabulary that the model was trained on."
        )
    if module.image is None:
        return
    if features is None:
        raise ModelError("This model looks at pictures, but was given no features.")
    table = features if isinstance(features, Features | np.ndarray) else features[0]
    size = int(np.prod(table.shape[1:]))
    if size != module.image.in_features:
        raise ModelError(
            f"The features have {size} numbers a picture, but the model needs "
            f"{module.image.in_features}, extracted with the same backbone and layer."
        )
