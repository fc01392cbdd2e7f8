"""RMSprop as Keras 3 computes it, and the choice of optimisers and schedules."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from data.base.errors import ModelError

CHUNK = 1 << 17  # elements: three arrays of 512 KB stay in a core's cache through a step's four operations


class KerasRMSprop(torch.optim.Optimizer):
    """velocity = rho velocity + (1 - rho) g^2;  weight -= learning_rate g / sqrt(velocity + epsilon).

    torch.optim.RMSprop adds epsilon outside the root, which is another function where gradients are small: at
    a learning rate of 1e-3, a first gradient of 1e-7 moves a weight by 3.2e-7 here and by 7.6e-4 there.
    Large weights are updated in chunks: all operations on one chunk run while it is in the cache, which is
    several times as fast on a CPU as a pass over 10 million weights for each operation.
    """

    def __init__(
        self, params: Iterable[nn.Parameter], lr: float = 1e-3, rho: float = 0.9, epsilon: float = 1e-7
    ) -> None:
        super().__init__(params, {"lr": lr, "rho": rho, "epsilon": epsilon})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                state = self.state[weight]
                if not state:
                    state["velocity"] = torch.zeros_like(weight)
                size = CHUNK if weight.device.type == "cpu" else weight.numel()
                arrays = (weight, weight.grad.contiguous(), state["velocity"])
                for chunk in zip(*(array.view(-1).split(size) for array in arrays), strict=True):
                    _update(chunk, group["lr"], group["rho"], group["epsilon"])


def _update(chunk: tuple[Tensor, ...], rate: float, rho: float, epsilon: float) -> None:
    weight, gradient, velocity = chunk
    velocity.mul_(rho).addcmul_(gradient, gradient, value=1 - rho)
    weight.addcmul_(gradient, (velocity + epsilon).rsqrt_(), value=-rate)


def _adamw(parameters: list[nn.Parameter], rate: float) -> torch.optim.Optimizer:
    return torch.optim.AdamW(parameters, lr=rate, fused=True)


OPTIMISERS: dict[str, Callable[[list[nn.Parameter], float], torch.optim.Optimizer]] = {
    "rmsprop": lambda parameters, rate: KerasRMSprop(parameters, lr=rate),
    "adamw": _adamw,
}

# Share of the learning rate for a step, from the share of all steps that lie behind it.
SCHEDULES: dict[str, Callable[[float], float]] = {
    "constant": lambda done: 1.0,
    "cosine": lambda done: 0.5 * (1 + math.cos(math.pi * done)),
}


def make_optimiser(name: str, module: nn.Module, rate: float) -> torch.optim.Optimizer:
    """The optimiser `name` over the weights of `module` that train. Raises ModelError for an unknown name."""
    if name not in OPTIMISERS:
        raise ModelError(f"There is no optimiser {name!r}; there are {', '.join(OPTIMISERS)}.")
    return OPTIMISERS[name]([weight for weight in module.parameters() if weight.requires_grad], rate)


def set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Use this learning rate from the next step on."""
    for group in optimiser.param_groups:
        group["lr"] = rate
