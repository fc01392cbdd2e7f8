"""What a training recipe can choose from, by name. Standard library only; optimisers.py has the optimisers."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from data.base.errors import ModelError

OPTIMISERS: dict[str, int] = {"rmsprop": 1, "adamw": 2, "adam": 2, "adamax": 2}
"""Each optimiser with the arrays of a weight's size that it keeps. rmsprop is Keras's."""


@dataclass(frozen=True)
class Moment:
    """How far a run is: `done` steps are done; an epoch has `steps`, the run `epochs`."""

    done: int
    steps: int
    epochs: int

    @property
    def epoch(self) -> int:
        """The number of the epoch, from 0."""
        return self.done // self.steps

    @property
    def share(self) -> float:
        """The share of all steps that is done."""
        return self.done / (self.epochs * self.steps)


@dataclass(frozen=True)
class Schedule:
    """A step's share of the learning rate. `open`: it does not depend on the number of epochs, so that a finished run
    can go on for more. `counts_epochs`: it names some by their number."""

    rate: Callable[[Moment], float]
    about: str
    open: bool = True
    counts_epochs: bool = False


HALF_LIFE = 50_000  # steps: SAAA's
WARM_UP = (0.25, 0.5, 0.75)  # MCAN's first epochs
DROPS, DROP = (10, 12), 0.2  # from each of these epochs on, counted from 0, a fifth of the rate before


def _warm_up(moment: Moment) -> float:
    if moment.epoch < len(WARM_UP):
        return WARM_UP[moment.epoch]
    return DROP ** sum(moment.epoch >= epoch for epoch in DROPS)


SCHEDULES: dict[str, Schedule] = {
    "constant": Schedule(lambda moment: 1.0, "the same throughout"),
    "cosine": Schedule(
        lambda moment: 0.5 * (1 + math.cos(math.pi * moment.share)), "to zero along a cosine", open=False
    ),
    "half-life": Schedule(
        lambda moment: 0.5 ** (moment.done / HALF_LIFE), f"halved every {HALF_LIFE:,} steps, continuously"
    ),
    "warm-up": Schedule(
        _warm_up,
        "a quarter, a half, three quarters in epochs 1 to 3; a fifth from 11, a fifth of that from 13",
        counts_epochs=True,
    ),
}


def held_out_count(share: float, pictures: int) -> int:
    """How many of the training pictures a share is, to the nearest. ModelError where that is none of them, or all."""
    count = int(share * pictures + 0.5)
    if not 0 < count < pictures:
        left = "no picture would be left to train on" if count else "no picture would be held out"
        raise ModelError(
            f"--hold-out {share:g}: of {pictures:,} training pictures {left}; give another share, such "
            "as 0.1, or leave it out"
        )
    return count


TARGETS: dict[str, str] = {
    "consensus": "the consensus answer",
    "soft": "each answer's official score",
    "shares": "each answer's share of the humans",
}
"""Each target: what is learnt."""
