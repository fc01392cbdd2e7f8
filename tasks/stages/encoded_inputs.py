"""Encoded questions and the pictures that they are about, read together: what TrainModel and PredictAnswers share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from data.catalog import sources
from models.backbones.names import find_layer
from models.classifiers.names import sees_pictures
from tasks.contract.stage import Stage
from tasks.setup.experiment import check_shape, shape_of_node
from tasks.stages.extract import ExtractFeatures, Extracting, ExtractPart
from tasks.stages.part import ChoosePictures
from tasks.stages.text import EncodeQuestions

if TYPE_CHECKING:
    import numpy as np


def question_inputs(stage: Any, split: str) -> dict[str, Stage]:
    """The encoded questions of each part of `split`, and the features of their pictures if the model sees them."""
    dataset = sources.dataset(stage.dataset)
    needs: dict[str, Stage] = {}
    for part in dataset.parts(split):
        needs[f"questions-{part}"] = stage.clone(EncodeQuestions, split=part)
        if sees_pictures(stage.model):
            image_set = dataset.split(part).image_set
            features = (
                stage.clone(ExtractPart, split=part)
                if ChoosePictures.limit_of(stage, part)
                else stage.clone(ExtractFeatures, split=part, image_set=image_set)
            )
            _check_readable(features, stage.model)
            needs[f"features-{part}"] = features
    return needs


def _check_readable(features: Stage, model: str) -> None:
    """Refuse, before anything runs, a layer outside the table that the model can't read.

    If its features are there already, their manifest has the shape: the network takes seconds to tell it.
    """
    if not isinstance(features, Extracting) or find_layer(features.backbone, features.layer):
        return  # imported, or checked when the flags were
    manifest = features.state().manifest
    shape = manifest.facts.get("shape") if manifest else None
    shape = shape or shape_of_node(features.backbone, features.layer, features.image_size)
    check_shape(features.backbone, features.layer, model, tuple(shape))


@dataclass(frozen=True)
class Questions:
    """tokens (Q, 26) int32, question_ids and image_ids (Q,) int64, rows (Q,) int64 into `features` laid end to end.

    kept (A,) bool says which of all the encoded questions these are: those whose picture has features.
    features: one (N, ...) float16 array a part, or None; space: what the features are, for binding a model to them.
    """

    tokens: np.ndarray
    question_ids: np.ndarray
    image_ids: np.ndarray
    rows: np.ndarray
    kept: np.ndarray
    features: list[np.ndarray] | None
    space: str


def read_encoded_questions(stage: Stage, parts: tuple[str, ...]) -> Questions:
    """Read the inputs of `question_inputs`, without the questions whose pictures were left out of the features."""
    import numpy as np

    from data.pictures.feature_file import read_features
    from data.text.pairing import check_images
    from data.text.questions import read_encoded

    dataset = sources.dataset(stage.dataset)
    encoded = [read_encoded(stage.file(f"questions-{part}", "questions.h5")) for part in parts]
    tokens = np.concatenate([part.tokens for part in encoded])
    question_ids = np.concatenate([part.question_ids for part in encoded])
    image_ids = np.concatenate([part.image_ids for part in encoded])
    if f"features-{parts[0]}" not in stage.upstream:
        rows, kept = np.zeros(len(tokens), np.int64), np.ones(len(tokens), bool)
        return Questions(tokens, question_ids, image_ids, rows, kept, None, "none")
    stores = [read_features(stage.file(f"features-{part}", "features.h5")) for part in parts]
    rows_of_parts, before = [], 0
    for part, questions, store in zip(parts, encoded, stores, strict=True):
        # Only pictures that ExtractFeatures was allowed to leave out may be missing; any other id is an error.
        bad = stage.upstream[f"features-{part}"].manifest().facts["bad_images"]
        image_set = dataset.split(part).image_set
        rows = store.rows(questions.image_ids, missing=-1)
        if not np.isin(questions.image_ids[rows < 0], bad).all():
            there = [*store.image_ids.tolist(), *bad]
            check_images(questions.image_ids.tolist(), there, f"{part}: {image_set}")
        rows_of_parts.append(np.where(rows < 0, rows, rows + before))
        before += len(store.image_ids)
    rows = np.concatenate(rows_of_parts)
    kept = rows >= 0
    if not kept.all():
        stage.warn(f"{(~kept).sum():,} questions are about pictures without features and are left out")
    about = stores[0].attributes
    space = ", ".join(f"{name}={about[name]}" for name in ("backbone", "layer", "weights", "transform"))
    return Questions(
        tokens[kept],
        question_ids[kept],
        image_ids[kept],
        rows[kept],
        kept,
        [store.features for store in stores],
        space,
    )


def bound_to(stage: Stage, space: str) -> dict[str, str]:
    """What a model may be used with: its vocabulary and answers (one file), and the kind of its features."""
    return {"vocabulary and answers": stage.upstream["vocabulary"].manifest().digest, "features": space}
