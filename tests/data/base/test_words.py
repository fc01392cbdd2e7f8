"""Words for people."""

from __future__ import annotations

import pytest

from data.base.words import nearest


@pytest.mark.parametrize(
    ("name", "cutoff", "near"),
    [("trian", 0.6, "train"), ("x", 0.6, ""), ("tr", 0.3, "train"), ("tr", 0.9, "")],
)
def test_the_nearest_name_or_none(name, cutoff, near):
    assert nearest(name, ["val", "train", "test2015"], cutoff) == near
