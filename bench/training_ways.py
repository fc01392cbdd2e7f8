"""Ways to train the original's model: this project's and its loop written plainly in torch."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bench.peers import (
    ANSWERS,
    BATCH,
    EMBEDDING,
    FEATURES,
    VOCABULARY,
    make_embeddings,
    make_features,
    make_questions,
)
from bench.turns import Turn

if TYPE_CHECKING:
    import torch
    from torch import nn

    from models.classifiers.architecture import Architecture
    from models.training.inputs import Trained


@dataclass(frozen=True)
class Arrays:
    """tokens (Q, 26) int32, rows (Q,) and classes (Q,) of made-up questions; features (N, 4096) float16."""

    tokens: np.ndarray
    rows: np.ndarray
    classes: np.ndarray
    features: np.ndarray


def make_arrays(folder: Path, pictures: int, questions: int) -> Arrays:
    """Arrays of the sizes of v1, but for their number; the features go through a file in `folder`."""
    rng = np.random.default_rng(1)
    make_features(folder / "features.npy", pictures, 2)
    return Arrays(
        make_questions(questions, 0),
        rng.integers(0, pictures, questions),
        rng.integers(0, ANSWERS, questions).astype(np.int32),
        np.load(folder / "features.npy"),
    )


def architecture(hidden: int = 512, joint: int = 1024) -> Architecture:
    from models.classifiers.architecture import Architecture

    return Architecture("deeper-lstm", VOCABULARY, EMBEDDING, ANSWERS, (FEATURES,), hidden, joint)


def train_ours(
    arrays: Arrays, count: int, model: Architecture, device: str, epochs: int = 1, precision: str = "auto"
) -> Trained:
    """The first `count` questions, by this project's own `train`."""
    from models.training.inputs import TrainingData, TrainingOptions
    from models.training.loop import train

    data = TrainingData(arrays.tokens, arrays.rows, arrays.features, arrays.classes)
    options = TrainingOptions(epochs, BATCH, limit=count)
    return train(data, model, make_embeddings(), options, device=device, precision=precision)


def ours(arrays: Arrays, count: int, model: Architecture, device: str) -> Turn:
    """Samples a second of an epoch, without what comes before it (the model is built, arrays are sent)."""

    def turn() -> float:
        return float(train_ours(arrays, count, model, device).history[-1]["samples_per_second"])

    return turn


def plain(arrays: Arrays, count: int, hidden: int, joint: int, device: torch.device, mixed: bool) -> Turn:
    """Samples a second of the original's loop: batch after batch from memory, its loss read after each.

    mixed: under autocast, in bfloat16.
    """
    import torch

    torch.manual_seed(0)
    module = plain_model(hidden, joint).to(device)
    weights = [weight for weight in module.parameters() if weight.requires_grad]
    optimiser = torch.optim.RMSprop(weights, lr=1e-3, alpha=0.9, eps=1e-7)

    def turn() -> float:
        began, losses = time.perf_counter(), []
        module.train()
        for start in range(0, count, BATCH):
            part = slice(start, min(start + BATCH, count))
            with torch.autocast(device.type, torch.bfloat16, enabled=mixed):
                loss = _loss(module, arrays, part, device)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.append(loss.item())
        return count / (time.perf_counter() - began)

    return turn


def _loss(module: nn.Module, arrays: Arrays, part: slice, device: torch.device) -> torch.Tensor:
    import torch
    from torch.nn.functional import cross_entropy, normalize

    tokens = torch.from_numpy(arrays.tokens[part]).to(device)
    pictures = torch.from_numpy(arrays.features[arrays.rows[part]]).to(device)
    classes = torch.from_numpy(arrays.classes[part]).long().to(device)
    logits = module(tokens, normalize(pictures.float()))
    return cross_entropy(logits.float(), classes)


def plain_model(hidden: int, joint: int) -> nn.Module:
    """The original's network of torch's own layers: nn.LSTM over all 26 steps."""
    import torch
    from torch import nn

    class Plain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words = nn.Embedding.from_pretrained(torch.from_numpy(make_embeddings()))
            self.lstm_1 = nn.LSTM(EMBEDDING, hidden, batch_first=True)
            self.lstm_2 = nn.LSTM(hidden, hidden, batch_first=True)
            self.question, self.picture = nn.Linear(hidden, joint), nn.Linear(FEATURES, joint)
            self.fusion, self.answers = nn.Linear(joint, joint), nn.Linear(joint, ANSWERS)
            self.dropout = nn.Dropout(0.5)

        def forward(self, tokens: torch.Tensor, pictures: torch.Tensor) -> torch.Tensor:
            x = self.dropout(self.lstm_1(self.words(tokens))[0])  # (B, 26, hidden)
            x = self.dropout(self.lstm_2(x)[0][:, -1])  # (B, hidden)
            x = torch.tanh(self.question(x)) * torch.tanh(self.picture(pictures))  # (B, joint)
            x = torch.tanh(self.fusion(self.dropout(x)))
            return self.answers(self.dropout(x))  # (B, answers)

    return Plain()
