"""torch's own LSTM and GRU, computed along trees of states: torch's outputs and gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

from models.classifiers.gru import project, torch_gru
from models.classifiers.lstm import torch_lstm
from models.classifiers.question_rows import padded_behind
from models.classifiers.question_tree import (
    gather_questions,
    rounded_up_index,
    side_by_side,
    without_padding,
)

WORDS, UNITS = 5, 16


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


def asked(count: int = 60, steps: int = 9) -> np.ndarray:
    """Questions of no word to as many as there is room for, few words, so that many begin alike."""
    rng = np.random.default_rng(0)
    tokens = rng.integers(1, WORDS, (count, steps)).astype(np.int32)
    lengths = rng.integers(0, steps, count)
    lengths[:2] = 0, steps
    return np.where(np.arange(steps) >= steps - lengths[:, None], tokens, 0)


def drawn(kind: type[nn.RNNBase]) -> tuple[nn.RNNBase, Tensor]:
    """A layer with two biases that differ, and word vectors with zeros for the padding."""
    torch.manual_seed(1)
    layer, table = kind(12, UNITS, batch_first=True), torch.randn(WORDS, 12)
    table[0] = 0
    return layer, table.requires_grad_()


def with_gradients(layer: nn.Module, table: Tensor, output: Tensor) -> list[Tensor]:
    toward = torch.randn(output.shape, generator=torch.Generator().manual_seed(2))
    return [output.detach(), *torch.autograd.grad((output * toward).sum(), [table, *layer.parameters()])]


def last_cells(layer: nn.LSTM, table: Tensor, tokens: np.ndarray) -> Tensor:
    tree, ids = without_padding(tokens)
    index = rounded_up_index(torch.from_numpy(ids.astype(np.int64)))
    return torch_lstm(layer, table[index], tree)[1][tree.last_rows]


def packed(layer: nn.LSTM, table: Tensor, tokens: np.ndarray) -> Tensor:
    ids = padded_behind(tokens, tokens.shape[1], torch.device("cpu"))
    lengths = (ids != 0).sum(dim=1).clamp(min=1)
    return layer(pack_padded_sequence(table[ids], lengths, batch_first=True, enforce_sorted=False))[1][1][0]


def all_outputs(layer: nn.LSTM, table: Tensor, tokens: np.ndarray) -> Tensor:
    outputs, _ = torch_lstm(
        layer, table[torch.from_numpy(tokens.T.ravel()).long()], side_by_side(*tokens.shape)
    )
    return outputs.unflatten(0, (-1, len(tokens))).transpose(0, 1)


def all_steps(layer: nn.RNNBase, table: Tensor, tokens: np.ndarray) -> Tensor:
    return layer(table[torch.from_numpy(tokens).long()])[0]


def last_outputs(layer: nn.GRU, table: Tensor, tokens: np.ndarray) -> Tensor:
    read = gather_questions(tokens, private=False)
    projected = project(layer, table[rounded_up_index(read.words)])
    return torch_gru(layer, projected[rounded_up_index(read.inputs)], read.shared)[read.shared.last]


WAYS = {
    "saaa": (nn.LSTM, last_cells, packed),
    "mcan": (nn.LSTM, all_outputs, all_steps),
    "top-down": (nn.GRU, last_outputs, lambda *given: all_steps(*given)[:, -1]),
}


@pytest.mark.parametrize("steps", [1, 2, 9])
@pytest.mark.parametrize("way", WAYS)
def test_outputs_and_gradients_are_torchs(way: str, steps: int):
    kind, ours, torchs = WAYS[way]
    layer, table = drawn(kind)
    tokens = asked(steps=steps)
    found, expected = (with_gradients(layer, table, read(layer, table, tokens)) for read in (ours, torchs))
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, atol=2e-6, rtol=1e-5)


@pytest.mark.parametrize("way", WAYS)
def test_in_bfloat16_they_are_near(way: str):
    kind, ours, torchs = WAYS[way]
    layer, table = drawn(kind)
    expected = with_gradients(layer, table, torchs(layer, table, asked()))
    with torch.autocast("cpu", torch.bfloat16):
        output = ours(layer, table, asked())
    for one, other in zip(with_gradients(layer, table, output), expected, strict=True):
        assert (one.float() - other).norm() < 0.03 * other.norm()


def test_questions_without_padding_begin_with_their_first_words():
    tree, ids = without_padding(np.array([[0, 0, 3], [0, 4, 5], [0, 0, 0], [6, 7, 8]], np.int32))
    assert tree.widths == [1, 2, 4] and tree.last_rows.tolist() == [2, 1, 3, 0]
    assert ids.tolist() == [6, 7, 4, 8, 5, 3, 0]
