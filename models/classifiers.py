"""The models that answer questions, composed in plain sight; `MODELS` names them.

To add a model, write a channel or a classifier beside these and give it a name in MODELS.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from models.errors import ModelError
from models.lstm import LSTM, Questions, lengthened


@dataclass(frozen=True)
class Architecture:
    """All that decides the shapes of a model. Sizes of data are read from data, so they have no defaults."""

    model: str
    vocabulary: int  # rows of the embedding matrix, padding and unknown included
    embedding: int  # its columns
    answers: int
    features: tuple[int, ...]  # the shape of one picture's features: (4096,) for VGG's fc7
    hidden: int = 512
    joint: int = 1024
    dropout: float = 0.5
    fine_tune_embeddings: bool = False


class Dropout(nn.Module):
    """Dropout whose masks come from a generator of its own, see `seed_dropout`."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate
        self.generator: torch.Generator | None = None

    @property
    def active(self) -> bool:
        return self.training and self.rate > 0

    def forward(self, x: Tensor) -> Tensor:
        if not self.active:
            return x
        # 16 random bits decide on an element, four elements a draw: 26 ms a batch became 6 ms on two cores.
        draws = torch.empty((x.numel() + 3) // 4, dtype=torch.int64, device=x.device)
        bits = draws.random_(-(2**63), None, generator=self.generator).view(torch.int16)[: x.numel()]
        dropped = round(self.rate * 2**16)
        mask = (bits >= dropped - 2**15).to(x.dtype).mul_(2**16 / (2**16 - dropped))
        return x * mask.view(x.shape)


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
            vocabulary, inputs = self.read(lengthened(questions.words)), questions.inputs
        else:
            inputs = questions.words.index_select(0, questions.inputs)
        words = vocabulary.index_select(0, lengthened(inputs))  # (N1, 4 hidden)
        x = self.lstm_1(words, questions.shared)  # (N1, hidden)
        tree = questions.shared
        if questions.private is not None and questions.private_inputs is not None:
            tree = questions.private
            x = self.dropout_1(x.index_select(0, lengthened(questions.private_inputs)))  # (N2, hidden)
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


MODELS: dict[str, Callable[[Architecture], Classifier]] = {
    "deeper-lstm": lambda a: Classifier(a, LstmChannel(a)),
    "language-only": lambda a: Classifier(a, LstmChannel(a), sees=False),
    "bag-of-words": lambda a: Classifier(a, BagChannel(a)),
}


def build(architecture: Architecture, embeddings: np.ndarray | None = None, seed: int = 0) -> Classifier:
    """The model with fresh weights on the CPU, the same for the same seed.

    embeddings: (vocabulary, embedding) float32; None where a checkpoint is about to be loaded.
    Raises ModelError for an unknown model, features that it cannot read, or sizes that do not fit.
    """
    _check(architecture)
    with torch.device("meta"):  # no weights are drawn twice
        module = MODELS[architecture.model](architecture)
    module.to_empty(device="cpu")
    _initialise(module, torch.Generator().manual_seed(seed))
    matrix: nn.Parameter = module.questions.embedding.weight  # type: ignore[union-attr,assignment]
    matrix.requires_grad_(architecture.fine_tune_embeddings)
    with torch.no_grad():
        matrix.zero_()
        if embeddings is not None:
            _check_embeddings(architecture, embeddings)
            matrix.copy_(torch.from_numpy(np.ascontiguousarray(embeddings, np.float32)))
    return module


def seed_dropout(module: nn.Module, seed: int, device: torch.device) -> None:
    """Start the masks of all dropout layers afresh from `seed`."""
    generator = torch.Generator(device).manual_seed(seed)
    for layer in module.modules():
        if isinstance(layer, Dropout):
            layer.generator = generator


def parameter_table(module: nn.Module) -> str:
    """The layers with the shapes and counts of their parameters, and the sums, as text."""
    rows, sums = [], {True: 0, False: 0}
    for name, layer in _layers(module):
        parameters = list(layer.parameters(recurse=False))
        count = sum(parameter.numel() for parameter in parameters)
        trained = all(parameter.requires_grad for parameter in parameters)
        sums[trained] += count
        shapes = " + ".join("x".join(map(str, parameter.shape)) for parameter in parameters)
        rows.append((name if trained else f"{name} (frozen)", shapes, f"{count:,}"))
    width, shape = (max(len(row[i]) for row in rows) for i in (0, 1))
    lines = [f"{name:<{width}}  {shapes:<{shape}}  {count:>12}" for name, shapes, count in rows]
    totals = (("trainable", sums[True]), ("frozen", sums[False]), ("total", sum(sums.values())))
    lines += [f"{name:<{width}}  {'':<{shape}}  {count:>12,}" for name, count in totals]
    return "\n".join(lines)


def _layers(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The layers that have parameters of their own."""
    return ((name, layer) for name, layer in module.named_modules() if list(layer.parameters(recurse=False)))


def _initialise(module: nn.Module, generator: torch.Generator) -> None:
    """Keras's defaults: Glorot uniform kernels, orthogonal recurrent kernels, bias 1 in forget gates."""
    for layer in module.modules():
        if isinstance(layer, LSTM):
            nn.init.xavier_uniform_(layer.kernel, generator=generator)
            nn.init.orthogonal_(layer.recurrent_kernel, generator=generator)  # over all four gates together
            nn.init.zeros_(layer.bias)
            units = layer.recurrent_kernel.shape[0]
            nn.init.ones_(layer.bias[units : 2 * units])
        elif isinstance(layer, nn.Linear):
            nn.init.xavier_uniform_(layer.weight, generator=generator)
            nn.init.zeros_(layer.bias)


def _check(a: Architecture) -> None:
    if a.model not in MODELS:
        raise ModelError(f"There is no model {a.model!r}; there are {', '.join(MODELS)}.")
    sizes = {name: getattr(a, name) for name in ("vocabulary", "embedding", "answers", "hidden", "joint")}
    for name, size in sizes.items():
        if not isinstance(size, int) or size < 1:
            raise ModelError(f"{name} is {size!r}; it has to be a whole number of at least 1.")
    if not 0 <= a.dropout < 1:
        raise ModelError(f"dropout is {a.dropout!r}; it has to be at least 0 and below 1.")


def _check_vector(a: Architecture) -> None:
    if len(a.features) != 1:
        shape = " x ".join(map(str, a.features)) or "none"
        raise ModelError(
            f"{a.model} needs one vector a picture, but the shape of these features is {shape}. Extract a "
            "layer that gives vectors: --backbone vgg16 --layer fc7, or --backbone resnet152 --layer pooled."
        )


def _check_embeddings(a: Architecture, embeddings: np.ndarray) -> None:
    if embeddings.shape != (a.vocabulary, a.embedding):
        raise ModelError(
            f"The embedding matrix is {' x '.join(map(str, embeddings.shape))}, but the vocabulary asks for "
            f"{a.vocabulary} x {a.embedding}. Build the embeddings of this vocabulary."
        )
