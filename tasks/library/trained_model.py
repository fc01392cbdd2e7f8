"""A trained model for any picture and question, with all that it was trained with."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.base.errors import DataError
from models.classifiers.names import CLASSIFIERS
from tasks.library.model_of_run import ModelOfRun, can_look
from tasks.library.model_origin import Origin
from tasks.library.trained_runs import Run, damaged_runs, find_run, trained_runs
from tasks.setup import settings

if TYPE_CHECKING:
    import numpy as np

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Answers:
    """What the model says to one question: answers with their probabilities, best first, and words that it never saw.

    attention: (glimpses, rows, columns) float16, each place's share, a glimpse's sum to 1; None for a model without.
    """

    question: str
    answers: list[tuple[str, float]]
    unknown_words: list[str]
    attention: np.ndarray | None = None


class Model:
    """A trained model, ready to be asked; its backbone is loaded with the first picture."""

    def __init__(self, origin: Origin) -> None:
        self.origin = origin
        self.classifier, self.config, self.vocabulary = origin.read()
        self._backbone: Any = None

    def ask(self, picture: Any, *questions: str | Sequence[str]) -> list[Answers]:
        """The five likeliest answers to each question about a picture.

        picture: its path, the bytes of its file, a PIL.Image, or a uint8 array (H, W, 3) or (H, W). questions: texts,
        or a list of them. DataError or ModelError where the picture can't be read, a question is empty, or what the
        model was trained with is gone.
        """
        import numpy as np

        from data.text.questions import encode_texts, unknown_words
        from models.devices import use_threads
        from models.prediction import predict

        texts = question_texts(questions)
        compute = settings.compute()
        use_threads(compute.threads)
        features = self._look(picture) if self.sees_pictures else None
        tokens, _ = encode_texts(texts, self.vocabulary)
        predictions = predict(
            self.classifier,
            tokens,
            np.zeros(len(tokens), np.int64),
            features,
            target=self.config["options"]["target"],
            device=compute.device,
            precision=compute.precision,
            glimpses=True,
        )
        maps = predictions.attention if predictions.attention is not None else [None] * len(texts)
        return [
            Answers(
                question,
                [
                    (self.vocabulary.answers[number], float(share))
                    for number, share in zip(classes.tolist(), shares, strict=True)
                ],
                unknown_words(question, self.vocabulary),
                attention,
            )
            for question, classes, shares, attention in zip(
                texts, predictions.top_classes, predictions.top_probabilities, maps, strict=True
            )
        ]

    def check_attends(self) -> None:
        """DataError for a model that can't say where it looked."""
        from models.classifiers.interface import PlacesClassifier

        if not isinstance(self.classifier, PlacesClassifier):
            able = [name for name, entry in CLASSIFIERS.items() if entry.reads == "grid"]
            raise DataError(
                f"{self.origin.name} has no attention, so it can't say where it looked; ask a run of {', '.join(able)}"
            )

    @property
    def sees_pictures(self) -> bool:
        return bool(self.classifier.sees_pictures)

    def prepare(self) -> None:
        """Load the backbone now instead of with the first picture."""
        if self.sees_pictures and self._backbone is None:
            self._backbone = self._load_backbone()

    def _look(self, picture: Any) -> Any:
        """(1, *shape) float16 features of the picture."""
        from data.pictures.given_pictures import given
        from models.backbones.extraction import extract

        name, content = given(picture)
        self.prepare()
        rows = extract(self._backbone, [content], batch=1)
        if rows.bad:
            raise DataError(f"{name}: {rows.bad[0]}")
        return rows.features

    def _load_backbone(self) -> Any:
        """The backbone of the features that the model was trained on; refused where it can't be the same."""
        from models.backbones.load import load_backbone
        from models.devices import pick_device, pick_precision

        view, compute = self.origin.view(), settings.compute()
        device = pick_device(compute.device)
        precision = pick_precision(device, compute.precision)
        backbone = load_backbone(view.backbone, view.layer, view.weights, device, precision, view.size)
        self._check_features(backbone, view.weights)
        return backbone

    def _check_features(self, backbone: Any, weights: str) -> None:
        """DataError where the backbone does not yield what the classifier reads; a file of weights has been hashed."""
        wanted, space = tuple(self.classifier.features), str(self.config["bound"].get("features"))
        drawn = f"weights={weights}, " if weights.startswith("random:") else ""
        here = f"{drawn}transform={backbone.transform}"
        if backbone.shape != wanted or not space.endswith(here):
            raise DataError(
                f"{self.origin.name} reads features of {wanted} ({space}); {backbone.name} gives "
                f"{backbone.shape} here, with {here}: use the version that trained it"
            )


def question_texts(questions: Sequence[object]) -> list[str]:
    """The questions, given one by one or as lists. DataError for one that is empty or not a text."""
    texts: list[Any] = []
    for question in questions:
        texts += question if isinstance(question, list | tuple) else [question]
    for text in texts:
        if not isinstance(text, str):
            raise DataError(f"a question is {text!r:.60}; expected a text, or a list of texts")
    if not texts or not all(text.strip() for text in texts):
        what = "an empty question" if texts else "no question"
        raise DataError(f"{what}; ask something, such as: What colour is the bus?")
    return texts


def load_model(run: str | Path = "") -> Model:
    """The newest trained model that can look at new pictures, or that of `run`: a name of `python -m pipeline runs`, or
    a file of `export-model`, whose name ends in .zip.

    Where none is named, damaged ones are skipped, with a line in the log. DataError where there is none.
    """
    name = os.path.expanduser(run)
    if name.lower().endswith(".zip"):
        from tasks.library.model_file import read_model_file

        return Model(read_model_file(Path(name)))
    return Model(ModelOfRun(chosen_run(name)))


def chosen_run(name: str) -> Run:
    """The run of this name; for "" the newest that can look at new pictures. DataError where there is none."""
    able = [] if name else [candidate for candidate in trained_runs() if can_look(candidate)]
    chosen = able[0] if able else find_run(name)
    for folder, why in damaged_runs().items() if not name else ():
        logger.warning("%s: %s; asking %s", folder, why, chosen.name)
    return chosen
