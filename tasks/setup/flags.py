"""The flags of all stages: each defined once, so that it means the same wherever it appears.

A flag that is not given takes its value from luigi.cfg's [experiment], then from the dataset's (or image set's)
catalog entry, then from the default here. `Stage` fills it in before Luigi names the task, so plans, manifests and
fingerprints always show the value in force.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import luigi

from data.base.errors import DataError, ModelError
from data.base.hashes import file_identity
from data.catalog import sources
from data.download.local_copies import WEIGHTS as WEIGHTS_FILES
from data.download.local_copies import check_weights_file
from models.backbones import names
from models.classifiers.names import IGNORED
from tasks.setup.stage_progress import StageProgress
from tasks.setup.user_errors import nearest, refuse


class Flag(luigi.Parameter):
    """A flag with one value, checked while it is read: a wrong one ends in a single line."""

    def __init__(self, kind: Callable[[str], Any], default: Any, about: str, expected: str = "") -> None:
        shown = "off" if default is False else default
        super().__init__(
            default=None, positional=False, description=f"{about} (default: {shown})".replace("%", "%%")
        )
        self.kind, self.default, self.about, self.expected = kind, default, about, expected

    def parse(self, text: Any) -> Any:
        """A command line's or a file's text to the value; ends with one line where that can't be done."""
        try:
            return self.kind(str(text))
        except ValueError as error:
            flag = self._attribute_name.replace("_", "-")
            refuse(f"--{flag} {text}: {self.expected or error}")

    def normalize(self, value: Any) -> Any:
        """The same check for a value given from Python."""
        return value if value is None else self.parse(self.serialize(value))

    def identity(self, value: Any, known: Path) -> Any:
        """What of a value decides the content of an artifact. `known`: a file of hashes already known."""
        return value

    def _parser_kwargs(self, name: str, task: str | None = None) -> dict[str, Any]:  # type: ignore[override]
        kwargs = super()._parser_kwargs(name, task)
        return kwargs | ({"nargs": "?", "const": "true"} if self.kind is _switch else {})


class WeightsFlag(Flag):
    """Weights of a backbone; a file counts by its content, wherever it lies and however its path is spelt."""

    def identity(self, value: str, known: Path) -> str:
        if not value.endswith(WEIGHTS_FILES):
            return value
        try:
            with StageProgress(None, f"hashing {Path(value).name}", "bytes") as progress:
                return file_identity(Path(value), known, progress)
        except DataError as error:  # asked while Luigi builds its graph, where it would print a traceback
            refuse(f"--weights {error}")


def _switch(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError("expected true or false")
    return text.lower() == "true"


def _whole(least: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        number = int(text)
        if number < least:
            raise ValueError
        return number

    return parse


def _real(low: float, high: float) -> Callable[[str], float]:
    def parse(text: str) -> float:
        number = float(text)
        if not (math.isfinite(number) and low <= number <= high):
            raise ValueError
        return number

    return parse


def _one_of(*names: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in names:
            raise ValueError(f"unknown; {nearest(text, list(names))}")
        return text

    return parse


def _known(find: Callable[[str], Any]) -> Callable[[str], str]:
    """A name of the catalog; the error lists those there are."""

    def parse(text: str) -> str:
        try:
            return str(find(text).name)
        except DataError as error:
            raise ValueError(str(error)) from None

    return parse


def _backbone(text: str) -> str:
    try:
        names.check_backbone(text)
    except ModelError as error:
        raise ValueError(str(error)) from None
    return text


def _weights(text: str) -> str:
    try:
        names.check_weights(text)
    except ModelError as error:
        raise ValueError(str(error)) from None
    if text.endswith(WEIGHTS_FILES):
        return os.path.abspath(text)
    return f"random:{int(text.removeprefix('random:'))}" if text != "pretrained" else text  # 07 is 7


POSITIVE = "expected a whole number of at least 1"

# What is looked at and asked
DATASET = Flag(
    _known(sources.dataset), "sample", "dataset of the catalog: sample, vqa-v1, vqa-v2, or one of your own"
)
IMAGE_SET = Flag(
    _known(sources.image_set), "sample-train", "image set of the catalog: train2014, val2014, test2015, ..."
)
SPLIT = Flag(_one_of("train", "val", "test"), "train", "split: train, val or test")
TRAIN_SPLIT = Flag(_one_of("train", "trainval"), "train", "split to learn from: train or trainval")
EVAL_SPLIT = Flag(
    _one_of("val", "test"), "val", "split to predict and judge: val, or test (no answers known)"
)
TASK = Flag(_one_of("open-ended", "multiple-choice"), "open-ended", "open-ended or multiple-choice")
BASELINE = Flag(
    _one_of("none", "language-only"),
    "none",
    "language-only: also train and judge that model under the same flags, as one more line to beat beside the priors",
)
SIZE = Flag(_one_of("sample", "tiny"), "sample", "sample, or tiny: a few pictures for tests")
# Features
BACKBONE = Flag(
    _backbone, "vgg16", "network whose features are extracted: vgg16, vgg19, resnet50, resnet152, ..."
)
LAYER = Flag(str, "", "layer of the backbone; empty for the backbone's own, such as vgg16's fc7")
WEIGHTS = WeightsFlag(_weights, "pretrained", "pretrained, random:SEED, or a .pth or .safetensors file")
# Words
ANSWERS = Flag(_whole(1), 1000, "how many of the commonest answers become classes", POSITIVE)
GLOVE = Flag(_known(sources.glove), "glove.6B.300d", "word vectors: glove.6B.50d, 100d, 200d, 300d")
# The classifier and its training
MODEL = Flag(
    _one_of(*IGNORED),
    "deeper-lstm",
    "classifier: deeper-lstm, language-only or bag-of-words",
)
TARGET = Flag(
    _one_of("consensus", "soft"),
    "consensus",
    "what is learnt: the consensus answer, or each answer's official score",
)
EPOCHS = Flag(_whole(1), 10, "passes over the training questions", POSITIVE)
BATCH_SIZE = Flag(_whole(1), 256, "questions a step", POSITIVE)
LEARNING_RATE = Flag(_real(1e-12, 1e3), 1e-3, "learning rate", "expected a number above 0")
OPTIMISER = Flag(_one_of("rmsprop", "adamw"), "rmsprop", "rmsprop (as Keras has it) or adamw")
LR_SCHEDULE = Flag(_one_of("constant", "cosine"), "constant", "learning rate over time: constant or cosine")
DROPOUT = Flag(_real(0, 0.99), 0.5, "share of units dropped in training", "expected a number from 0 to 0.99")
HIDDEN = Flag(_whole(1), 512, "units of each LSTM", POSITIVE)
JOINT = Flag(_whole(1), 1024, "units where question and picture meet", POSITIVE)
SEED = Flag(_whole(0), 0, "seed of initial weights, order and dropout", "expected a whole number from 0")
LIMIT_QUESTIONS = Flag(
    _whole(0), 0, "train on the first N questions only; 0: all", "expected a whole number from 0"
)
FINE_TUNE_EMBEDDINGS = Flag(_switch, False, "train the word vectors too")


class TrainingFlags:
    """What decides a trained model."""

    def ignored(self) -> tuple[str, ...]:
        """The flags that change nothing for the model."""
        return IGNORED[self.model]

    dataset = DATASET
    train_split = TRAIN_SPLIT
    backbone = BACKBONE
    layer = LAYER
    weights = WEIGHTS
    answers = ANSWERS
    glove = GLOVE
    model = MODEL
    target = TARGET
    epochs = EPOCHS
    batch_size = BATCH_SIZE
    learning_rate = LEARNING_RATE
    optimiser = OPTIMISER
    lr_schedule = LR_SCHEDULE  # as `schedule`, luigi would take it for the start of --scheduler-...
    dropout = DROPOUT
    hidden = HIDDEN
    joint = JOINT
    seed = SEED
    limit_questions = LIMIT_QUESTIONS
    fine_tune_embeddings = FINE_TUNE_EMBEDDINGS


class ExperimentFlags(TrainingFlags):
    """What decides a model's evaluation."""

    eval_split = EVAL_SPLIT
    task = TASK


def settled(values: dict[str, Any]) -> dict[str, str]:
    """Flags that a ready-made dataset leaves no choice in, whatever [experiment] says."""
    ready_made = sources.dataset(values["dataset"]).ready_made if values.get("dataset") else None
    return ready_made.settles if ready_made else {}


def check_settled(values: dict[str, Any], flags: dict[str, Any]) -> None:
    """A flag that would do nothing is refused: it would only move paths."""
    for name, text in settled(values).items():
        if name in values and values[name] != flags[name].parse(text):
            flag = f"--{name.replace('_', '-')}"
            refuse(
                f"{flag} {values[name]}: {values['dataset']} is ready-made and has {flag} {text}; leave it out"
            )


def check_weights(weights: str) -> None:
    """Refuse a file that can't hold weights, before anything runs."""
    if weights.endswith(WEIGHTS_FILES):
        try:
            check_weights_file(Path(weights))
        except DataError as error:
            refuse(f"--weights {error}")


@cache
def settled_layer(backbone: str, layer: str) -> str:
    """The layer, or for "" the backbone's default. A name that a backbone of our table lacks is refused before
    gigabytes are downloaded for it.

    That costs the import of torch where the table does not name the layer. The layers of torchvision's other
    networks are checked when the network is built: it would cost the same with each command, and most are right.
    """
    try:
        layer = layer or names.default_layer(backbone)
        if backbone in names.BACKBONES and not names.find_layer(backbone, layer):
            from models.backbones.load import stored_shape

            stored_shape(backbone, layer)
    except ModelError as error:
        refuse(str(error))
    return layer
