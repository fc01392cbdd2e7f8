"""A trained model for anyone's picture and question, with all that it was trained with: by its manifests alone."""

from __future__ import annotations

import logging
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.base.errors import DataError
from data.base.files import PICTURE_BYTES, read_plain
from tasks.library.trained_runs import (
    Run,
    check_bytes,
    command,
    damaged_runs,
    find_run,
    input_of,
    trained_runs,
)
from tasks.setup import settings
from tasks.stages.train import TrainModel

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Answers:
    """What the model says to one question: answers with their probabilities, best first, and words it never saw."""

    question: str
    answers: list[tuple[str, float]]
    unknown_words: list[str]


class Model:
    """A trained model, ready to be asked; its backbone is loaded with the first picture."""

    def __init__(self, run: Run) -> None:
        from data.text.questions import Vocabulary
        from models.checkpoints import load_model as load

        self.run = run
        check_bytes(run, run.folder)
        self.classifier, self.config = load(run.folder)
        path = check_bytes(run, input_of(run, "vocabulary")) / "vocabulary.json"
        self.vocabulary = Vocabulary.from_json(path.read_text(encoding="utf-8"))
        self._backbone: Any = None

    def ask(self, picture: Path | str | bytes, *questions: str) -> list[Answers]:
        """The five likeliest answers to each question about a picture: its path, or the bytes of its file.

        DataError or ModelError where the picture can't be read, a question is empty, or what the model was
        trained with is gone.
        """
        import numpy as np

        from data.text.questions import encode_texts, unknown_words
        from models.devices import use_threads
        from models.prediction import predict

        if not questions or not all(question.strip() for question in questions):
            raise DataError("an empty question; ask something, such as: What colour is the bus?")
        compute = settings.compute()
        use_threads(compute.threads)
        features = self._look(picture) if self.sees_pictures else None
        tokens, _ = encode_texts(questions, self.vocabulary)
        found = predict(
            self.classifier,
            tokens,
            np.zeros(len(tokens), np.int64),
            features,
            target=self.config["options"]["target"],
            device=compute.device,
            precision=compute.precision,
        )
        return [
            Answers(
                question,
                [
                    (self.vocabulary.answers[number], float(share))
                    for number, share in zip(classes.tolist(), shares, strict=True)
                ],
                unknown_words(question, self.vocabulary),
            )
            for question, classes, shares in zip(
                questions, found.top_classes, found.top_probabilities, strict=True
            )
        ]

    @property
    def sees_pictures(self) -> bool:
        return self.classifier.image is not None

    def prepare(self) -> None:
        """Load the backbone now instead of with the first picture."""
        if self.sees_pictures and self._backbone is None:
            self._backbone = self._load_backbone()

    def _look(self, picture: Path | str | bytes) -> Any:
        """(1, *shape) float16 features of the picture."""
        from models.backbones.extraction import extract

        content, name = picture, "the picture"
        if not isinstance(content, bytes):
            name = os.path.expanduser(str(picture))
            content = read_plain(Path(name), PICTURE_BYTES)
        self.prepare()
        rows = extract(self._backbone, [content], batch=1)
        if rows.bad:
            raise DataError(f"{name}: {rows.bad[0]}")
        return rows.features

    def _load_backbone(self) -> Any:
        """The backbone whose features the model was trained on; refused where it can't be the same."""
        from models.backbones.load import load_backbone
        from models.devices import pick_device, pick_precision

        flags = self.run.parameters
        features = min(_features(self.run))
        input_of(self.run, features)
        if not can_look(self.run):
            raise DataError(
                f"{self.run.name} was trained on imported features: the network that made them is not here, so it "
                "can't look at other pictures; ask a model that was trained on features of ExtractFeatures"
            )
        compute = settings.compute()
        device = pick_device(compute.device)
        precision = pick_precision(device, compute.precision)
        weights = self._weights(features)
        return load_backbone(flags["backbone"], flags["layer"], weights, device, precision)

    def _weights(self, features: str) -> str:
        """random:SEED, or a file that has the very sha256 that the features name."""
        from data.base.hashes import sha256_file
        from data.download.local_copies import check_weights_file

        weights = str(self.run.parameters["weights"])
        if weights.startswith("random:"):
            return weights
        if weights == "pretrained":
            folder = check_bytes(self.run, input_of(self.run, features, "weights"))
            return str(next(path for path in folder.iterdir() if path.suffix in (".pth", ".safetensors")))
        recorded = re.search(r"weights=([0-9a-f]+)", self.config["bound"]["features"])
        if os.path.lexists(weights):
            check_weights_file(Path(weights))
        if not Path(weights).is_file() or recorded is None or sha256_file(Path(weights)) != recorded[1]:
            raise DataError(
                f"{weights}: not the weights that {self.run.name} was trained with, or gone; put back the file that "
                f"has sha256 {recorded[1] if recorded else 'unknown'}, or train again: {command(self.run, TrainModel)}"
            )
        return weights


def _features(run: Run) -> dict[str, str]:
    """The inputs of a run that are features, with the stage that made each."""
    inputs = run.manifest["inputs"].items()
    return {name: Path(used["path"]).parent.name for name, used in inputs if name.startswith("features-")}


def can_look(run: Run) -> bool:
    """Whether new pictures can be shown to a run's model: not where its features were imported."""
    return set(_features(run).values()) <= {"extract-features"}


def load_model(run: str = "") -> Model:
    """The newest trained model that can look at new pictures, or that of `run`: a name of `python -m pipeline runs`.

    Where none is named, damaged ones are left aside, which the log says.
    """
    able = [] if run else [one for one in trained_runs() if can_look(one)]
    chosen = able[0] if able else find_run(run)
    for folder, why in damaged_runs().items() if not run else ():
        logger.warning("%s: %s; asking %s", folder, why, chosen.name)
    return Model(chosen)
