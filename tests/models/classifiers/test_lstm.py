"""The tree of shared states is the plain LSTM over 26 steps: same outputs, same gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from models.classifiers.lstm import LSTM
from models.classifiers.question_tree import gather_questions, grow, rounded_up, rounded_up_index

STEPS = 26


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


def left_padded(questions: list[list[int]], steps: int = STEPS) -> np.ndarray:
    tokens = np.zeros((len(questions), steps), np.int32)
    for row, ids in zip(tokens, questions, strict=True):
        row[steps - len(ids) :] = ids
    return tokens


def real_like(count: int, words: int, seed: int = 0) -> np.ndarray:
    """Questions of 0 to 26 words, the empty and the longest included, many with the same beginning."""
    rng = np.random.default_rng(seed)
    lengths = np.concatenate([[0, 0, STEPS], rng.integers(1, 12, count - 3)])
    return left_padded([rng.integers(1, words, n).tolist() for n in lengths])


def plain(layer: LSTM, inputs: Tensor) -> Tensor:
    """All steps of all questions, one after the other: (B, T, in) to (B, T, units)."""
    state = inputs.new_zeros(len(inputs), layer.recurrent_kernel.shape[0])
    cell, outputs = state, []
    for step in range(inputs.shape[1]):
        gates = inputs[:, step] @ layer.kernel + layer.bias + state @ layer.recurrent_kernel
        enter, keep, candidate, leave = gates.chunk(4, dim=1)
        cell = keep.sigmoid() * cell + enter.sigmoid() * candidate.tanh()
        state = leave.sigmoid() * cell.tanh()
        outputs.append(state)
    return torch.stack(outputs, dim=1)


def two_layers(seed: int, embedding: int = 20, units: int = 32) -> nn.ModuleList:
    layers = nn.ModuleList([LSTM(embedding, units), LSTM(units, units)])
    generator = torch.Generator().manual_seed(seed)
    for weight in layers.parameters():
        nn.init.normal_(weight, std=0.2, generator=generator)
    return layers


def along_trees(layers: nn.ModuleList, table: Tensor, tokens: np.ndarray, private: bool) -> Tensor:
    questions = gather_questions(tokens, private)
    read = layers[0].project(table[rounded_up_index(questions.words)])
    states = layers[0](read[rounded_up_index(questions.inputs)], questions.shared)
    tree = questions.shared
    if private:
        tree, states = questions.private, states[rounded_up_index(questions.private_inputs)]
    return layers[1](layers[1].project(states), tree)[tree.last]


def with_gradients(layers: nn.ModuleList, output: Tensor) -> list[Tensor]:
    weights = torch.randn(output.shape, generator=torch.Generator().manual_seed(7)).to(output.dtype)
    return [output.detach(), *torch.autograd.grad((output * weights).sum(), list(layers.parameters()))]


@pytest.mark.parametrize("private", [False, True], ids=["shared", "private"])
@pytest.mark.parametrize("words", [3, 50])
def test_outputs_and_gradients_of_both_layers_are_those_of_26_plain_steps(words: int, private: bool):
    tokens = real_like(80, words)
    table = torch.randn(words, 20, generator=torch.Generator().manual_seed(1))
    layers = two_layers(2)
    actual = with_gradients(layers, along_trees(layers, table, tokens, private))
    exact, looked_up = two_layers(2).double(), table.double()[torch.from_numpy(tokens).long()]
    expected = with_gradients(exact, plain(exact[1], plain(exact[0], looked_up))[:, -1])
    for ours, theirs in zip(actual, expected, strict=True):
        assert (ours - theirs).norm() <= 1e-6 * theirs.norm()


def test_a_gpus_way_has_the_outputs_and_gradients_of_the_tree():
    """torch's own LSTM stands in for cuDNN: on a GPU the same call is cuDNN's."""
    tokens, table = real_like(80, 50), torch.randn(50, 20, generator=torch.Generator().manual_seed(1))
    layers = two_layers(2)
    looked_up = table[torch.from_numpy(tokens).long()]
    actual = with_gradients(layers, layers[1].all_steps(layers[0].all_steps(looked_up))[:, -1])
    expected = with_gradients(layers, along_trees(layers, table, tokens, False))
    for theirs, ours in zip(actual, expected, strict=True):
        assert (ours - theirs).norm() <= 2e-6 * theirs.norm()


def test_the_padding_steps_train_the_weights():
    """An empty question is padding alone, and still has gradients: packing would have none."""
    layers = two_layers(3)
    _, *gradients = with_gradients(layers, along_trees(layers, torch.randn(4, 20), left_padded([[]]), True))
    assert all(gradient.abs().max() > 0 for gradient in gradients)


def test_gradient_reaches_the_inputs():
    tokens, layers = real_like(20, 9), two_layers(4)
    table = torch.randn(9, 20, requires_grad=True)
    (ours,) = torch.autograd.grad(along_trees(layers, table, tokens, True).sum(), table)
    looked_up = table[torch.from_numpy(tokens).long()]
    (theirs,) = torch.autograd.grad(plain(layers[1], plain(layers[0], looked_up))[:, -1].sum(), table)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


@pytest.fixture
def _fresh_memory_is_nan():
    torch.use_deterministic_algorithms(True)  # which fills what torch.empty returns
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.usefixtures("_fresh_memory_is_nan")
@pytest.mark.parametrize("private", [False, True], ids=["shared", "private"])
@pytest.mark.parametrize("count", [1, 5, 40, 300])
def test_bfloat16_products_stay_near_float32(count: int, private: bool):
    """Their rows behind, which nobody reads, must not reach any sum."""
    tokens, layers = real_like(count + 2, 30)[2:], two_layers(5)
    table = torch.randn(30, 20, generator=torch.Generator().manual_seed(1))
    exact = with_gradients(layers, along_trees(layers, table, tokens, private))
    with torch.autocast("cpu", torch.bfloat16):
        mixed = along_trees(layers, table, tokens, private)
    assert mixed.dtype == torch.bfloat16
    for ours, theirs in zip(with_gradients(layers, mixed), exact, strict=True):
        assert (ours - theirs).norm() <= 0.03 * theirs.norm()


class ProductShapes(TorchDispatchMode):
    """Collects the shapes of matrix products."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[tuple[object, ...]] = set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        if "mm" in function.__name__:
            self.seen.add((function, *(arg.shape for arg in args)))
        return function(*args, **(kwargs or {}))


def test_products_in_bfloat16_have_few_shapes():
    """For each new one oneDNN compiles code, which takes longer than the product itself."""

    def shapes(precision: torch.dtype, batches: range) -> set[tuple[object, ...]]:
        layers, table = two_layers(6), torch.randn(50, 20)
        with (
            ProductShapes() as products,
            torch.autocast("cpu", precision, enabled=precision == torch.bfloat16),
        ):
            for seed in batches:
                with_gradients(layers, along_trees(layers, table, real_like(120, 50, seed), True))
        return products.seen

    new, plain = (
        shapes(kind, range(10, 40)) - shapes(kind, range(10)) for kind in (torch.bfloat16, torch.float32)
    )
    assert len(new) < 0.1 * len(plain), f"{len(new)} new shapes in 30 batches, {len(plain)} in float32"


@given(st.integers(1, 100_000))
def test_room_is_a_sixteenth_at_the_most(count: int):
    wide = rounded_up(count, torch.bfloat16)
    assert count <= wide <= max(count + 15, count * 17 / 16)
    assert rounded_up(wide, torch.bfloat16) == wide
    assert rounded_up(count, torch.float32) == count


questions_of_few_words = st.lists(st.lists(st.integers(1, 3), max_size=6), min_size=1, max_size=12)


@given(questions_of_few_words, st.booleans())
def test_questions_share_a_state_while_they_agree(questions: list[list[int]], private: bool):
    tokens = left_padded(questions, steps=6)
    tree = grow(tokens, private)
    states = tree.states.numpy()
    for step in range(6):
        beginnings = [tuple(row[: step + 1].tolist()) for row in tokens]
        if private:
            beginnings = [(row, b) if any(b) else b for row, b in enumerate(beginnings)]
        same_state = states[:, step][:, None] == states[:, step][None, :]
        same_beginning = [[a == b for b in beginnings] for a in beginnings]
        assert (same_state == np.array(same_beginning)).all()
        assert set(states[:, step]) == set(range(tree.starts[step], tree.starts[step + 1]))


@given(questions_of_few_words, st.booleans())
def test_each_state_goes_on_from_the_one_its_question_was_in(questions: list[list[int]], private: bool):
    tree = grow(left_padded(questions, steps=6), private)
    for step in range(1, 6):
        width = tree.starts[step] - tree.starts[step - 1]
        before = np.concatenate([np.arange(width), tree.parents[step].numpy()])
        rows = tree.states[:, step].numpy() - tree.starts[step]
        assert (before[rows] == tree.states[:, step - 1].numpy() - tree.starts[step - 1]).all()
