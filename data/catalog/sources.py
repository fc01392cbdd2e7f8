"""Where every input comes from: the catalog's entries by name.

Standard library only, and only the catalog is read: stages call this while Luigi builds its graph.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

from data.base.files import SETTINGS_BYTES, check_plain
from data.catalog.entries import Catalog, Dataset, Glove, ImageSet, Source, find

CATALOG = Path(__file__).with_name("catalog.toml")
VARIABLE = "VQA_CATALOG"  # names a catalog to use instead of ours: a site's copy, or a test's


_added: list[Path] = []


def add(path: Path) -> None:
    """Put a TOML file of your own data beside the catalog; call it where luigi.cfg is read.

    DataError where it is not a plain file.
    """
    check_plain(path, SETTINGS_BYTES)
    real = Path(os.path.realpath(path))  # resolve() has no DataError for links that go in a circle
    if real not in _added:
        _added.append(real)


def catalog() -> Catalog:
    """The catalog in force: $VQA_CATALOG or ours, and what was added."""
    return _load(_shared(), *_added)


def shared_catalog() -> Catalog:
    """The same without what was added."""
    return _load(_shared())


def _shared() -> Path:
    return Path(os.environ.get(VARIABLE) or CATALOG)


def image_set(name: str) -> ImageSet:
    """The image set of this name, or a DataError that lists them."""
    return find(name, catalog().image_sets, "image set")


def dataset(name: str) -> Dataset:
    """The dataset of this name, or a DataError that lists them."""
    return find(name, catalog().datasets, "dataset")


def glove(name: str) -> Glove:
    """The vectors of this name (glove.6B.300d), or a DataError that lists them."""
    return find(name, catalog().gloves, "GloVe set")


def weights(backbone: str) -> Source:
    """The pretrained weights of a backbone, or a DataError that lists those that have some."""
    return find(backbone, catalog().weights, "backbone with pretrained weights")


def downloads() -> list[Source]:
    """Every file of the catalog that has addresses, once, in the order of the catalog."""
    known = catalog()
    splits = [split for dataset in known.datasets.values() for split in dataset.splits.values()]
    every = [image_set.source for image_set in known.image_sets.values()]
    every += [source for split in splits for source in (split.questions, split.annotations) if source]
    every += [glove.source for glove in known.gloves.values()] + list(known.weights.values())
    return list({source.urls: source for source in every if source.urls}.values())


@cache
def _load(*paths: Path) -> Catalog:
    from data.catalog.read_catalog import load

    return load(*paths)
