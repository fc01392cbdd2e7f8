"""The classic "deeper LSTM Q + norm I" and its simpler relatives, composed in plain sight."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from data.base.errors import ModelError
from models.classifiers.architecture import Architecture
from models.classifiers.dropout import Dropout
from models.classifiers.lstm import LSTM
from models.classifiers.question_tree import Questions, rounded_up_index


class LstmChannel(nn.Module):
    """A question through two LSTMs with dropout between and behind them, to its joint vector."""

    def __init__(self, a: Architecture) -> None:
        super().__init__()
        self.embedding = nn.Embedding(a.vocabulary, a.embedding)
        self.lstm_1 = LSTM(a.embedding, a.hidden)
        self.dropout_1 = Dropout(a.dropout)
        self.lstm_2 = LSTM(a.hidden, a.hidden)
        self.dropout_2 = Dropout(a.dropout)
        self.dense = nn.Linear(a.hidden, a.joint)

    @property
    def private_states(self) -> bool:
        """Whether dropout makes the second layer's states differ between questions that begin alike."""
        return self.dropout_1.active

    def read(self, words: Tensor) -> Tensor:
        """(D,) word ids to (D, 4 hidden): what the first layer makes of each, whatever the question."""
        return self.lstm_1.project(self.embedding(words))

    def forward(self, questions: Questions, vocabulary: Tensor | None = None) -> Tensor:
        """Q questions to (Q, joint). `questions` was gathered with private = self.private_states.

        vocabulary: `read` of all words, where there are many batches; else each distinct word of this one is read.
        Between the layers, each state of a question gets a mask of its own, but all questions of a batch share the
        masks of their padding steps, since the padding states are computed once a batch.
        """
        if vocabulary is None:
            vocabulary, inputs = self.read(rounded_up_index(questions.words)), questions.inputs
        else:
            inputs = questions.words.index_select(0, questions.inputs)
        words = vocabulary.index_select(0, rounded_up_index(inputs))  # (N1, 4 hidden)
        x = self.lstm_1(words, questions.shared)  # (N1, hidden)
        tree = questions.shared
        if questions.private is not None and questions.private_inputs is not None:
            tree = questions.private
            x = self.dropout_1(x.index_select(0, rounded_up_index(questions.private_inputs)))  # (N2, hidden)
        x = self.lstm_2(self.lstm_2.project(x), tree)  # (N2, hidden)
        x = self.dropout_2(x.index_select(0, tree.last))  # (Q, hidden)
        return torch.tanh(self.dense(x))  # (Q, joint)


class BagChannel(nn.Module):
    """A question as the mean of its words' vectors, to its joint vector."""

    private_states = False

    def __init__(self, a: Architecture) -> None:
        super().__init__()
        self.embedding = nn.Embedding(a.vocabulary, a.embedding)
        self.dense = nn.Linear(a.embedding, a.joint)

    def forward(self, questions: Questions) -> Tensor:
        tokens, weight = questions.tokens, self.embedding.weight
        mean = nn.functional.embedding_bag(tokens, weight, mode="mean", padding_idx=0)  # (Q, embedding)
        return torch.tanh(self.dense(mean))  # (Q, joint)


class Classifier(nn.Module):
    """Question times picture, then two dense layers to the answers' logits.

    With the LSTM channel this is the "deeper LSTM Q + norm I" of the VQA paper (arXiv:1505.00468). Its parts
    can be called one by one, so that prediction encodes each distinct question and each picture once.
    """

    def __init__(self, a: Architecture, questions: nn.Module, sees: bool = True) -> None:
        super().__init__()
        if sees:
            _check_vector(a)
        self.questions = questions
        self.image = nn.Linear(math.prod(a.features), a.joint) if sees else None
        self.dropout_1 = Dropout(a.dropout)
        self.fusion = nn.Linear(a.joint, a.joint)
        self.dropout_2 = Dropout(a.dropout)
        self.answers = nn.Linear(a.joint, a.answers)

    def look(self, features: Tensor) -> Tensor | None:
        """L2-normalised image features (N, F) float32 to (N, joint); None in a model without pictures."""
        return None if self.image is None else torch.tanh(self.image(features))

    def classify(self, question: Tensor, picture: Tensor | None) -> Tensor:
        """B pairs of encoded questions and pictures, (B, joint) each, to logits (B, answers)."""
        x = question if picture is None else question * picture  # (B, joint)
        x = torch.tanh(self.fusion(self.dropout_1(x)))  # (B, joint)
        logits: Tensor = self.answers(self.dropout_2(x))
        return logits  # (B, answers)

    def forward(self, questions: Questions, features: Tensor) -> Tensor:
        return self.classify(self.questions(questions), self.look(features))


def _check_vector(a: Architecture) -> None:
    if len(a.features) != 1:
        shape = " x ".join(map(str, a.features)) or "none"
        raise ModelError(
            f"{a.model} needs one vector a picture, but the shape of these features is {shape}. Extract a "
            "layer that gives vectors: --backbone vgg16 --layer fc7, or --backbone resnet152 --layer pooled."
        )
