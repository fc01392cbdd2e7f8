"""The number that a file name gives a picture."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.pictures.picture_ids import last_number, without_own_number


@pytest.mark.parametrize(
    "name, number",
    [
        ("2.jpg", 2),
        ("000000000002.jpg", 2),
        ("COCO_mine_000000000002.jpg", 2),
        ("COCO_mine_2.jpg", 2),
        ("7/8/img-2.JPEG", 2),
        ("2021.photo.2.png", 2),
        ("0.jpg", 0),
        (f"{2**63 - 1}.jpg", 2**63 - 1),
        (f"{'0' * 5000}2.jpg", 2),
        (f"{2**63}.jpg", None),
        (f"{'9' * 5000}.jpg", None),
        ("cat.jpg", None),
        ("7/cat.jpg", None),
        ("2_cat.jpg", None),
        ("2 (copy).jpg", None),
        ("2.jpg.png", None),
        ("2\n.jpg", None),
        ("\uff12.jpg", None),  # a full-width 2
        ("\u0662.jpg", None),  # an Arabic 2
        ("\uff113.jpg", None),  # a full-width 1, then 3: a reader sees 13
    ],
)
def test_the_number_that_a_name_ends_in(name, number):
    assert last_number(name) == number


@given(
    head=st.text(st.characters(exclude_categories=["Cs", "Nd"], exclude_characters="/\0"), max_size=8),
    zeros=st.integers(0, 20),
    number=st.integers(0, 2**63 - 1),
    end=st.sampled_from(["jpg", "PNG", "tiff"]),
)
def test_whatever_stands_before_it_and_any_zeros(head, zeros, number, end):
    assert last_number(f"{head}{'0' * zeros}{number}.{end}") == number


@given(st.lists(st.sampled_from(["1.jpg", "01.jpg", "a/1.png", "2.jpg", "3.gif", "cat.jpg"]), unique=True))
def test_numbers_can_be_ids_only_if_every_name_has_one_of_its_own(names):
    numbers = [last_number(name) for name in names]
    faults = without_own_number(names)
    assert len(faults) == len(names) - len(set(numbers) - {None})
    assert ("cat.jpg" in faults) == ("cat.jpg" in names)


def test_a_double_is_named_with_the_other():
    assert without_own_number(["2.jpg", "b/02.jpg", "x.jpg"]) == ["b/02.jpg (2, as 2.jpg)", "x.jpg"]
