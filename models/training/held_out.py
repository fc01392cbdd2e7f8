"""Questions that are kept from training: they judge the model after each epoch, and the best epoch is the model."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor, nn

from models.classifiers.interface import Classifier
from models.devices import arithmetic
from models.feature_table import Features
from models.training.choices import held_out_count
from models.training.columns import Columns
from models.training.history import History
from models.training.inputs import TrainingData

STREAM = 1
"""Draws from a seed that are not those of an epoch's order and masks."""


def held_out_questions(pictures: np.ndarray, share: float, seed: int) -> np.ndarray:
    """The numbers (H,) int64 of the questions about a share of the pictures, ascending; the seed draws the pictures.

    pictures (Q,): the picture of each question, by any number. ModelError where the share, to the nearest picture, is
    none of them, or all.
    """
    distinct, picture = np.unique(pictures, return_inverse=True)
    count = held_out_count(share, len(distinct))
    drawn = np.random.default_rng([seed, STREAM]).permutation(len(distinct))[:count]
    return np.flatnonzero(np.isin(picture, drawn))


class Judge:
    """Judges a model by the questions that it does not train on.

    numbers (H,): theirs among those of `data`; taught (Q,) bool: whether a question could be trained on, as only such
    have a loss. columns are those of training, loss sums a batch of them.
    """

    def __init__(
        self,
        data: TrainingData,
        numbers: np.ndarray,
        taught: np.ndarray,
        columns: Columns,
        features: Features | None,
        loss: Callable[[Tensor, Tensor], Tensor],
    ) -> None:
        assert data.soft_classes is not None and data.soft_scores is not None  # check_inputs
        in_order = numbers[np.argsort(data.rows[numbers], kind="stable")]  # a table on the disk is read once
        self.with_loss, self.without = in_order[taught[in_order]], in_order[~taught[in_order]]
        self.classes, self.scores = data.soft_classes, data.soft_scores
        self.columns, self.features, self.loss = columns, features, loss

    def judge(self, module: Classifier, batch: int, mixed: bool) -> dict[str, float]:
        """The history's columns: the loss that training has (NaN where no question has one), without dropout, and the
        official accuracy in percent, to four decimals. Leaves the module in eval mode."""
        module.eval()
        losses = torch.zeros((), dtype=torch.float64, device=self.columns.device)
        answered = []
        with torch.inference_mode():
            for logits in self._logits(module, self.with_loss, batch, mixed):
                losses += self.loss(logits, self.columns.pick("consensus")).double()
                answered.append(logits.argmax(dim=1))
            for logits in self._logits(module, self.without, batch, mixed):
                answered.append(logits.argmax(dim=1))
        numbers = np.concatenate([self.with_loss, self.without])
        earned = scores_of(torch.cat(answered).cpu().numpy(), self.classes[numbers], self.scores[numbers])
        loss = float(losses) / len(self.with_loss) if len(self.with_loss) else float("nan")
        return {"held_out_loss": loss, "held_out_accuracy": round(100 * float(earned.mean()), 4)}

    def _logits(self, module: Classifier, numbers: np.ndarray, batch: int, mixed: bool) -> Iterator[Tensor]:
        columns = self.columns
        for _ in columns.batches(numbers, batch):
            tokens = columns.host("tokens") if columns.resident is None else columns.pick("tokens")
            with arithmetic(columns.device, mixed):
                logits = module(tokens, self._pictures())
            yield logits.float()

    def _pictures(self) -> Tensor | None:
        if self.features is None:
            return None
        there = self.features.resident is not None and self.columns.resident is not None
        return self.features.gather(self.columns.pick("rows") if there else self.columns.host("rows"))


def scores_of(answered: np.ndarray, classes: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """(Q,) float64: what each answer's class earns of the classes and scores (Q, K); others earn nothing."""
    return np.where(classes == answered[:, None], scores.astype(np.float64), 0).max(axis=1)


def best_epoch(history: History) -> int:
    """The number of the epoch with the highest held-out accuracy; of equal ones the earliest."""
    return int(max(history, key=lambda row: (row["held_out_accuracy"], -row["epoch"]))["epoch"])


def best_of(history: History, questions: int) -> str:
    """'the model is that of epoch 4 of 6, with 61.20 % on 480 questions held out'."""
    best = history[best_epoch(history) - 1]
    return (
        f"the model is that of epoch {best['epoch']} of {len(history)}, with {best['held_out_accuracy']:.2f} % on "
        f"{questions:,} questions held out"
    )


def remark(history: History) -> str:
    """For the progress line: how the last epoch was judged, and the best so far."""
    if not history or "held_out_accuracy" not in history[-1]:
        return ""
    last, best = history[-1], history[best_epoch(history) - 1]
    return (
        f", held out {last['held_out_accuracy']:.2f} % after epoch {last['epoch']}, "
        f"best {best['held_out_accuracy']:.2f} % after {best['epoch']}"
    )


def copied(weights: list[tuple[str, nn.Parameter]]) -> dict[str, Tensor]:
    """The weights as they are now, by name, in memory."""
    return {name: weight.detach().to("cpu", copy=True) for name, weight in weights}


def put_back(weights: list[tuple[str, nn.Parameter]], best: dict[str, Tensor]) -> None:
    """Give each weight what it was."""
    with torch.no_grad():
        for name, weight in weights:
            weight.copy_(best[name])
