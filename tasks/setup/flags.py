"""The flags of all stages: each defined once, so that it means the same wherever it appears.

A flag that is not given takes its value from where experiment.py says, the default here being the last. That happens
before Luigi names the task, so plans, manifests and fingerprints always show the value in force.
"""

from __future__ import annotations

from typing import Any, ClassVar

from data.catalog import sources
from models.backbones import names
from models.classifiers.names import CLASSIFIERS, ignored_flags
from models.training.choices import OPTIMISERS, SCHEDULES, TARGETS
from tasks.setup.flag_kinds import (
    NO_GLOVE,
    Flag,
    InputsFlag,
    WeightsFlag,
    backbone_name,
    catalogued,
    one_of,
    picture_counts,
    real,
    share,
    side,
    switch,
    vectors,
    weights_of,
    whole,
)

POSITIVE = "expected a whole number of at least 1, at most 1000000000"
UNITS = "expected a whole number from 1 to 65536"

# What is looked at and asked
DATASET = Flag(
    catalogued(sources.dataset),
    "sample",
    "dataset of the catalog: sample, vqa-v1, vqa-v2, or one of your own",
)
IMAGE_SET = Flag(
    catalogued(sources.image_set),
    "sample-train",
    "image set of the catalog: train2014, val2014, test2015, ...",
)
SPLIT = Flag(one_of("train", "val", "test"), "train", "split: train, val or test")
TRAIN_SPLIT = Flag(one_of("train", "trainval"), "train", "split to learn from: train or trainval")
EVAL_SPLIT = Flag(one_of("val", "test"), "val", "split to predict and judge: val, or test (no answers known)")
TASK = Flag(one_of("open-ended", "multiple-choice"), "open-ended", "open-ended or multiple-choice")
BASELINE = Flag(
    one_of("none", "language-only"),
    "none",
    "language-only: also train and judge that model under the same flags, as one more baseline beside the priors",
)
LIMIT_PICTURES = InputsFlag(
    picture_counts,
    "0",
    "a part of the data: N pictures of the training split and what is asked about them, or N,M with M of the judged "
    "one; 0: all",
)
PICTURE_WORTH = Flag(
    switch,
    False,
    "what pictures are worth: also judge the model with pictures exchanged among questions, and with the mean picture",
)
SIZE = Flag(one_of("sample", "tiny"), "sample", "sample, or tiny: a few pictures for tests")
# Features
BACKBONE = Flag(
    backbone_name, "vgg16", "network whose features are extracted: vgg16, vgg19, resnet50, resnet152, ..."
)
LAYER = Flag(str, "", "layer of the backbone; empty for the backbone's own, such as vgg16's fc7")
IMAGE_SIZE = Flag(
    side,
    "",
    "rows and columns of pixels that a picture is resized to, such as 448; empty: the backbone's own",
    "expected a whole number of at least 1, or nothing",
)
WEIGHTS = WeightsFlag(weights_of, "pretrained", "pretrained, random:SEED, or a .pth or .safetensors file")
# Words
ANSWERS = Flag(whole(1), 1000, "how many of the commonest answers become classes", POSITIVE)
GLOVE = Flag(
    vectors,
    "glove.6B.300d",
    "word vectors: glove.6B.50d, 100d, 200d, 300d, glove.840B.300d; none: random ones, which are trained",
)
# The classifier and its training
MODEL = Flag(one_of(*CLASSIFIERS), "deeper-lstm", f"classifier: {', '.join(CLASSIFIERS)}")
TARGET = Flag(
    one_of(*TARGETS),
    "consensus",
    f"what is learnt: {', '.join(f'{name}, {what}' for name, what in TARGETS.items())}",
)
EPOCHS = Flag(whole(1), 10, "passes over the training questions", POSITIVE)
BATCH_SIZE = Flag(whole(1), 256, "questions a step", POSITIVE)
LEARNING_RATE = Flag(real(1e-12, 1e3), 1e-3, "learning rate", "expected a number above 0")
OPTIMISER = Flag(one_of(*OPTIMISERS), "rmsprop", f"{', '.join(OPTIMISERS)}; rmsprop is Keras's")
LR_SCHEDULE = Flag(one_of(*SCHEDULES), "constant", f"learning rate over time: {', '.join(SCHEDULES)}")
DROPOUT = Flag(real(0, 0.99), 0.5, "share of units dropped in training", "expected a number from 0 to 0.99")
HIDDEN = Flag(whole(1, 65536), 512, "units of each LSTM", UNITS)
JOINT = Flag(whole(1, 65536), 1024, "units where question and picture meet", UNITS)
SEED = Flag(
    whole(0, names.LARGEST_SEED),
    0,
    "seed of initial weights, order and dropout",
    f"expected a whole number from 0 to {names.LARGEST_SEED}",
)
LIMIT_QUESTIONS = Flag(
    whole(0),
    0,
    "train on the first N questions only; 0: all",
    "expected a whole number from 0 to 1000000000",
)
HOLD_OUT = Flag(
    share,
    0.0,
    "share of the training pictures that is not trained on but judged after each epoch: the model is that of the best "
    "epoch; 0: none, and it is that of the last",
    "expected a share of at least 0 and below 1, such as 0.1",
)
STANDARDISE = Flag(
    switch, False, "bring each channel of the features to mean 0 and deviation 1 over the training pictures"
)
FINE_TUNE_EMBEDDINGS = Flag(switch, False, "train the word vectors too")


class PictureFlags:
    """How a picture is viewed."""

    backbone = BACKBONE
    layer = LAYER
    image_size = IMAGE_SIZE
    weights = WEIGHTS

    neutral: ClassVar[dict[str, Any]] = {"image_size": ""}


class PartFlags:
    """How much of the data there is."""

    limit_pictures = LIMIT_PICTURES

    neutral: ClassVar[dict[str, Any]] = {"limit_pictures": "0"}


class ModelFlags:
    """The model and how it is trained."""

    model = MODEL
    target = TARGET
    epochs = EPOCHS
    batch_size = BATCH_SIZE
    learning_rate = LEARNING_RATE
    optimiser = OPTIMISER
    lr_schedule = LR_SCHEDULE  # as `schedule`, Luigi would take it for an abbreviated --scheduler-...
    dropout = DROPOUT
    hidden = HIDDEN
    joint = JOINT
    seed = SEED
    limit_questions = LIMIT_QUESTIONS
    fine_tune_embeddings = FINE_TUNE_EMBEDDINGS
    standardise = STANDARDISE
    hold_out = HOLD_OUT

    neutral: ClassVar[dict[str, Any]] = {"standardise": False, "hold_out": 0.0}

    def ignored(self) -> tuple[str, ...]:
        """The flags that change nothing for the model."""
        return ignored_flags(self.model)


class TrainingFlags(ModelFlags, PictureFlags, PartFlags):
    """What decides a trained model."""

    dataset = DATASET
    train_split = TRAIN_SPLIT
    answers = ANSWERS
    glove = GLOVE

    def ignored(self) -> tuple[str, ...]:
        drawn = (
            ("fine_tune_embeddings",) if self.glove == NO_GLOVE else ()
        )  # random vectors have to be trained
        return (*super().ignored(), *drawn)


class ExperimentFlags(TrainingFlags):
    """What decides a model's evaluation."""

    eval_split = EVAL_SPLIT
    task = TASK
