"""Top-down attention (arXiv:1707.07998), as hengyuan-hu/bottom-up-attention-vqa simplified it, over a grid's places."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from models.classifiers.architecture import Architecture
from models.classifiers.dropout import Dropout
from models.classifiers.gru import project, torch_gru
from models.classifiers.initial_weights import torch_defaults
from models.classifiers.interface import PlacesClassifier, places_of
from models.classifiers.names import CLASSIFIERS
from models.classifiers.question_rows import padded_in_front
from models.classifiers.question_tree import gather_questions, rounded_up_index
from models.devices import as_multiplied

ATTENTION_DROPOUT = 0.2  # the classifier's is the flag


class WeightNormLinear(nn.Linear):
    """A linear layer whose weight has a learnt length: one scalar for the whole matrix, not one a row, as its authors
    asked torch's weight_norm for (dim=None)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs)
        self.length = nn.Parameter(torch.empty(()))

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight * (self.length / torch.linalg.vector_norm(self.weight))
        return nn.functional.linear(x, weight, self.bias)


class TopDown(PlacesClassifier):
    """A GRU reads the question; the product of question and place says how much of the place is read."""

    def __init__(self, a: Architecture) -> None:
        super().__init__(a)
        channels = a.features[-1]
        self.words = CLASSIFIERS[a.model].words
        self.embedding = nn.Embedding(a.vocabulary, a.embedding, padding_idx=0)  # padding stays zeros
        self.gru = nn.GRU(a.embedding, a.hidden, batch_first=True)
        self.attend_places = WeightNormLinear(channels, a.joint)
        self.attend_question = WeightNormLinear(a.hidden, a.joint)
        self.dropout_attention = Dropout(ATTENTION_DROPOUT if a.dropout else 0.0)
        self.share = WeightNormLinear(a.joint, 1)
        self.question = WeightNormLinear(a.hidden, a.joint)
        self.picture = WeightNormLinear(channels, a.joint)
        self.fusion = WeightNormLinear(a.joint, 2 * a.joint)
        self.dropout = Dropout(a.dropout)
        self.answers = WeightNormLinear(2 * a.joint, a.answers)

    def initialise(self, generator: torch.Generator) -> None:
        torch_defaults(self, generator)
        for layer in self.modules():
            if isinstance(layer, WeightNormLinear):
                layer.length.data.copy_(torch.linalg.vector_norm(layer.weight.data))

    def encode(self, tokens: np.ndarray | Tensor, words: Tensor | None = None) -> Tensor:
        """(Q, 26) word ids to (Q, hidden): the output behind the last word; padding in front is read, as zeros."""
        ids = padded_in_front(tokens, self.words, self.embedding.weight.device)  # (Q, 14)
        if self.on_gpu:
            with torch.autocast(ids.device.type, enabled=False):  # autocast would take float16 on a GPU
                return self.gru(self.embedding(ids))[0][:, -1]  # type: ignore[no-any-return]
        read = gather_questions(ids.numpy(), private=False)
        of_words = project(self.gru, self.embedding(rounded_up_index(read.words)))  # (D, 3 hidden)
        states = torch_gru(self.gru, of_words.index_select(0, rounded_up_index(read.inputs)), read.shared)
        return states.index_select(0, read.shared.last)

    def look(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """(N, rows, columns, C) to the places as they are (N, P, C), and their part of the attention (N, P, joint)."""
        places = as_multiplied(places_of(self.prepared(features)))
        return places, torch.relu(self.attend_places(places))

    def answer(self, questions: Tensor, pictures: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        """B pairs of (B, hidden) and a look's rows to logits (B, answers) and shares (B, 1, P)."""
        places, of_places = pictures
        of_question = torch.relu(self.attend_question(questions))  # (B, joint)
        both = self.dropout_attention(of_places * of_question[:, None])  # (B, P, joint)
        shares = self.share(both).float().softmax(dim=1).transpose(1, 2)  # (B, 1, P)
        seen = torch.bmm(shares, places)[:, 0]  # (B, C)
        x = torch.relu(self.question(questions)) * torch.relu(self.picture(seen))  # (B, joint)
        x = self.dropout(torch.relu(self.fusion(x)))  # (B, 2 joint)
        return self.answers(x), shares
