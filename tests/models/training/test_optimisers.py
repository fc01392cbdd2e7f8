"""RMSprop takes Keras's steps; schedules go where they say."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from data.base.errors import ModelError
from models.training import optimisers
from models.training.choices import OPTIMISERS, SCHEDULES, Moment
from models.training.optimisers import (
    CHUNK,
    KerasRMSprop,
    _update_in_chunks,
    _update_together,
    make_optimiser,
    set_rate,
)


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


@pytest.mark.parametrize("way", [_update_in_chunks, _update_together], ids=["cpu", "gpu"])
def test_steps_follow_the_formula(monkeypatch: pytest.MonkeyPatch, way: Callable[..., None]):
    monkeypatch.setattr(optimisers, "_update_in_chunks", way)
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(3, CHUNK // 2))
    ours = torch.nn.Parameter(torch.tensor(weight, dtype=torch.float32))
    optimiser, velocity = KerasRMSprop([ours], lr=1e-3), np.zeros_like(weight)
    for _ in range(3):
        gradient = rng.normal(size=weight.shape) * 1e-3
        ours.grad = torch.tensor(gradient, dtype=torch.float32)
        optimiser.step()
        velocity = 0.9 * velocity + 0.1 * gradient**2
        weight -= 1e-3 * gradient / np.sqrt(velocity + 1e-7)
    np.testing.assert_allclose(ours.detach().numpy(), weight, atol=1e-6)


def test_epsilon_is_inside_the_root():
    """A first gradient of 1e-7 moves a weight by 3.2e-7; with epsilon outside the root it would be 7.6e-4."""
    weight = torch.nn.Parameter(torch.zeros(1))
    weight.grad = torch.full((1,), 1e-7)
    KerasRMSprop([weight], lr=1e-3).step()
    assert -weight.item() == pytest.approx(1e-10 / np.sqrt(1e-15 + 1e-7), rel=1e-4)


def test_weights_without_gradient_stay():
    weight = torch.nn.Parameter(torch.ones(2))
    KerasRMSprop([weight]).step()
    assert weight.tolist() == [1, 1]


@pytest.mark.parametrize("name", OPTIMISERS)
def test_optimisers_descend_and_obey_the_rate(name: str):
    module = torch.nn.Linear(3, 1)
    optimiser = make_optimiser(name, module, 0.05)
    x = torch.rand(20, 3)
    losses = []
    for _ in range(50):
        optimiser.zero_grad()
        loss = ((module(x) - x.sum(dim=1, keepdim=True)) ** 2).mean()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.2 * losses[0]
    set_rate(optimiser, 0.0)
    before = module.weight.clone()
    optimiser.step()
    assert torch.equal(module.weight, before)


def rates(name: str, *done: int, steps: int = 10, epochs: int = 20) -> list[float]:
    return [SCHEDULES[name].rate(Moment(each, steps, epochs)) for each in done]


def test_schedules():
    assert rates("constant", 0, 100, 200) == [1, 1, 1]
    assert rates("cosine", 0, 100, 200) == pytest.approx([1, 0.5, 0])
    assert rates("half-life", 0, 25_000, 50_000, 150_000) == pytest.approx([1, 0.5**0.5, 0.5, 0.125])
    firsts = [rates("warm-up", 10 * epoch, 10 * epoch + 9) for epoch in range(14)]
    assert all(first == last for first, last in firsts)  # the same throughout an epoch
    assert [first for first, _ in firsts] == pytest.approx([0.25, 0.5, 0.75, *[1] * 7, 0.2, 0.2, 0.04, 0.04])


@pytest.mark.parametrize("name", SCHEDULES)
def test_an_open_schedule_does_not_depend_on_the_number_of_epochs(name: str):
    steps = (0, 35, 99, 199)
    assert (rates(name, *steps) == rates(name, *steps, epochs=50)) == SCHEDULES[name].open


def test_adam_and_adamax_take_their_authors_steps():
    """Two steps by the papers' formulas, with MCAN's constants for Adam and torch's own for Adamax."""
    gradients = np.random.default_rng(0).normal(size=(2, 4))
    for name, beta, epsilon in (("adam", 0.98, 1e-9), ("adamax", 0.999, 1e-8)):
        module = torch.nn.Linear(4, 1, bias=False)
        weight = module.weight.detach().numpy().astype(np.float64)[0].copy()
        optimiser = make_optimiser(name, module, 0.01, beta, epsilon)
        mean, size = np.zeros(4), np.zeros(4)
        for step, gradient in enumerate(gradients, start=1):
            module.weight.grad = torch.tensor(gradient[None], dtype=torch.float32)
            optimiser.step()
            mean = 0.9 * mean + 0.1 * gradient
            if name == "adam":
                size = beta * size + (1 - beta) * gradient**2
                scale = np.sqrt(size / (1 - beta**step)) + epsilon
            else:
                scale = size = np.maximum(beta * size, np.abs(gradient) + epsilon)
            weight -= 0.01 * mean / (1 - 0.9**step) / scale
        np.testing.assert_allclose(module.weight.detach().numpy()[0], weight, atol=1e-6)


def test_an_unknown_optimiser_is_refused():
    with pytest.raises(ModelError, match="rmsprop, adamw"):
        make_optimiser("sgd", torch.nn.Linear(1, 1), 0.1)
