"""RMSprop as Keras 3 computes it, and the optimisers that choices.py names."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

import torch
from torch import Tensor, nn

from data.base.errors import ModelError
from models.training.choices import OPTIMISERS

CHUNK = 1 << 17  # elements: three arrays of 512 KB stay in a core's cache through a step's four operations


Arrays = tuple[Tensor, Tensor, Tensor]
"""A weight, its gradient and its velocity."""


class KerasRMSprop(torch.optim.Optimizer):
    """velocity = rho velocity + (1 - rho) g^2;  weight -= learning_rate g / sqrt(velocity + epsilon).

    torch.optim.RMSprop adds epsilon outside the root, which is another function where gradients are small: at
    a learning rate of 1e-3, a first gradient of 1e-7 moves a weight by 3.2e-7 here and by 7.6e-4 there.
    On a CPU large weights are updated in chunks: all operations on one chunk run while it is in the cache, which is
    several times as fast as a pass over 10 million weights for each operation. On a GPU each operation is one kernel
    over all weights.
    """

    def __init__(
        self, params: Iterable[nn.Parameter], lr: float = 1e-3, rho: float = 0.9, epsilon: float = 1e-7
    ) -> None:
        super().__init__(params, {"lr": lr, "rho": rho, "epsilon": epsilon})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            arrays = [self._arrays(weight) for weight in group["params"] if weight.grad is not None]
            if not arrays:
                continue
            update = _update_together if arrays[0][0].device.type == "cuda" else _update_in_chunks
            update(arrays, group["lr"], group["rho"], group["epsilon"])

    def _arrays(self, weight: nn.Parameter) -> Arrays:
        state = self.state[weight]
        if not state:
            state["velocity"] = torch.zeros_like(weight)
        assert weight.grad is not None
        return weight, weight.grad.contiguous(), state["velocity"]


def _update_together(arrays: list[Arrays], rate: float, rho: float, epsilon: float) -> None:
    """torch's foreach kernels: a few launches on a GPU instead of four for each weight."""
    weights, gradients, velocities = (list(each) for each in zip(*arrays, strict=True))
    torch._foreach_mul_(velocities, rho)
    torch._foreach_addcmul_(velocities, gradients, gradients, value=1 - rho)
    roots = torch._foreach_add(velocities, epsilon)
    torch._foreach_sqrt_(roots)
    torch._foreach_addcdiv_(weights, gradients, roots, value=-rate)


def _update_in_chunks(arrays: list[Arrays], rate: float, rho: float, epsilon: float) -> None:
    for each in arrays:
        for chunk in zip(*(array.view(-1).split(CHUNK) for array in each), strict=True):
            _update(chunk, rate, rho, epsilon)


def _update(chunk: tuple[Tensor, ...], rate: float, rho: float, epsilon: float) -> None:
    weight, gradient, velocity = chunk
    velocity.mul_(rho).addcmul_(gradient, gradient, value=1 - rho)
    weight.addcmul_(gradient, (velocity + epsilon).rsqrt_(), value=-rate)


_MAKERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "rmsprop": lambda weights, lr, **of_adam: KerasRMSprop(weights, lr=lr),
    "adamw": partial(torch.optim.AdamW, fused=True),
    "adam": partial(torch.optim.Adam, fused=True),
    "adamax": torch.optim.Adamax,
}


def make_optimiser(
    name: str, module: nn.Module, rate: float, second_beta: float = 0.999, epsilon: float = 1e-8
) -> torch.optim.Optimizer:
    """The optimiser `name` over the weights of `module` that train. Raises ModelError for an unknown name.

    second_beta and epsilon are those of Adam's family, whose first beta is 0.9.
    """
    if name not in OPTIMISERS:
        raise ModelError(f"There is no optimiser {name!r}; there are {', '.join(OPTIMISERS)}.")
    trained = [weight for weight in module.parameters() if weight.requires_grad]
    return _MAKERS[name](trained, lr=rate, betas=(0.9, second_beta), eps=epsilon)


def set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Use this learning rate from the next step on."""
    for group in optimiser.param_groups:
        group["lr"] = rate
