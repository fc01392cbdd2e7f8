"""The models that answer questions, composed in plain sight; `MODELS` names them.

To add a model, write a channel or a classifier beside these and give it a name in MODELS.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import nn

from data.base.errors import ModelError
from models.classifiers.architecture import Architecture
from models.classifiers.deeper_lstm import BagChannel, Classifier, LstmChannel
from models.classifiers.lstm import LSTM

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


def _check_embeddings(a: Architecture, embeddings: np.ndarray) -> None:
    if embeddings.shape != (a.vocabulary, a.embedding):
        raise ModelError(
            f"The embedding matrix is {' x '.join(map(str, embeddings.shape))}, but the vocabulary asks for "
            f"{a.vocabulary} x {a.embedding}. Build the embeddings of this vocabulary."
        )
