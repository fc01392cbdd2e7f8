"""Which number a picture's file name gives it."""

from __future__ import annotations

import re
from collections.abc import Sequence

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


def without_own_number(names: Sequence[str]) -> list[str]:
    """The names that end in no number, or in that of an earlier one; [] if the numbers can be ids."""
    first: dict[int, str] = {}
    faults = []
    for name in names:
        number = last_number(name)
        if number is None:
            faults.append(name)
        elif (other := first.setdefault(number, name)) != name:
            faults.append(f"{name} ({number}, as {other})")
    return faults
