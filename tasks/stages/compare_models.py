"""Several models, each trained with several seeds, side by side."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from data.base.files import write_json
from data.catalog import sources
from tasks.contract.graph import walk
from tasks.contract.stage import Stage
from tasks.library.model_trainings import made, read_training
from tasks.library.trained_runs import Run
from tasks.setup import flags, settings
from tasks.setup.comparison_flags import MODELS, SEEDS
from tasks.setup.experiment import as_typed, check_weights, resolve
from tasks.setup.user_errors import UsageError, refuse
from tasks.stages.evaluate import EvaluateModel, Scoring
from tasks.stages.leaks import check_splits
from tasks.stages.predict import PredictAnswers
from tasks.stages.text import split_annotations
from tasks.stages.train import TrainModel

logger = logging.getLogger("luigi-interface")

OF_ALL = ("dataset", "models", "seeds", "eval_split", "task")
"""Flags that mean the same for every model. The others, where they are not given, are each model's own."""


class CompareModels(Scoring):
    """Trains models with several seeds each, every one by its own recipe, and sets them side by side on a page."""

    named_by: ClassVar[tuple[str, ...]] = ("dataset", "eval_split", "task")
    extras = ("comparison.html", "made.json")
    contents = ("comparison.json", *extras)
    models = MODELS
    seeds = SEEDS
    model: Any = None  # `models` and `seeds` take their place
    seed: Any = None

    @classmethod
    def resolved(cls, given: Mapping[str, Any]) -> Mapping[str, Any]:
        declared = cls.declared_flags()
        of_all = {name: flag for name, flag in declared.items() if name in OF_ALL}
        return {**{name: given.get(name) for name in declared}, **resolve(of_all, given).values}

    @classmethod
    def check_flags(cls, values: dict[str, Any]) -> None:
        check_splits(values | {"train_split": values["train_split"] or flags.TRAIN_SPLIT.default})
        if sources.dataset(values["dataset"]).split(values["eval_split"]).annotations is None:
            refuse(f"--eval-split {values['eval_split']}: its answers are secret, so nothing can be compared")
        if values["weights"]:
            check_weights(values["weights"])

    def ignored(self) -> tuple[str, ...]:
        """What is not given: it is each model's own."""
        return tuple(name for name in self.declared_flags() if getattr(self, name) is None)

    @cached_property
    def deciding(self) -> dict[str, Any]:
        """The other flags decide by way of the trainings that they lead to."""
        return {name: getattr(self, name) for name in OF_ALL}

    def identity(self) -> dict[str, Any]:
        return {"left_out": self.left_out} if self.left_out else {}

    def remarks(self) -> list[str]:
        return [f"left out: {model}: {why}" for model, why in self.left_out.items()]

    # -- the experiments --------------------------------------------------------------------------

    @cached_property
    def evaluations(self) -> dict[tuple[str, int], EvaluateModel]:
        """Those of every model that fits, by its name and seed."""
        return self._experiments[0]

    @cached_property
    def left_out(self) -> dict[str, str]:
        """The models that don't fit what was given, with the reason."""
        return self._experiments[1]

    @cached_property
    def _experiments(self) -> tuple[dict[tuple[str, int], EvaluateModel], dict[str, str]]:
        fit: dict[tuple[str, int], EvaluateModel] = {}
        reasons: dict[str, str] = {}
        for model in self.models.split(","):
            try:
                of_model = {(model, seed): self._evaluation(model, seed) for seed in range(self.seeds)}
            except (UsageError, SystemExit) as error:
                reasons[model] = str(error).removeprefix("error: ")
            else:
                fit |= of_model
        if not fit:
            refuse(f"none of the models fits: {'; '.join(dict.fromkeys(reasons.values()))}")
        return fit, reasons

    def _evaluation(self, model: str, seed: int) -> EvaluateModel:
        """What judges one training, after all that it needs was looked at."""
        of_all = ("models", "seeds")
        given = {name: value for name, value in self.flags_read.items() if name not in of_all}
        names = EvaluateModel.declared_flags()
        evaluation = EvaluateModel(
            **{name: value for name, value in given.items() if name in names}, model=model, seed=seed
        )
        walk(evaluation)
        return evaluation

    def inputs(self) -> dict[str, Stage]:
        needs: dict[str, Stage] = {}
        for (model, seed), evaluation in self.evaluations.items():
            needs[f"{model}-{seed}-evaluation"] = evaluation
            needs[f"{model}-{seed}-predictions"] = evaluation.clone(PredictAnswers)
            needs[f"{model}-{seed}-model"] = evaluation.clone(TrainModel)
        return needs | self._questions()

    def _questions(self) -> dict[str, Stage]:
        """What tells the judged questions and their answers: the same for every evaluation."""
        judged, split = next(iter(self.evaluations.values())).upstream, self.eval_split
        names = (f"asked-{split}", f"annotations-{split}", f"chosen-{split}")
        return {name: judged[name] for name in names if name in judged}

    # -- the comparison ---------------------------------------------------------------------------

    def build(self, folder: Path) -> dict[str, Any]:
        from data.report.models_page import format_models, write_models
        from data.scoring.several_seeds import side_by_side

        annotations = split_annotations(self, self.dataset, self.eval_split)
        comparison = side_by_side(
            [self._training(model, seed, annotations) for model, seed in self.evaluations],
            [annotation.image_id for annotation in annotations],
            [annotation.answer_type for annotation in annotations],
        )
        for model in comparison["models"]:
            model["flags"] = self.evaluations[model["name"], 0].flags_read
        comparison = {
            **{name: getattr(self, name) for name in ("dataset", "eval_split", "task")},
            **comparison,
            "left_out": self.left_out,
        }
        about = {"trainings": self._trainings(), "command": self._command()}
        write_json(folder / "comparison.json", comparison)
        write_json(folder / "made.json", about)
        write_models(folder / "comparison.html", comparison, about)
        logger.info("%s\n%s", self.stage_name(), format_models(comparison))
        for remark in self.remarks():
            self.warn(remark)
        logger.info("comparison: %s", self.path / "comparison.html")
        return {"models": len(comparison["models"]), "seeds": self.seeds, "left_out": len(self.left_out)}

    def _command(self) -> str:
        """What makes this again, in another folder too: luigi.cfg may state flags."""
        declared, stated = self.declared_flags(), settings.experiment()
        of_file = {name: declared[name].parse(text) for name, text in stated.items() if name in declared}
        words = [word for flag in (of_file | self.flags_read).items() for word in as_typed(*flag)]
        return shlex.join(["luigi", "--module", "pipeline", type(self).__name__, *words])

    def _folders(self, model: str, seed: int) -> dict[str, Path]:
        names = ("evaluation", "predictions", "model")
        return {name: self.upstream[f"{model}-{seed}-{name}"].path for name in names}

    def _training(self, model: str, seed: int, annotations: Any) -> Any:
        fingerprint = self.upstream[f"{model}-{seed}-model"].fingerprint
        return read_training(model, seed, self._folders(model, seed), annotations, fingerprint)

    def _trainings(self) -> list[dict[str, Any]]:
        """When, how long and with what each model was trained."""
        trainings = []
        for model, seed in self.evaluations:
            trained = self.upstream[f"{model}-{seed}-model"]
            trainings.append({"model": model, "seed": seed, **made(Run(trained.path, trained.manifest()))})
        return trainings
