"""The rule by which an image set gives its pictures ids (see entries.ImageSet): the questions about them decide."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from data.base.errors import DataError
from data.catalog.entries import IDS, Catalog, Dataset, Ids, Split


def settle_ids(whole: Catalog, path: Path) -> None:
    """Give each image set without COCO's names the strictest rule that its questions need.

    DataError, naming the catalog file `path`, if questions were converted with the ids of a set that has another rule.
    """
    splits = [split for dataset in whole.datasets.values() for split in dataset.splits.values()]
    for split in splits:
        images = whole.image_sets[split.image_set]
        if not images.prefix:
            ids = max(images.ids, _rule_needed(split, whole), key=IDS.index)
            whole.image_sets[images.name] = replace(images, ids=ids)
    for split in splits:
        _check_converted(split, whole, path)


def _rule_needed(split: Split, whole: Catalog) -> Ids:
    if not (split.questions.made_by or "").startswith("own:"):
        return "numbers"
    maker = _maker(split, whole)
    return "numbers or paths" if maker and maker.own and maker.own.annotations else "paths"


def _maker(split: Split, whole: Catalog) -> Dataset | None:
    """The dataset of your own whose converted questions a split reads."""
    kind, _, name = (split.questions.made_by or "").partition(":")
    return whole.datasets.get(name) if kind == "own" else None


def _check_converted(split: Split, whole: Catalog, path: Path) -> None:
    maker, images = _maker(split, whole), whole.image_sets[split.image_set]
    theirs = [whole.image_sets[of.image_set] for of in maker.splits.values()] if maker else []
    if theirs and not images.prefix and images.ids not in {of.ids for of in theirs}:
        raise DataError(
            f"{path}: {split.questions.name}: made by {split.questions.made_by} with the ids of image set "
            f"{theirs[0].name}, and {images.name} gives ids by another rule; write image_set = {theirs[0].name!r}"
        )
