"""Deep modular co-attention (MCAN, arXiv:1906.10770), as MILVLG/mcan-vqa wrote it, over a grid's places."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from data.base.errors import ModelError
from models.classifiers.architecture import Architecture
from models.classifiers.dropout import Dropout
from models.classifiers.initial_weights import torch_defaults
from models.classifiers.interface import PlacesClassifier, places_of
from models.classifiers.lstm import torch_lstm
from models.classifiers.names import CLASSIFIERS
from models.classifiers.question_rows import padded_behind
from models.classifiers.question_tree import side_by_side

MASKED = -1e9
"""What a masked position's score becomes: finite, so that a row of nothing but padding is a mean and not NaN."""


class LayerNorm(nn.Module):
    """scale (x - mean) / (deviation + 1e-6) + shift, the authors' own.

    Its deviation divides by N - 1, and the epsilon is added outside the root; torch's divides by N and adds it inside.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.empty(size))
        self.shift = nn.Parameter(torch.empty(size))

    def forward(self, x: Tensor) -> Tensor:
        x = x.float() if x.dtype == torch.bfloat16 else x
        deviation, mean = torch.std_mean(x, dim=-1, keepdim=True)
        return self.scale * (x - mean) / (deviation + 1e-6) + self.shift


class Attention(nn.Module):
    """Several heads: each query reads the values, by the likeness of query and key."""

    def __init__(self, size: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.value, self.key, self.query, self.merge = (nn.Linear(size, size) for _ in range(4))
        self.dropout = Dropout(dropout)

    def forward(self, asking: Tensor, read: Tensor, padding: Tensor) -> Tensor:
        """(B, A, size) queries over (B, R, size); padding (B, 1, 1, R): 0, or MASKED where nothing is to be read."""
        query, key, value = (
            self._split(self.query(asking)),
            self._split(self.key(read)),
            self._split(self.value(read)),
        )
        if (
            self.dropout.active
        ):  # torch's own has no generator of ours, and a resumed run needs the same masks
            scores = (query @ key.transpose(2, 3)).float() / math.sqrt(query.shape[3])
            x = self.dropout((scores + padding).softmax(dim=3)).to(value.dtype) @ value
        else:
            x = nn.functional.scaled_dot_product_attention(query, key, value, padding.to(query.dtype))
        merged: Tensor = self.merge(x.transpose(1, 2).flatten(2))
        return merged

    def _split(self, x: Tensor) -> Tensor:
        """(B, T, size) to (B, heads, T, size / heads)."""
        return x.unflatten(2, (self.heads, -1)).transpose(1, 2)


class FeedForward(nn.Module):
    """Two linear layers, with ReLU and dropout between."""

    def __init__(self, inputs: int, middle: int, outputs: int, dropout: float) -> None:
        super().__init__()
        self.first = nn.Linear(inputs, middle)
        self.dropout = Dropout(dropout)
        self.second = nn.Linear(middle, outputs)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.second(self.dropout(torch.relu(self.first(x))))
        return y


class Layer(nn.Module):
    """Attention within a sequence, then (where `guided`) from it to another, then a feed-forward network: each is added
    to what it was given, and the sum normalised."""

    def __init__(self, size: int, heads: int, dropout: float, guided: bool) -> None:
        super().__init__()
        self.own = Attention(size, heads, dropout)
        self.guided = Attention(size, heads, dropout) if guided else None
        self.feed_forward = FeedForward(size, 4 * size, size, dropout)
        self.norms = nn.ModuleList(LayerNorm(size) for _ in range(3 if guided else 2))
        self.dropout = Dropout(dropout)

    def forward(
        self, x: Tensor, padding: Tensor, guide: Tensor | None = None, guides: Tensor | None = None
    ) -> Tensor:
        """x (B, T, size), guide (B, G, size), each with its padding, to (B, T, size)."""
        x = self.norms[0](x + self.dropout(self.own(x, x, padding)))
        if self.guided is not None:
            x = self.norms[1](x + self.dropout(self.guided(x, guide, guides)))
        x = self.norms[-1](x + self.dropout(self.feed_forward(x)))
        return x


class Flatten(nn.Module):
    """A sequence to one vector: the mean of its positions, by shares that a small network gives them."""

    def __init__(self, size: int, middle: int, joint: int, dropout: float) -> None:
        super().__init__()
        self.shares = FeedForward(size, middle, 1, dropout)
        self.merge = nn.Linear(size, joint)

    def forward(self, x: Tensor, padding: Tensor) -> tuple[Tensor, Tensor]:
        """(B, T, size) to (B, joint), with the shares (B, 1, T)."""
        scores = self.shares(x).transpose(1, 2).float() + padding[:, 0]  # (B, 1, T)
        shares = scores.softmax(dim=2)
        merged: Tensor = self.merge(torch.bmm(shares.to(x.dtype), x)[:, 0])
        return merged, shares


class Mcan(PlacesClassifier):
    """Words attend to words, layer after layer; then places to places and to the last layer's words."""

    def __init__(self, a: Architecture) -> None:
        super().__init__(a)
        entry = CLASSIFIERS[a.model]
        layers, heads, flat = (entry.sizes[name] for name in ("layers", "heads", "flat"))
        if a.hidden % heads:
            raise ModelError(
                f"hidden is {a.hidden}; {a.model} has {heads} heads, so it has to be a multiple of {heads}."
            )
        self.words = entry.words
        self.embedding = nn.Embedding(a.vocabulary, a.embedding, padding_idx=0)
        self.lstm = nn.LSTM(a.embedding, a.hidden, batch_first=True)
        self.place = nn.Linear(a.features[-1], a.hidden)
        self.of_words = nn.ModuleList(Layer(a.hidden, heads, a.dropout, guided=False) for _ in range(layers))
        self.of_places = nn.ModuleList(Layer(a.hidden, heads, a.dropout, guided=True) for _ in range(layers))
        self.flatten_words = Flatten(a.hidden, flat, a.joint, a.dropout)
        self.flatten_places = Flatten(a.hidden, flat, a.joint, a.dropout)
        self.norm = LayerNorm(a.joint)
        self.answers = nn.Linear(a.joint, a.answers)

    def initialise(self, generator: torch.Generator) -> None:
        torch_defaults(self, generator)
        for layer in self.modules():
            if isinstance(layer, LayerNorm):
                nn.init.ones_(layer.scale)
                nn.init.zeros_(layer.shift)

    def encode(
        self, tokens: np.ndarray | Tensor, words: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """(Q, 26) word ids to the words (Q, 14, hidden), their padding, and their summary (Q, joint)."""
        ids = padded_behind(tokens, self.words, self.embedding.weight.device)  # (Q, 14)
        padding = padding_scores(ids == 0)
        x = self.read(ids)  # (Q, 14, hidden)
        for layer in self.of_words:
            x = layer(x, padding)
        return x, padding, self.flatten_words(x, padding)[0]

    def read(self, ids: Tensor) -> Tensor:
        """(Q, 14) ids to the LSTM's outputs (Q, 14, hidden)."""
        x = self.embedding(ids)  # (Q, 14, embedding)
        if self.on_gpu:
            with torch.autocast(x.device.type, enabled=False):  # autocast would take float16 on a GPU
                return self.lstm(x)[0]  # type: ignore[no-any-return]
        tree = side_by_side(*ids.shape)
        x = torch_lstm(self.lstm, x.transpose(0, 1).flatten(0, 1), tree)[0]
        return x.unflatten(0, (-1, len(ids))).transpose(0, 1)

    def look(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """(N, rows, columns, C) to the places (N, P, hidden), and their padding: a place of zeros counts as none."""
        places = places_of(self.prepared(features))
        return self.place(places), padding_scores((places == 0).all(dim=2))

    def answer(  # type: ignore[override]
        self, questions: tuple[Tensor, Tensor, Tensor], pictures: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """B pairs of an encoded question and a look's rows to logits (B, answers) and shares (B, 1, P)."""
        (words, no_words, question), (x, no_places) = questions, pictures
        for layer in self.of_places:
            x = layer(x, no_places, words, no_words)
        picture, shares = self.flatten_places(x, no_places)
        return self.answers(self.norm(question + picture)), shares


def padding_scores(padding: Tensor) -> Tensor:
    """(B, T) bool to (B, 1, 1, T) float32: what is added to the scores of the positions."""
    return torch.zeros(padding.shape, device=padding.device).masked_fill_(padding, MASKED)[:, None, None]
