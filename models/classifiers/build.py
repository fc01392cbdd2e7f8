"""From an architecture to a model: names.py says which class it is."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module

import numpy as np
import torch
from torch import nn

from data.base.errors import ModelError
from data.base.words import Lines
from models.classifiers.architecture import Architecture
from models.classifiers.interface import Classifier
from models.classifiers.names import CLASSIFIERS


def skeleton(architecture: Architecture) -> Classifier:
    """The model without memory for its weights (meta tensors): for their names, shapes and sizes.

    Raises ModelError for an unknown model, features that it cannot read, or sizes that do not fit.
    """
    _check(architecture)
    entry = CLASSIFIERS[architecture.model]
    module = import_module(f"models.classifiers.{entry.file.removesuffix('.py')}")
    with torch.device("meta"):
        classifier: Classifier = getattr(module, entry.name)(architecture)
    classifier.embedding.weight.requires_grad_(architecture.fine_tune_embeddings)
    return classifier


def build(architecture: Architecture, embeddings: np.ndarray | None = None, seed: int = 0) -> Classifier:
    """The model with fresh weights on the CPU, the same for the same seed.

    embeddings: (vocabulary, embedding) float32; None where a checkpoint is about to be loaded.
    Raises ModelError for an unknown model, features that it cannot read, or sizes that do not fit.
    """
    module = skeleton(architecture).to_empty(device="cpu")  # no weights are drawn twice
    module.initialise(torch.Generator().manual_seed(seed))
    matrix = module.embedding.weight
    with torch.no_grad():
        for buffer in module.buffers():
            buffer.zero_()  # training or a checkpoint fills it
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
    return Lines(*lines)


def trained_parameters(module: nn.Module) -> int:
    """How many numbers of a model train."""
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)


def _layers(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The layers that directly hold parameters."""
    return ((name, layer) for name, layer in module.named_modules() if list(layer.parameters(recurse=False)))


def _check(a: Architecture) -> None:
    if a.model not in CLASSIFIERS:
        raise ModelError(f"There is no model {a.model!r}; there are {', '.join(CLASSIFIERS)}.")
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
