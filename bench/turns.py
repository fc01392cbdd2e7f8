"""Competitors measured in turns, so that a slow minute of the machine falls on all of them."""

from __future__ import annotations

import argparse
import math
import random
import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

Turn = Callable[[], float]
"""Does its work once and gives its rate."""
Rates = dict[str, list[float]]
Item = TypeVar("Item")


def in_turns(
    turns: dict[str, Turn],
    most: int,
    until: float = math.inf,
    tell: Callable[[Rates], None] = lambda rates: None,
) -> Rates:
    """Rates of `most` rounds, in each of which every competitor has a turn, in a new random order.

    After the first, no round begins that would outlast `until` on time.monotonic's clock if it took as long as the one
    before. `tell` is called with the rates after each.
    """
    rates: Rates = {name: [] for name in turns}
    took = 0.0
    for number in range(most):
        began = time.monotonic()
        if number and began + took > until:
            break
        for name, turn in random.sample(list(turns.items()), len(turns)):
            rates[name].append(turn())
        took = time.monotonic() - began
        tell(rates)
    return rates


def spread(values: list[float], digits: int = 2) -> str:
    """'8.40 (7.53 to 8.88)': the median and the range."""
    middle, least, highest = statistics.median(values), min(values), max(values)
    return f"{middle:,.{digits}f} ({least:,.{digits}f} to {highest:,.{digits}f})"


def ratios(over: list[float], under: list[float]) -> list[float]:
    """The ratio within each round."""
    return [first / second for first, second in zip(over, under, strict=True)]


def for_seconds(work: Callable[[], None], count: int, seconds: float) -> Turn:
    """A turn that repeats `work`, which does `count` of what is counted, until `seconds` are over."""

    def turn() -> float:
        done, began = 0, time.monotonic()
        while not done or time.monotonic() < began + seconds:
            work()
            done += count
        return done / (time.monotonic() - began)

    return turn


class Steady:
    """The rate of a stream that is fed for `seconds` after its first result and then runs dry.

    Its first quarter is not counted, while processes start and queues fill. With 0 seconds all is.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds, self.began = seconds, time.monotonic()
        self.results: list[tuple[float, int]] = []

    def feed(self, items: Iterable[Item]) -> Iterator[Item]:
        """The items again and again, until the time is over."""
        items = list(items)
        while True:
            for item in items:
                if self.results and time.monotonic() > self.results[0][0] + self.seconds:
                    return
                yield item

    def add(self, count: int) -> None:
        """Count results that have just come out."""
        self.results.append((time.monotonic(), count))

    def rate(self) -> float:
        """Results a second up to now; of a stream too short for that, with its start."""
        quarter = self.results[0][0] + self.seconds / 4
        start, counted = self.began, self.results
        late = [result for result in self.results if result[0] >= quarter]
        if self.seconds and len(late) > 1:
            start, counted = late[0][0], late[1:]
        return sum(count for _, count in counted) / (time.monotonic() - start)

    def first(self) -> float:
        """Seconds until the first result."""
        return self.results[0][0] - self.began


def add_device(parser: argparse.ArgumentParser, default: str = "cpu", what: str = "ours") -> None:
    """The flag --device of every bench that computes."""
    parser.add_argument(
        "--device",
        default=default,
        help=f"where {what} computes: auto, cpu, cuda or cuda:N (default: {default})",
    )
