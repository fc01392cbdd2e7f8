"""What a classifier is to other code: training, prediction, `ask` and `serve` know nothing else of a model."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from models.classifiers.architecture import Architecture
from models.classifiers.names import check_features, sees_pictures

Encoded = Tensor | tuple[Tensor, ...]
"""Questions or pictures as a model holds them: one tensor or several, a row for each."""


class Classifier(nn.Module):
    """A model that answers questions about pictures. Its parts are called one by one, so that prediction encodes each
    distinct question and each picture once.

    A subclass sets `embedding`, and defines `encode`, `classify`, `initialise` and, where it sees pictures, `look`.
    One that attends to places is a PlacesClassifier.
    Raises ModelError for features that the model can't read.
    """

    embedding: nn.Embedding
    """The word vectors, a row a word: they are given from outside, and train under fine_tune_embeddings alone."""

    channel_mean: Tensor
    channel_scale: Tensor

    def __init__(self, a: Architecture) -> None:
        check_features(a.model, a.features)
        super().__init__()
        self.sees_pictures = sees_pictures(a.model)
        self.features = a.features
        self.standardised = a.standardise and self.sees_pictures
        if self.standardised:
            self.register_buffer("channel_mean", torch.empty(a.features[-1]))
            self.register_buffer("channel_scale", torch.empty(a.features[-1]))

    def standardise(self, mean: Tensor, deviation: Tensor) -> None:
        """Take each channel's mean and deviation (C,) over the training pictures; one that never differs stays."""
        self.channel_mean.copy_(mean)
        self.channel_scale.copy_(torch.where(deviation > 0, 1 / deviation, 1))

    def prepared(self, features: Tensor) -> Tensor:
        """(N, *features) as they are stored to float32, each channel standardised where the model is trained so."""
        if not self.standardised:
            return features.float()
        return (features.float() - self.channel_mean) * self.channel_scale

    def initialise(self, generator: torch.Generator) -> None:
        """Draw all weights but the word vectors."""
        raise NotImplementedError

    def read_words(self) -> Tensor | None:
        """What `encode` makes of each word alone, for callers that encode many batches; None: nothing."""
        return None

    def encode(self, tokens: np.ndarray | Tensor, words: Tensor | None = None) -> Encoded:
        """Q questions (Q, 26) int, zeros on the left, in memory or on the model's device, to Q rows there.

        words: `read_words()` of a model whose weights have not changed since.
        """
        raise NotImplementedError

    def look(self, features: Tensor) -> Encoded:
        """N pictures (N, *features) as they are stored (float16), to N rows.

        It begins with `prepared`; normalising what that gives is the model's part.
        """
        raise NotImplementedError

    def classify(self, questions: Encoded, pictures: Encoded | None) -> Tensor:
        """B pairs of an encoded question and an encoded picture (None for a model without) to logits (B, answers)."""
        raise NotImplementedError

    def answer(self, questions: Encoded, pictures: Encoded | None) -> tuple[Tensor, Tensor | None]:
        """`classify` and `attention` of the same pairs, at the price of one."""
        return self.classify(questions, pictures), None

    def attention(self, questions: Encoded, pictures: Encoded | None) -> Tensor | None:
        """B pairs to each place's share (B, glimpses, places), which sum to 1; None for a model without attention."""
        return self.answer(questions, pictures)[1]

    def forward(self, tokens: np.ndarray | Tensor, features: Tensor | None) -> Tensor:
        """B questions (B, 26) with their pictures (B, *features), None for a model without, to logits (B, answers)."""
        return self.classify(self.encode(tokens), None if features is None else self.look(features))


class PlacesClassifier(Classifier):
    """A model that attends to the places of a grid: a subclass defines `answer`, and has the rest from it."""

    @property
    def on_gpu(self) -> bool:
        """Whether its recurrent layer is best left to cuDNN; on a CPU it runs along a tree of states (lstm.py)."""
        return self.embedding.weight.device.type == "cuda"

    def answer(self, questions: Encoded, pictures: Encoded | None) -> tuple[Tensor, Tensor | None]:
        raise NotImplementedError

    def classify(self, questions: Encoded, pictures: Encoded | None) -> Tensor:
        return self.answer(questions, pictures)[0]


def places_of(features: Tensor) -> Tensor:
    """(N, rows, columns, C) to (N, places, C), row by row."""
    return features.flatten(1, 2)


def pick(encoded: Encoded, index: Tensor) -> Encoded:
    """The rows numbered in `index`."""
    if isinstance(encoded, tuple):
        return tuple(part.index_select(0, index) for part in encoded)
    return encoded.index_select(0, index)


def join(parts: list[Encoded]) -> Encoded:
    """Rows under each other."""
    if isinstance(parts[0], tuple):
        return tuple(torch.cat(tensors) for tensors in zip(*parts, strict=True))
    return torch.cat(parts)  # type: ignore[arg-type]
