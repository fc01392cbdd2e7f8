"""Training: from arrays to a model, epoch after epoch, resumable, the same bits for the same seed (CPU)."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from data.base.errors import ModelError
from data.base.progress import Progress, silent
from models.classifiers.architecture import Architecture
from models.classifiers.build import MODELS, build
from models.classifiers.deeper_lstm import Classifier
from models.classifiers.dropout import seed_dropout
from models.classifiers.question_tree import gather_questions
from models.devices import pick_device, pick_precision
from models.feature_table import open_features, send
from models.memory import memory_kept
from models.prediction import predict
from models.training.inputs import (
    History,
    Trained,
    TrainingData,
    TrainingOptions,
    check_inputs,
    run_identity,
    usable,
)
from models.training.optimisers import SCHEDULES, make_optimiser, set_rate
from models.training.snapshots import read_snapshot, snapshot_bytes, write_snapshot


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
    validation: TrainingData | None = None,
    each_epoch: Callable[[History], None] | None = None,
) -> Trained:
    """Train `architecture` on `data`, from the newest snapshot in `snapshot_dir` if there is one.

    Device and precision do not change what is computed, only how. `validation` adds loss and exact match on
    other questions to each history row. `each_epoch` is called with the history so far.
    Raises ModelError for options or data that do not fit, and for a loss that is no longer finite.
    """
    check_inputs(data, architecture, options)
    place = pick_device(device)
    kept = usable(data, options)
    module = build(architecture, embeddings, options.seed).to(place)
    run = _Run(data, kept, module, options, place, pick_precision(place, precision), progress)
    identity = run_identity(data, architecture, embeddings, options)
    snapshot = read_snapshot(snapshot_dir, options.epochs, identity) if snapshot_dir else None
    if snapshot:
        snapshot.restore(module, run.optimiser)
    history = snapshot.history if snapshot else []
    if validation is not None and run.features is not None and validation.features is not None:
        same = validation.features is data.features
        validation = replace(
            validation, features=run.features if same else open_features(validation.features, place)
        )
    progress(len(history) * len(kept), options.epochs * len(kept), "")  # so much was done before
    for epoch in range(len(history), options.epochs):
        with memory_kept():
            row = run.epoch(epoch)
        if validation is not None:
            row |= _validate(run, validation)
        history.append(row)
        if snapshot_dir:
            write_snapshot(snapshot_dir, module, run.optimiser, history, identity)
        if each_epoch:
            each_epoch(history)
    facts = {
        "questions": len(data.tokens),
        "questions_trained_on": len(kept),
        "questions_without_class": int((data.consensus < 0).sum()),
        "resumed_after_epochs": snapshot.epoch if snapshot else 0,
        "device": str(place),
        "precision": run.precision,
    }
    return Trained(module.cpu().eval(), history, facts)


def bytes_needed(architecture: Architecture, options: TrainingOptions) -> int:
    """The most that a run has on the disk at once: its model and its snapshots."""
    with torch.device("meta"):
        module = MODELS[architecture.model](architecture)
    module.questions.embedding.requires_grad_(architecture.fine_tune_embeddings)  # type: ignore[union-attr]
    model = sum(4 * weight.numel() for weight in module.state_dict().values())
    return model + snapshot_bytes(module, options.optimiser)


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
    ) -> None:
        self.data, self.kept, self.module, self.options = data, kept, module, options
        self.device, self.precision, self.progress = device, precision, progress
        self.optimiser = make_optimiser(options.optimiser, module, options.learning_rate)
        self.features = None
        if module.image is not None and data.features is not None:
            self.features = open_features(data.features, device)
            self.features.check(data.rows)
        self.steps = math.ceil(len(kept) / options.batch_size)

    def epoch(self, epoch: int) -> dict[str, float]:
        """One pass over the questions in an order of its own. Returns the history row."""
        self.module.train()
        order, masks = epoch_seeds(self.options.seed, epoch)
        shuffled = self.kept[np.random.default_rng(order).permutation(len(self.kept))]
        seed_dropout(self.module, masks, self.device)
        meter = _Meter(self.device)
        for step in range(self.steps):
            share = (epoch * self.steps + step) / (self.options.epochs * self.steps)
            set_rate(self.optimiser, self.options.learning_rate * SCHEDULES[self.options.schedule](share))
            batch = shuffled[step * self.options.batch_size : (step + 1) * self.options.batch_size]
            meter.add(*self.step(batch), len(batch))
            done = epoch * len(shuffled) + meter.seen
            self.progress(done, self.options.epochs * len(shuffled), f"epoch {epoch + 1}: {meter.glance()}")
        row = {"epoch": epoch + 1, **meter.read()}
        if not math.isfinite(row["loss"]):
            raise ModelError(
                f"The loss became {row['loss']} in epoch {epoch + 1}. Lower the learning rate, which is "
                f"{self.options.learning_rate:g}."
            )
        return row

    def step(self, batch: np.ndarray) -> tuple[Tensor, Tensor]:
        """One update from the questions numbered in `batch`; the sums of losses and of exact matches."""
        private = self.module.questions.private_states
        questions = gather_questions(self.data.tokens[batch], bool(private), self.device)
        pictures = None if self.features is None else self.features.gather(self.data.rows[batch])
        consensus = send(self.data.consensus[batch].astype(np.int64), self.device)
        mixed = self.precision == "bfloat16"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=mixed):
            logits = self.module(questions, pictures)
        loss = self.loss(logits.float(), consensus, batch)
        self.optimiser.zero_grad(set_to_none=True)
        (loss / len(batch)).backward()
        self.optimiser.step()
        return loss.detach(), (logits.detach().argmax(dim=1) == consensus).sum()

    def loss(self, logits: Tensor, consensus: Tensor, batch: np.ndarray) -> Tensor:
        """The sum over the batch of cross-entropies, or of binary cross-entropies summed over the classes."""
        if self.options.target == "consensus":
            return torch.nn.functional.cross_entropy(logits, consensus, reduction="sum")
        assert self.data.soft_classes is not None and self.data.soft_scores is not None
        classes = send(self.data.soft_classes[batch].astype(np.int64), self.device)
        scores = send(self.data.soft_scores[batch].astype(np.float32), self.device)
        wanted = soft_targets(classes, scores, logits.shape[1])
        return torch.nn.functional.binary_cross_entropy_with_logits(logits, wanted, reduction="sum")


def soft_targets(classes: Tensor, scores: Tensor, answers: int) -> Tensor:
    """(B, K) classes and scores to (B, answers); what has a negative class falls into a column cut off."""
    wide = scores.new_zeros(len(scores), answers + 1)
    return wide.scatter_(1, torch.where(classes < 0, answers, classes), scores)[:, :answers]


class _Meter:
    """Running sums that stay on the device, so that a GPU is waited for once an epoch."""

    def __init__(self, device: torch.device) -> None:
        self.sums = torch.zeros(2, dtype=torch.float64, device=device)
        self.shown = torch.zeros(2, dtype=torch.float64, pin_memory=device.type == "cuda")
        self.seen = 0
        self.began = time.perf_counter()

    def add(self, loss: Tensor, hits: Tensor, count: int) -> None:
        self.sums += torch.stack([loss.double(), hits.double()])
        self.seen += count
        self.shown.copy_(self.sums, non_blocking=True)  # on a GPU it arrives when it arrives

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


def _validate(run: _Run, data: TrainingData) -> dict[str, float]:
    """The history columns of the validation questions; an answer outside the classes is wrong."""
    found = predict(
        run.module,
        data.tokens,
        data.rows,
        data.features,
        classes=data.consensus,
        device=str(run.device),
        precision=run.precision,
    )
    return {
        "validation_loss": found.loss,
        "validation_exact_match": float((found.top_classes[:, 0] == data.consensus).mean()),
    }
