"""Training: from arrays to a model, epoch after epoch, resumable, the same bits for the same seed (CPU)."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from data.base.errors import ModelError
from data.base.progress import Progress, silent
from models.classifiers.architecture import Architecture
from models.classifiers.build import build, skeleton
from models.classifiers.dropout import seed_dropout
from models.classifiers.interface import Classifier
from models.devices import arithmetic, describe_arithmetic, pick_device, pick_precision
from models.feature_table import channel_statistics, open_features
from models.later_fields import neutral_values
from models.memory import memory_kept
from models.training.blocks import EpochRows, block_pictures, epoch_rows
from models.training.choices import SCHEDULES, Moment
from models.training.columns import Columns
from models.training.held_out import Judge, best_epoch, copied, put_back, remark
from models.training.history import History, distinct_arithmetic
from models.training.inputs import (
    NO_HUMAN,
    Trained,
    TrainingData,
    TrainingOptions,
    check_inputs,
    run_identity,
    taught,
    usable,
)
from models.training.optimisers import make_optimiser, set_rate
from models.training.snapshots import read_snapshot, snapshot_bytes, trained_weights, write_snapshot


def train(
    data: TrainingData,
    architecture: Architecture,
    embeddings: np.ndarray,
    options: TrainingOptions,
    *,
    snapshot_dir: Path | None = None,
    device: str = "auto",
    precision: str = "auto",
    progress: Progress = silent,
    held_out: np.ndarray | None = None,
    each_epoch: Callable[[History], None] | None = None,
) -> Trained:
    """Train `architecture` on `data`, from the newest snapshot in `snapshot_dir` if there is one.

    Device and precision do not change what is computed, only how. held_out (H,) int64: numbers of questions that are
    not trained on; each epoch is judged by them, and the model is that of the best one. `each_epoch` is called with the
    history so far.
    Raises ModelError for options or data that do not fit, and for a loss that is no longer finite.
    """
    check_inputs(data, architecture, options, held_out)
    place = pick_device(device)
    kept = usable(data, options, held_out)
    module = build(architecture, embeddings, options.seed).to(place)
    run = _Run(data, kept, module, options, place, pick_precision(place, precision), progress, held_out)
    identity = run_identity(data, architecture, embeddings, options, held_out) | {"block_pictures": run.block}
    neutral = neutral_values(architecture) | neutral_values(options) | {"block_pictures": 0}
    snapshot = read_snapshot(snapshot_dir, options.epochs, identity, neutral) if snapshot_dir else None
    if snapshot:
        snapshot.restore(module, run.optimiser)
    history = snapshot.history if snapshot else []
    best = snapshot.best() if snapshot and run.judge else None
    progress(len(history) * len(kept), options.epochs * len(kept), "")  # done before this run
    for epoch in range(len(history), options.epochs):
        with memory_kept():
            history.append(run.epoch(epoch, remark(history)))
        improved = run.judge is not None and best_epoch(history) == epoch + 1
        if improved:
            best = copied(trained_weights(module))
        if snapshot_dir:
            earlier = None if improved else best
            write_snapshot(snapshot_dir, module, run.optimiser, history, identity, earlier)
        if each_epoch:
            each_epoch(history)
    facts = {
        "questions": len(data.tokens),
        "questions_trained_on": len(kept),
        "questions_without_class": int((data.consensus < 0).sum()),
        "resumed_after_epochs": snapshot.epoch if snapshot else 0,
        "arithmetic": distinct_arithmetic(history),
        **({"block_pictures": run.block} if run.block else {}),
    }
    if best is not None and held_out is not None:
        put_back(trained_weights(module), best)
        facts |= {"questions_held_out": len(held_out), "best_epoch": best_epoch(history)}
    return Trained(module.cpu().eval(), history, facts)


def bytes_needed(architecture: Architecture, options: TrainingOptions, held_out: bool = False) -> int:
    """The most that a run has on the disk at once: its model and its snapshots."""
    module = skeleton(architecture)
    model = sum(4 * weight.numel() for weight in module.state_dict().values())
    return model + snapshot_bytes(module, options.optimiser, held_out)


class _Run:
    """The moving parts of one training run."""

    def __init__(
        self,
        data: TrainingData,
        kept: np.ndarray,
        module: Classifier,
        options: TrainingOptions,
        device: torch.device,
        precision: str,
        progress: Progress,
        held_out: np.ndarray | None,
    ) -> None:
        self.data, self.kept, self.module, self.options = data, kept, module, options
        self.device, self.precision, self.progress = device, precision, progress
        constants = options.second_beta, options.epsilon
        self.optimiser = make_optimiser(options.optimiser, module, options.learning_rate, *constants)
        self.features = None
        if module.sees_pictures and data.features is not None:
            self.features = open_features(data.features, device)
            self.features.check(data.rows)
            if module.standardised:
                seen = data.rows if held_out is None else np.setdiff1d(data.rows, data.rows[held_out])
                module.standardise(*channel_statistics(self.features, np.unique(seen)))
        self.columns = Columns(_columns(data, options), device)
        self.judge = None
        if held_out is not None:
            teaches = taught(data, options)
            self.judge = Judge(data, held_out, teaches, self.columns, self.features, self.loss)
        self.block = block_pictures(self.features, options.batch_size)
        self.taken = _questions_an_epoch(len(kept), options)
        self.steps = math.ceil(self.taken / options.batch_size)
        self.rows: EpochRows

    def epoch(self, epoch: int, note: str = "") -> dict[str, Any]:
        """One pass over the questions in an order of its own. Returns the history row. note: more to show meanwhile."""
        self.module.train()
        order, masks = epoch_seeds(self.options.seed, epoch)
        shuffled = self.kept[np.random.default_rng(order).permutation(len(self.kept))[: self.taken]]
        seed_dropout(self.module, masks, self.device)
        with epoch_rows(self.features, shuffled, self.data.rows, self.block, order) as self.rows:
            meter = self.steps_of(epoch, note)
        row = {"epoch": epoch + 1, **meter.read(), **self.rows.facts()}
        row |= describe_arithmetic(self.device, self.precision)
        if not math.isfinite(row["loss"]):
            raise ModelError(
                f"The loss became {row['loss']} in epoch {epoch + 1}. Lower the learning rate, which is "
                f"{self.options.learning_rate:g}."
            )
        if self.judge:
            row |= self.judge.judge(self.module, self.options.batch_size, self.precision == "bfloat16")
        return row

    def steps_of(self, epoch: int, more: str) -> _Meter:
        """An update a batch, in the order of the epoch's questions. more: what the progress line says beside."""
        meter, questions = _Meter(self.device), self.rows.questions
        for step, count in enumerate(self.columns.batches(questions, self.options.batch_size)):
            moment = Moment(epoch * self.steps + step, self.steps, self.options.epochs)
            rate = SCHEDULES[self.options.schedule].rate(moment)
            set_rate(self.optimiser, self.options.learning_rate * rate)
            meter.add(*self.step(count), count)
            done = epoch * len(questions) + meter.seen
            note = f"epoch {epoch + 1}: {meter.glance()}{self.rows.note()}{more}"
            self.progress(done, self.options.epochs * len(questions), note)
        return meter

    def step(self, count: int) -> tuple[Tensor, Tensor]:
        """One update from the batch of `count` questions; the sums of losses and of exact matches."""
        columns, mixed = self.columns, self.precision == "bfloat16"
        tokens = columns.host("tokens") if columns.resident is None else columns.pick("tokens")
        with arithmetic(self.device, mixed):
            logits = self.module(tokens, self.pictures())
        consensus = columns.pick("consensus")
        loss = self.loss(logits.float(), consensus)
        self.optimiser.zero_grad(set_to_none=True)
        (loss if self.options.summed else loss / count).backward()
        if self.options.clip:
            torch.nn.utils.clip_grad_norm_(self.module.parameters(), self.options.clip)
        self.optimiser.step()
        return loss.detach(), (logits.detach().argmax(dim=1) == consensus).sum()

    def pictures(self) -> Tensor | None:
        """The features of the batch's pictures."""
        if self.features is None:
            return None
        there = self.features.resident is not None and self.columns.resident is not None
        return self.rows.gather(self.columns.pick("rows") if there else self.columns.host("rows"))

    def loss(self, logits: Tensor, consensus: Tensor) -> Tensor:
        """The sum over the batch of cross-entropies, or of binary cross-entropies summed over the classes."""
        if self.options.target == "consensus":
            return torch.nn.functional.cross_entropy(logits, consensus, reduction="sum")
        classes, scores = self.columns.pick("soft_classes"), self.columns.pick("soft_scores")
        wanted = soft_targets(classes.long(), scores, logits.shape[1])
        if self.options.target == "shares":
            return -(wanted * logits.log_softmax(dim=1)).sum()
        return torch.nn.functional.binary_cross_entropy_with_logits(logits, wanted, reduction="sum")


def _columns(data: TrainingData, options: TrainingOptions) -> dict[str, np.ndarray]:
    """What of each question a step reads."""
    columns = {"tokens": data.tokens, "rows": data.rows, "consensus": data.consensus.astype(np.int64)}
    if options.target == "soft":
        assert data.soft_classes is not None and data.soft_scores is not None  # check_inputs
        columns |= {"soft_classes": data.soft_classes, "soft_scores": data.soft_scores.astype(np.float32)}
    if options.target == "shares":
        assert data.humans is not None  # check_inputs
        columns |= {"soft_classes": data.humans, "soft_scores": human_shares(data.humans)}
    return columns


def _questions_an_epoch(kept: int, options: TrainingOptions) -> int:
    """All of them; with whole batches only as many as fill them (all, where they are fewer than one batch)."""
    rest = kept % options.batch_size if options.whole_batches else 0
    return kept - rest or kept


def human_shares(humans: np.ndarray) -> np.ndarray:
    """(Q, H) classes, -2 for no such human, to what each human counts (Q, H) float32: one in so many."""
    answered = (humans != NO_HUMAN).sum(axis=1, keepdims=True)
    return np.broadcast_to(1 / np.maximum(answered, 1), humans.shape).astype(np.float32)


def soft_targets(classes: Tensor, scores: Tensor, answers: int) -> Tensor:
    """(B, K) classes and scores to their sums (B, answers); negative classes go into an extra column, cut off."""
    wide = scores.new_zeros(len(scores), answers + 1)
    return wide.scatter_add_(1, torch.where(classes < 0, answers, classes), scores)[:, :answers]


class _Meter:
    """Running sums that stay on the device, so that a GPU is only waited for once an epoch."""

    def __init__(self, device: torch.device) -> None:
        self.sums = torch.zeros(2, dtype=torch.float64, device=device)
        self.shown = torch.zeros(2, dtype=torch.float64, pin_memory=device.type == "cuda")
        self.seen = 0
        self.began = time.perf_counter()

    def add(self, loss: Tensor, hits: Tensor, count: int) -> None:
        self.sums += torch.stack([loss.double(), hits.double()])
        self.seen += count
        self.shown.copy_(self.sums, non_blocking=True)  # on a GPU it arrives later

    def glance(self) -> str:
        loss, hits = (self.shown / self.seen).tolist()
        rate = self.seen / (time.perf_counter() - self.began)
        return f"loss {loss:.4f}, exact match {hits:.4f}, {rate:,.0f} samples/s"

    def read(self) -> dict[str, float]:
        loss, hits = (self.sums / self.seen).tolist()
        seconds = time.perf_counter() - self.began
        return {
            "loss": loss,
            "exact_match": hits,
            "seconds": seconds,
            "samples_per_second": self.seen / seconds,
        }


def epoch_seeds(seed: int, epoch: int) -> tuple[int, int]:
    """The seeds of an epoch's question order and of its dropout masks."""
    order, masks = np.random.SeedSequence([seed, epoch]).generate_state(2, np.uint64) >> np.uint64(1)
    return int(order), int(masks)
