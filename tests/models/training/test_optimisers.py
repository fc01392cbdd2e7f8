"""RMSprop takes Keras's steps; schedules go where they say."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from data.base.errors import ModelError
from models.training.optimisers import CHUNK, SCHEDULES, KerasRMSprop, make_optimiser, set_rate


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


def test_steps_follow_the_formula_across_chunks():
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


@pytest.mark.parametrize("name", ["rmsprop", "adamw"])
def test_both_optimisers_descend_and_obey_the_rate(name: str):
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


def test_schedules():
    assert [SCHEDULES["constant"](share) for share in (0, 0.5, 1)] == [1, 1, 1]
    assert [SCHEDULES["cosine"](share) for share in (0, 0.5, 1)] == pytest.approx([1, 0.5, 0])


def test_an_unknown_optimiser_is_refused():
    with pytest.raises(ModelError, match="rmsprop, adamw"):
        make_optimiser("sgd", torch.nn.Linear(1, 1), 0.1)
