"""Show, Ask, Attend, and Answer (arXiv:1704.03162), as Cyanogenoid/pytorch-vqa wrote it: two glimpses at a grid."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

from models.classifiers.architecture import Architecture
from models.classifiers.dropout import Dropout
from models.classifiers.initial_weights import xavier_defaults
from models.classifiers.interface import PlacesClassifier, places_of
from models.classifiers.lstm import torch_lstm
from models.classifiers.names import CLASSIFIERS
from models.classifiers.question_rows import padded_behind, question_lengths
from models.classifiers.question_tree import rounded_up_index, without_padding
from models.devices import as_multiplied


class Saaa(PlacesClassifier):
    """An LSTM reads the question; each glimpse is a softmax over the places; two dense layers answer."""

    def __init__(self, a: Architecture) -> None:
        super().__init__(a)
        sizes = CLASSIFIERS[a.model].sizes
        channels, glimpses, middle = a.features[-1], sizes["glimpses"], sizes["attention"]
        self.embedding = nn.Embedding(a.vocabulary, a.embedding, padding_idx=0)
        self.dropout_words = Dropout(a.dropout)
        self.lstm = nn.LSTM(a.embedding, a.hidden, batch_first=True)
        self.dropout_places = Dropout(a.dropout)
        self.attend_places = nn.Linear(
            channels, middle, bias=False
        )  # the question's has one: theirs are added
        self.dropout_question = Dropout(a.dropout)
        self.attend_question = nn.Linear(a.hidden, middle)
        self.dropout_both = Dropout(a.dropout)
        self.glimpses = nn.Linear(middle, glimpses)
        self.dropout_joint = Dropout(a.dropout)
        self.joint = nn.Linear(glimpses * channels + a.hidden, a.joint)
        self.dropout_answers = Dropout(a.dropout)
        self.answers = nn.Linear(a.joint, a.answers)

    def initialise(self, generator: torch.Generator) -> None:
        xavier_defaults(self, generator)

    def encode(self, tokens: np.ndarray | Tensor, words: Tensor | None = None) -> Tensor:
        """(Q, 26) word ids to (Q, hidden): the LSTM's cell behind the last word. The original reads the cell, not the
        output, and packs its questions, so that padding is not read at all."""
        if self.on_gpu:
            return self.by_cudnn(tokens)
        tree, ids = without_padding(np.asarray(tokens))
        x = self.words(rounded_up_index(torch.from_numpy(ids.astype(np.int64))))  # (N, embedding)
        cells = torch_lstm(self.lstm, x, tree)[1]
        return cells.index_select(0, tree.last_rows)

    def by_cudnn(self, tokens: np.ndarray | Tensor) -> Tensor:
        """The same, packed: a GPU's way."""
        ids = padded_behind(tokens, tokens.shape[1], self.embedding.weight.device)  # (Q, 26)
        lengths = question_lengths(ids).clamp(min=1).cpu()
        x = self.words(ids)  # (Q, 26, embedding)
        with torch.autocast(x.device.type, enabled=False):  # autocast would take float16 on a GPU
            packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
            last: Tensor = self.lstm(packed)[1][1][0]
        return last

    def words(self, ids: Tensor) -> Tensor:
        """(...) ids to what the LSTM reads (..., embedding)."""
        return torch.tanh(self.dropout_words(self.embedding(ids)))

    def look(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """(N, rows, columns, C) to the places at unit length (N, P, C), and their part of the attention (N, P, 512)."""
        places = places_of(self.prepared(features))
        places = as_multiplied(places / (torch.linalg.vector_norm(places, dim=2, keepdim=True) + 1e-8))
        return places, self.attend_places(self.dropout_places(places))

    def answer(self, questions: Tensor, pictures: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        """B pairs of (B, hidden) and a look's rows to logits (B, answers) and shares (B, glimpses, P)."""
        places, of_places = pictures
        of_question = self.attend_question(self.dropout_question(questions))  # (B, 512)
        both = torch.relu(of_places + of_question[:, None])  # (B, P, 512)
        shares = (
            self.glimpses(self.dropout_both(both)).float().softmax(dim=1).transpose(1, 2)
        )  # (B, glimpses, P)
        seen = torch.bmm(shares, places).flatten(1)  # (B, glimpses C), a glimpse after the other
        x = torch.cat([seen.float(), questions.float()], dim=1)
        x = torch.relu(self.joint(self.dropout_joint(x)))  # (B, joint)
        return self.answers(self.dropout_answers(x)), shares
