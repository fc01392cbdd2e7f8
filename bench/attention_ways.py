"""The models that attend to places as their authors' loops train them: plain torch, eager, in float32."""

from __future__ import annotations

from models.openmp import spin_briefly

spin_briefly()  # before torch is loaded
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    log_softmax,
    relu,
    softmax,
)
from torch.nn.utils import clip_grad_norm_, weight_norm
from torch.nn.utils.rnn import pack_padded_sequence

EMBEDDING, CHANNELS, WORDS = 300, 2048, 14

Step = Callable[[Tensor, Tensor, Tensor], float]
"""One update from ids (B, T), pictures and targets (B, answers), both float32; its loss."""


@dataclass(frozen=True)
class Way:
    """make: from the number of words, of answers and a device to a step. ids: what becomes of (Q, 26) ids with zeros
    on the left.
    Pictures are (B, places, channels), or with `first` (B, channels, places, 1)."""

    make: Callable[[int, int, str], Step]
    ids: Callable[[np.ndarray], np.ndarray]
    first: bool = False


def behind(tokens: np.ndarray) -> np.ndarray:
    """The words of each question, and then the zeros."""
    return np.take_along_axis(tokens, np.argsort(tokens == 0, axis=1, kind="stable"), axis=1)


class Saaa(nn.Module):
    def __init__(self, words: int, answers: int, channels: int = CHANNELS, hidden: int = 1024) -> None:
        super().__init__()
        self.words = nn.Embedding(words, EMBEDDING, padding_idx=0)
        self.lstm = nn.LSTM(EMBEDDING, hidden)
        self.of_places = nn.Conv2d(channels, 512, 1, bias=False)
        self.of_question = nn.Linear(hidden, 512)
        self.glimpses = nn.Conv2d(512, 2, 1)
        self.joint, self.answers = nn.Linear(2 * channels + hidden, hidden), nn.Linear(hidden, answers)
        self.dropout = nn.Dropout(0.5)

    def forward(self, tokens: Tensor, v: Tensor) -> Tensor:
        x = torch.tanh(self.dropout(self.words(tokens))).transpose(0, 1)
        packed = pack_padded_sequence(x, (tokens != 0).sum(dim=1).cpu(), enforce_sorted=False)
        q = self.lstm(packed)[1][1].squeeze(0)
        v = v / (v.norm(p=2, dim=1, keepdim=True).expand_as(v) + 1e-8)
        x = self.of_places(self.dropout(v)) + self.of_question(self.dropout(q))[:, :, None, None].expand(
            -1, -1, *v.shape[2:]
        )
        shares = softmax(self.glimpses(self.dropout(relu(x))).flatten(2), dim=2)  # (B, 2, places)
        seen = (shares[:, :, None] * v.flatten(2)[:, None]).sum(dim=3).flatten(1)
        x = relu(self.joint(self.dropout(torch.cat([seen, q], dim=1))))
        logits: Tensor = self.answers(self.dropout(x))
        return logits


def normed(inputs: int, outputs: int) -> nn.Module:
    layer: nn.Module = weight_norm(nn.Linear(inputs, outputs), dim=None)
    return layer


class TopDown(nn.Module):
    def __init__(self, words: int, answers: int) -> None:
        super().__init__()
        self.words = nn.Embedding(words + 1, EMBEDDING, padding_idx=0)
        self.gru = nn.GRU(EMBEDDING, 1024, batch_first=True)
        self.of_places, self.of_question = normed(CHANNELS, 1024), normed(1024, 1024)
        self.share = normed(1024, 1)
        self.question, self.picture = normed(1024, 1024), normed(CHANNELS, 1024)
        self.fusion, self.answers = normed(1024, 2048), normed(2048, answers)
        self.dropout_attention, self.dropout = nn.Dropout(0.2), nn.Dropout(0.5)

    def forward(self, tokens: Tensor, v: Tensor) -> Tensor:
        q = self.gru(self.words(tokens))[0][:, -1]
        of_question = relu(self.of_question(q))[:, None].repeat(1, v.shape[1], 1)
        shares = softmax(self.share(self.dropout_attention(relu(self.of_places(v)) * of_question)), dim=1)
        seen = (shares * v).sum(dim=1)
        x = relu(self.question(q)) * relu(self.picture(seen))
        logits: Tensor = self.answers(self.dropout(relu(self.fusion(x))))
        return logits


class Norm(nn.Module):
    def __init__(self, size: int) -> None:
        super().__init__()
        self.scale, self.shift = nn.Parameter(torch.ones(size)), nn.Parameter(torch.zeros(size))

    def forward(self, x: Tensor) -> Tensor:
        mean, deviation = x.mean(-1, keepdim=True), x.std(-1, keepdim=True)
        return self.scale * (x - mean) / (deviation + 1e-6) + self.shift


class Heads(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.value, self.key, self.query, self.merge = (nn.Linear(512, 512) for _ in range(4))
        self.dropout = nn.Dropout(0.1)

    def forward(self, asking: Tensor, read: Tensor, mask: Tensor) -> Tensor:
        q, k, v = (
            layer(x).view(len(x), -1, 8, 64).transpose(1, 2)
            for layer, x in ((self.query, asking), (self.key, read), (self.value, read))
        )
        scores = (torch.matmul(q, k.transpose(-2, -1)) / math.sqrt(64)).masked_fill(mask, -1e9)
        x = torch.matmul(self.dropout(softmax(scores, dim=-1)), v)
        merged: Tensor = self.merge(x.transpose(1, 2).contiguous().view(len(x), -1, 512))
        return merged


def two_layers(inputs: int, middle: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(inputs, middle), nn.ReLU(inplace=True), nn.Dropout(0.1), nn.Linear(middle, outputs)
    )


class Block(nn.Module):
    def __init__(self, guided: bool) -> None:
        super().__init__()
        self.own, self.guided = Heads(), Heads() if guided else None
        self.feed_forward = two_layers(512, 2048, 512)
        self.norms, self.dropout = nn.ModuleList(Norm(512) for _ in range(3)), nn.Dropout(0.1)

    def forward(
        self, x: Tensor, mask: Tensor, guide: Tensor | None = None, guides: Tensor | None = None
    ) -> Tensor:
        x = self.norms[0](x + self.dropout(self.own(x, x, mask)))
        if self.guided is not None:
            x = self.norms[1](x + self.dropout(self.guided(x, guide, guides)))
        x = self.norms[2](x + self.dropout(self.feed_forward(x)))
        return x


class Summary(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.shares, self.merge = two_layers(512, 512, 1), nn.Linear(512, 1024)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        shares = softmax(self.shares(x).masked_fill(mask[:, 0, 0, :, None], -1e9), dim=1)
        merged: Tensor = self.merge((shares * x).sum(dim=1))
        return merged


class McanSmall(nn.Module):
    def __init__(self, words: int, answers: int) -> None:
        super().__init__()
        self.words = nn.Embedding(words, EMBEDDING)
        self.lstm = nn.LSTM(EMBEDDING, 512, batch_first=True)
        self.place = nn.Linear(CHANNELS, 512)
        self.of_words = nn.ModuleList(Block(guided=False) for _ in range(6))
        self.of_places = nn.ModuleList(Block(guided=True) for _ in range(6))
        self.sum_words, self.sum_places = Summary(), Summary()
        self.norm, self.answers = Norm(1024), nn.Linear(1024, answers)

    def forward(self, tokens: Tensor, v: Tensor) -> Tensor:
        no_words, no_places = (
            (x.abs().sum(dim=2) == 0)[:, None, None] for x in (tokens[:, :, None], v)
        )  # (B, 1, 1, T)
        x, y = self.lstm(self.words(tokens))[0], self.place(v)
        for block in self.of_words:
            x = block(x, no_words)
        for block in self.of_places:
            y = block(y, no_places, x, no_words)
        return torch.sigmoid(
            self.answers(self.norm(self.sum_words(x, no_words) + self.sum_places(y, no_places)))
        )


def saaa(
    words: int, answers: int, device: str, channels: int = CHANNELS, hidden: int = 1024, mixed: bool = False
) -> Step:
    """mixed: under autocast, in bfloat16."""
    module = Saaa(words, answers, channels, hidden).to(device).train()
    optimiser = torch.optim.Adam(module.parameters(), lr=1e-3)

    def loss(tokens: Tensor, pictures: Tensor, wanted: Tensor) -> Tensor:
        with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=mixed):
            logits = module(tokens, pictures)
        return (-log_softmax(logits.float(), dim=1) * wanted).sum(dim=1).mean()

    return _step(loss, optimiser)


def top_down(words: int, answers: int, device: str) -> Step:
    module = TopDown(words, answers).to(device).train()
    optimiser = torch.optim.Adamax(module.parameters(), lr=2e-3)

    def loss(tokens: Tensor, pictures: Tensor, wanted: Tensor) -> Tensor:
        return binary_cross_entropy_with_logits(module(tokens, pictures), wanted) * answers

    return _step(loss, optimiser, lambda: clip_grad_norm_(module.parameters(), 0.25))


def mcan_small(words: int, answers: int, device: str) -> Step:
    module = McanSmall(words, answers).to(device).train()
    optimiser = torch.optim.Adam(module.parameters(), lr=1e-4, betas=(0.9, 0.98), eps=1e-9)

    def loss(tokens: Tensor, pictures: Tensor, wanted: Tensor) -> Tensor:
        return binary_cross_entropy(module(tokens, pictures), wanted, reduction="sum")

    return _step(loss, optimiser)


def _step(
    loss: Callable[[Tensor, Tensor, Tensor], Tensor],
    optimiser: torch.optim.Optimizer,
    clip: Callable[[], object] = lambda: None,
) -> Step:
    def step(tokens: Tensor, pictures: Tensor, wanted: Tensor) -> float:
        optimiser.zero_grad()
        value = loss(tokens, pictures, wanted)
        value.backward()
        clip()
        optimiser.step()
        return value.item()

    return step


PLAIN = {
    "saaa": Way(saaa, behind, first=True),
    "top-down": Way(top_down, lambda tokens: tokens[:, -WORDS:]),
    "mcan-small": Way(mcan_small, lambda tokens: behind(tokens)[:, :WORDS]),
}
