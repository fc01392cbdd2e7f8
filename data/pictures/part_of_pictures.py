"""A part of the pictures: which, the same wherever it is asked."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping

SEED = 0
"""Constant, whatever --seed is: so a larger part contains the smaller ones, and uses what they have fetched."""


def choose_part(image_ids: Mapping[str, Collection[int]], count: int) -> dict[str, list[int]]:
    """Of the pictures of several splits together the `count` with the smallest sha256 of "0:image_id", by split.

    Each split's ids ascend. 0, or as many as there are or more: all.
    """
    every = [(split, number) for split, numbers in image_ids.items() for number in set(numbers)]
    every.sort(key=lambda pair: (hashlib.sha256(f"{SEED}:{pair[1]}".encode()).digest(), pair))
    picked = every[: count or None]
    return {split: sorted(number for of, number in picked if of == split) for split in image_ids}
