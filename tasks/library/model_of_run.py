"""A trained model out of the artifacts of this machine, found by its manifests alone."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.base.errors import DataError
from tasks.library.model_origin import Judgement, View
from tasks.library.trained_runs import Run, check_bytes, command, input_of
from tasks.stages.extract import ExtractFeatures, ExtractPart
from tasks.stages.train import TrainModel

if TYPE_CHECKING:
    from data.text.questions import Vocabulary
    from models.classifiers.interface import Classifier
    from tasks.library.examples import Examples

TENSORS = (".pth", ".safetensors")


@dataclass(frozen=True)
class ModelOfRun:
    """The model of a run; see Origin."""

    run: Run

    @property
    def name(self) -> str:
        return self.run.name

    @property
    def parameters(self) -> Mapping[str, Any]:
        return self.run.parameters

    def read(self) -> tuple[Classifier, dict[str, Any], Vocabulary]:
        from data.text.questions import Vocabulary
        from models.checkpoints import load_model

        check_bytes(self.run, self.run.folder)
        classifier, config = load_model(self.run.folder)
        text = self.vocabulary_file().read_text(encoding="utf-8")
        return classifier, config, Vocabulary.from_json(text)

    def vocabulary_file(self) -> Path:
        """The vocabulary that it was trained with, hashed."""
        return check_bytes(self.run, input_of(self.run, "vocabulary")) / "vocabulary.json"

    def view(self) -> View:
        flags = self.parameters
        return View(flags["backbone"], flags["layer"], flags.get("image_size") or None, self._weights())

    def _weights(self) -> str:
        features = min(_features(self.run))
        input_of(self.run, features)
        check_can_look(self.run)
        weights = str(self.parameters["weights"])
        if weights.startswith("random:"):
            return weights
        if weights == "pretrained":
            folder = check_bytes(self.run, input_of(self.run, features, "weights"))
            return str(next(path for path in folder.iterdir() if path.suffix in TENSORS))
        return self._own_weights(weights)

    def _own_weights(self, weights: str) -> str:
        """A file with the sha256 that the features name."""
        from data.base.hashes import sha256_file
        from data.download.local_copies import check_weights_file

        recorded = recorded_hash((self.run.folder / "config.json").read_text(encoding="utf-8"))
        if os.path.lexists(weights):
            check_weights_file(Path(weights))
        if not recorded or not Path(weights).is_file() or sha256_file(Path(weights)) != recorded:
            raise DataError(
                f"{weights}: not the weights that {self.name} was trained with, or gone; put back the file that "
                f"has sha256 {recorded or 'unknown'}, or train again: {command(self.run, TrainModel)}"
            )
        return weights

    def judgements(self) -> list[Judgement]:
        from tasks.library.evaluations import evaluations

        judged = evaluations([self.run])[self.run.fingerprint]
        return [
            Judgement(
                each.split, each.task, each.accuracy["overall"], each.accuracy["questions"], part=each.part
            )
            for each in judged
        ]

    def examples(self, count: int) -> Examples:
        from tasks.library.examples import examples_of

        return examples_of(self.run, count)


def recorded_hash(space: str) -> str:
    """The sha256 of the weights in what a config says of its features; "" where they were drawn, or there are none."""
    match = re.search(r"\bweights=([0-9a-f]{64})\b", space)
    return match[1] if match else ""


def _features(run: Run) -> dict[str, str]:
    """The inputs of a run that are features, with the stage that made each."""
    inputs = run.manifest.inputs.items()
    return {name: Path(used.path).parent.name for name, used in inputs if name.startswith("features-")}


def can_look(run: Run) -> bool:
    """Whether new pictures can be shown to a run's model: not where its features were imported."""
    return set(_features(run).values()) <= {ExtractFeatures.stage_name(), ExtractPart.stage_name()}


def check_can_look(run: Run) -> None:
    """DataError where new pictures can't be shown to a run's model."""
    if not can_look(run):
        raise DataError(
            f"{run.name} was trained on imported features: the network that made them is not here, so it "
            "can't look at other pictures; ask a model that was trained on features of ExtractFeatures"
        )
