"""The classic "deeper LSTM Q + norm I" and its simpler relatives, composed in plain sight."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from models.classifiers.architecture import Architecture
from models.classifiers.dropout import Dropout
from models.classifiers.initial_weights import keras_defaults
from models.classifiers.interface import Classifier
from models.classifiers.lstm import LSTM
from models.classifiers.question_tree import gather_questions, rounded_up_index
from models.devices import on_device


class LstmChannel(nn.Module):
    """A question through two LSTMs, with dropout between and after them, to its joint vector."""

    def __init__(self, a: Architecture) -> None:
        super().__init__()
        self.embedding = nn.Embedding(a.vocabulary, a.embedding)
        self.lstm_1 = LSTM(a.embedding, a.hidden)
        self.dropout_1 = Dropout(a.dropout)
        self.lstm_2 = LSTM(a.hidden, a.hidden)
        self.dropout_2 = Dropout(a.dropout)
        self.dense = nn.Linear(a.hidden, a.joint)

    def read_words(self) -> Tensor | None:
        """(V, 4 hidden): what the first layer makes of each word of the vocabulary, whatever the question.

        None on a GPU, where `all_steps` has no use for it.
        """
        return None if self._on_gpu else self.lstm_1.project(self.embedding.weight)

    def forward(self, tokens: np.ndarray | Tensor, words: Tensor | None) -> Tensor:
        """(Q, 26) word ids to (Q, joint). words: `read_words`, or None to read each distinct word of these alone."""
        x = self.all_steps(tokens) if self._on_gpu else self.distinct_steps(tokens, words)  # (Q, hidden)
        return torch.tanh(self.dense(self.dropout_2(x)))  # (Q, joint)

    @property
    def _on_gpu(self) -> bool:
        return self.embedding.weight.device.type == "cuda"

    def all_steps(self, tokens: np.ndarray | Tensor) -> Tensor:
        """(Q, 26) word ids to the last state (Q, hidden), by the 26 steps of the plain network: a GPU's way.

        The tree of `distinct_steps` has a quarter of the arithmetic in some 1,700 kernels, most of a few rows each: a
        GPU would wait for the next one nearly all of the time.
        """
        x = self.embedding(on_device(tokens, self.embedding.weight.device))  # (Q, 26, embedding)
        with torch.autocast(x.device.type, enabled=False):  # autocast would take float16 here
            x = self.dropout_1(self.lstm_1.all_steps(x.float()))  # (Q, 26, hidden)
            return self.lstm_2.all_steps(x)[:, -1]

    def distinct_steps(self, tokens: np.ndarray | Tensor, words: Tensor | None) -> Tensor:
        """(Q, 26) word ids to the last state (Q, hidden), each distinct state computed once: a CPU's way.

        Between the layers each state of a question gets its own mask, but all questions of a batch share the
        masks of their padding steps, since the padding states are computed once a batch.
        """
        questions = gather_questions(np.asarray(tokens), self.dropout_1.active, self.embedding.weight.device)
        inputs = questions.inputs
        if words is None:
            words = self.lstm_1.project(self.embedding(rounded_up_index(questions.words)))  # (D, 4 hidden)
        else:
            inputs = questions.words.index_select(0, inputs)
        x = self.lstm_1(words.index_select(0, rounded_up_index(inputs)), questions.shared)  # (N1, hidden)
        tree = questions.shared
        if questions.private is not None and questions.private_inputs is not None:
            tree = questions.private
            x = self.dropout_1(x.index_select(0, rounded_up_index(questions.private_inputs)))  # (N2, hidden)
        x = self.lstm_2(self.lstm_2.project(x), tree)  # (N2, hidden)
        return x.index_select(0, tree.last)


class BagChannel(nn.Module):
    """A question as the mean of its words' vectors, to its joint vector."""

    def __init__(self, a: Architecture) -> None:
        super().__init__()
        self.embedding = nn.Embedding(a.vocabulary, a.embedding)
        self.dense = nn.Linear(a.embedding, a.joint)

    def read_words(self) -> None:
        return None

    def forward(self, tokens: np.ndarray | Tensor, words: None) -> Tensor:
        """(Q, 26) word ids to (Q, joint)."""
        weight = self.embedding.weight
        ids = on_device(tokens, weight.device)
        mean = nn.functional.embedding_bag(ids, weight, mode="mean", padding_idx=0)  # (Q, embedding)
        return torch.tanh(self.dense(mean))  # (Q, joint)


class NormI(Classifier):
    """Question times picture, then two dense layers to the answers' logits.

    With the LSTM channel this is the "deeper LSTM Q + norm I" of the VQA paper (arXiv:1505.00468).
    """

    def __init__(self, a: Architecture, questions: LstmChannel | BagChannel) -> None:
        super().__init__(a)
        self.questions = questions
        self.image = nn.Linear(math.prod(a.features), a.joint) if self.sees_pictures else None
        self.dropout_1 = Dropout(a.dropout)
        self.fusion = nn.Linear(a.joint, a.joint)
        self.dropout_2 = Dropout(a.dropout)
        self.answers = nn.Linear(a.joint, a.answers)

    @property
    def embedding(self) -> nn.Embedding:  # type: ignore[override]
        return self.questions.embedding

    def initialise(self, generator: torch.Generator) -> None:
        keras_defaults(self, generator)

    def read_words(self) -> Tensor | None:
        return self.questions.read_words()

    def encode(self, tokens: np.ndarray | Tensor, words: Tensor | None = None) -> Tensor:
        """(Q, 26) word ids to (Q, joint)."""
        joint: Tensor = self.questions(tokens, words)
        return joint

    def look(self, features: Tensor) -> Tensor:
        """(N, F) features to (N, joint)."""
        assert self.image is not None
        return torch.tanh(self.image(unit_length(self.prepared(features))))

    def classify(self, questions: Tensor, pictures: Tensor | None) -> Tensor:  # type: ignore[override]
        """B pairs of (B, joint) each to logits (B, answers)."""
        x = questions if pictures is None else questions * pictures  # (B, joint)
        x = torch.tanh(self.fusion(self.dropout_1(x)))  # (B, joint)
        logits: Tensor = self.answers(self.dropout_2(x))
        return logits  # (B, answers)


class DeeperLstm(NormI):
    """Two LSTMs read the question."""

    def __init__(self, a: Architecture) -> None:
        super().__init__(a, LstmChannel(a))


class LanguageOnly(DeeperLstm):
    """The same, without the picture."""


class BagOfWords(NormI):
    """The mean of the words' vectors takes the LSTMs' place."""

    def __init__(self, a: Architecture) -> None:
        super().__init__(a, BagChannel(a))


def unit_length(features: Tensor) -> Tensor:
    """(N, F) float32 to rows of length 1; a row of zeros stays as it is."""
    lengths = torch.linalg.vector_norm(features, dim=1, keepdim=True)
    return features * torch.where(lengths > 0, 1 / lengths, 0)
