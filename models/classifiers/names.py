"""The models that answer questions, by name: what each reads and how it was published. Standard library only.

To add a classifier, write its class in a file of this folder (interface.py says what a class has) and add a line here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from data.base.errors import ModelError

Reads = Literal["none", "vector", "grid"]
PICTURE_FLAGS = ("backbone", "layer", "image_size", "weights")
SHAPES = {"none": "no picture", "vector": "one vector a picture", "grid": "a grid of vectors a picture"}


@dataclass(frozen=True)
class Entry:
    """A classifier: the class `name` in `file` of this folder.

    reads: what it takes of a picture: none, a vector (F,), or a grid (rows, columns, channels).
    recipe: the defaults of other flags, as typed, where they are not the flags' own.
    ignores: flags that change nothing for it, besides those of pictures for a model that reads none.
    words: how many words of a question it reads, from the first; 0: all.
    sizes: of the published model, what no flag sets; training: fields of TrainingOptions that no flag sets.
    like: the model whose defaults in a dataset also hold for this one.
    """

    file: str
    name: str
    reads: Reads
    recipe: Mapping[str, str] = field(default_factory=dict)
    ignores: tuple[str, ...] = ()
    words: int = 0
    sizes: Mapping[str, int] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    like: str = ""


MCAN = {
    "backbone": "resnet152",
    "layer": "grid",
    "answers": "3129",
    "glove": "glove.840B.300d",
    "fine_tune_embeddings": "true",
    "target": "soft",
    "epochs": "13",
    "batch_size": "64",
    "optimiser": "adam",
    "lr_schedule": "warm-up",
    "dropout": "0.1",
}
MCAN_SIZES = {"layers": 6, "heads": 8, "flat": 512}
MCAN_TRAINING = {"summed": True, "whole_batches": True, "second_beta": 0.98, "epsilon": 1e-9}

CLASSIFIERS: dict[str, Entry] = {
    "deeper-lstm": Entry("deeper_lstm.py", "DeeperLstm", "vector"),
    "language-only": Entry("deeper_lstm.py", "LanguageOnly", "none", like="deeper-lstm"),
    "bag-of-words": Entry(
        "deeper_lstm.py", "BagOfWords", "vector", ignores=("hidden",), like="deeper-lstm"
    ),  # it has no LSTM
    "saaa": Entry(
        "saaa.py",
        "Saaa",
        "grid",
        recipe={
            "backbone": "resnet152",
            "layer": "grid",
            "image_size": "448",
            "answers": "3000",
            "glove": "none",
            "fine_tune_embeddings": "true",
            "target": "shares",
            "epochs": "50",
            "batch_size": "128",
            "learning_rate": "1e-3",
            "optimiser": "adam",
            "lr_schedule": "half-life",
            "dropout": "0.5",
            "hidden": "1024",
            "joint": "1024",
        },
        sizes={"glimpses": 2, "attention": 512},
    ),
    "top-down": Entry(
        "top_down.py",
        "TopDown",
        "grid",
        recipe={
            "backbone": "resnet152",
            "layer": "grid",
            "answers": "3129",
            "glove": "glove.6B.300d",
            "fine_tune_embeddings": "true",
            "target": "soft",
            "epochs": "30",
            "batch_size": "512",
            "learning_rate": "2e-3",
            "optimiser": "adamax",
            "dropout": "0.5",
            "hidden": "1024",
            "joint": "1024",
        },
        words=14,
        training={"clip": 0.25},
    ),
    "mcan-small": Entry(
        "mcan.py",
        "Mcan",
        "grid",
        recipe={**MCAN, "learning_rate": "1e-4", "hidden": "512", "joint": "1024"},
        words=14,
        sizes=MCAN_SIZES,
        training=MCAN_TRAINING,
    ),
    "mcan-large": Entry(
        "mcan.py",
        "Mcan",
        "grid",
        recipe={**MCAN, "learning_rate": "7e-5", "hidden": "1024", "joint": "2048"},
        words=14,
        sizes=MCAN_SIZES,
        training=MCAN_TRAINING,
        like="mcan-small",
    ),
}


def ignored_flags(model: str) -> tuple[str, ...]:
    """The flags that change nothing for a model: they are left out of its artifacts' fingerprints."""
    entry = CLASSIFIERS[model]
    return entry.ignores if sees_pictures(model) else (*PICTURE_FLAGS, "standardise", *entry.ignores)


def sees_pictures(model: str) -> bool:
    """Whether the model reads features of pictures at all."""
    return CLASSIFIERS[model].reads != "none"


def can_read(model: str, shape: tuple[int, ...]) -> bool:
    """Whether the model reads features of this shape: (F,) for vectors, (rows, columns, channels) for grids."""
    return not sees_pictures(model) or shape_kind(shape) == CLASSIFIERS[model].reads


def shape_kind(shape: tuple[int, ...]) -> str:
    """What features of this shape are: vector, grid, or a word that no model reads."""
    return {1: "vector", 3: "grid"}.get(len(shape), "other")


def check_features(model: str, shape: tuple[int, ...]) -> None:
    """Raise ModelError where the model can't read features of this shape."""
    if not can_read(model, shape):
        shown = " x ".join(map(str, shape)) or "none"
        raise ModelError(f"{model} reads {SHAPES[CLASSIFIERS[model].reads]}, but these features are {shown}.")
