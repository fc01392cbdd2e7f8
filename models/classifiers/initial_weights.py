"""Initial weights."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor, nn

from models.classifiers.lstm import LSTM

WORD_COLUMNS = 300
"""Of word vectors that begin at random: as many as the published models have."""


def keras_defaults(module: nn.Module, generator: torch.Generator) -> None:
    """Glorot uniform kernels, orthogonal recurrent kernels, bias 1 in forget gates, zeros in all other biases."""
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


def xavier_defaults(module: nn.Module, generator: torch.Generator) -> None:
    """Glorot uniform weights, each of an LSTM's four gates by itself; zeros in all biases."""
    for layer in module.modules():
        if isinstance(layer, nn.LSTM):
            of_inputs, of_state, *biases = layer.parameters()
            for gate in (*of_inputs.data.chunk(4), *of_state.data.chunk(4)):
                nn.init.xavier_uniform_(gate, generator=generator)
            for bias in biases:
                nn.init.zeros_(bias)
        elif isinstance(layer, nn.Linear):
            nn.init.xavier_uniform_(layer.weight, generator=generator)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def torch_defaults(module: nn.Module, generator: torch.Generator) -> None:
    """As torch draws linear and recurrent layers: uniform, up to 1 / sqrt(inputs), and up to 1 / sqrt(units)."""
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            _uniform((layer.weight, layer.bias), layer.in_features, generator)
        elif isinstance(layer, nn.RNNBase):
            _uniform(layer.parameters(), layer.hidden_size, generator)


def random_word_vectors(words: int, seed: int) -> np.ndarray:
    """(words, 300) float32, Glorot uniform as SAAA draws them; row 0, the padding, is zeros."""
    generator = torch.Generator().manual_seed(seed)
    matrix = nn.init.xavier_uniform_(torch.empty(words, WORD_COLUMNS), generator=generator).numpy()
    matrix[0] = 0
    return matrix


def _uniform(weights: Iterable[Tensor], size: int, generator: torch.Generator) -> None:
    for weight in weights:
        nn.init.uniform_(weight, -1 / math.sqrt(size), 1 / math.sqrt(size), generator=generator)
