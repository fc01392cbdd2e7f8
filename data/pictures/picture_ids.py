"""Which number a picture's file name gives it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

_COCO = re.compile(r"COCO_[A-Za-z0-9-]+_([0-9]{12})\.[A-Za-z]+")
_ENDS_IN = re.compile(
    r"(?<!\d)[0-9]+\Z"
)  # ASCII only: after a digit of another script it is half of a number
_LARGEST = 2**63 - 1  # ids are int64


def coco_number(name: str, prefix: str = "") -> int | None:
    """The id in a COCO file name: COCO_train2014_000000000009.jpg → 9. None for any other name."""
    base = name.rsplit("/", 1)[-1]
    match = _COCO.fullmatch(base)
    return int(match[1]) if match and base.startswith(prefix) else None


def last_number(name: str) -> int | None:
    """The number that a file name of any form ends in: b/img_002.jpg → 2. None without one below 2**63."""
    stem = name.rsplit("/", 1)[-1].rpartition(".")[0]
    match = _ENDS_IN.search(stem)
    digits = (match[0].lstrip("0") or "0") if match else ""
    if not digits or len(digits) > len(str(_LARGEST)) or int(digits) > _LARGEST:
        return None
    return int(digits)


def numbers_of(names: Iterable[str], number_of: Callable[[str], int | None], count: int) -> NDArray[np.int64]:
    """The number of each of `count` names; -1 where one has none."""
    numbers = (-1 if (number := number_of(name)) is None else number for name in names)
    return np.fromiter(numbers, np.int64, count)


def without_own_number(names: Sequence[str]) -> list[str]:
    """The names that end in no number, or in that of an earlier one; [] if the numbers can be ids."""
    numbers = numbers_of(names, last_number, len(names))
    order = np.argsort(numbers, kind="stable")
    begins = np.append(True, np.diff(numbers[order]) != 0)[: len(order)]
    first = np.empty_like(order)  # of those that end in the same number
    first[order] = order[np.maximum.accumulate(np.where(begins, np.arange(len(order)), 0))]
    faults = np.flatnonzero((numbers < 0) | (first != np.arange(len(order))))
    return [
        names[row] if numbers[row] < 0 else f"{names[row]} ({numbers[row]}, as {names[int(first[row])]})"
        for row in faults.tolist()
    ]
