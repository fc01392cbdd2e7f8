"""One page to look at."""

from __future__ import annotations

import csv
import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data import sources
from tasks.download import DownloadAnnotations, DownloadImages, DownloadQuestions
from tasks.errors import refuse
from tasks.evaluate import EvaluateModel, Judging, PredictAnswers, log_accuracy, read_predictions
from tasks.stage import Stage, walk
from tasks.text import BuildVocabulary, read_annotations, read_questions, read_vocabulary
from tasks.train import TrainModel

if TYPE_CHECKING:
    from data.report import BuiltStage, Judged

logger = logging.getLogger("luigi-interface")


class Report(Judging):
    """Draws report.html: headline numbers, curves, accuracy by type, and a gallery of pictures with answers."""

    extras = ("report.html",)

    @classmethod
    def check_flags(cls, values: dict[str, Any]) -> None:
        super().check_flags(values)
        if sources.dataset(values["dataset"]).ready_made:
            refuse(
                f"{values['dataset']} has no pictures and no texts to show; EvaluateModel gives its accuracy"
            )

    def inputs(self) -> dict[str, Stage]:
        split = self.eval_split
        return {
            "evaluation": self.clone(EvaluateModel),
            "predictions": self.clone(PredictAnswers),
            "model": self.clone(TrainModel),
            "vocabulary": self.clone(BuildVocabulary),
            "images": self.clone(
                DownloadImages, image_set=sources.dataset(self.dataset).split(split).image_set
            ),
            f"asked-{split}": self.clone(DownloadQuestions, split=split),
            f"annotations-{split}": self.clone(DownloadAnnotations, split=split),
        }

    def build(self, folder: Path) -> dict[str, Any]:
        from data.images import open_images
        from data.report import ReportData, write_report

        accuracy = json.loads(self.file("evaluation", "accuracy.json").read_text(encoding="utf-8"))
        dataset = sources.dataset(self.dataset)
        images = open_images(
            self.upstream["images"].target,  # type: ignore[attr-defined]
            sources.image_set(dataset.split(self.eval_split).image_set),
        )
        row_of = {number: row for row, number in enumerate(images.ids.tolist())}
        manifest = self.upstream["model"].state().manifest or {}
        page = ReportData(
            dataset=self.dataset,
            split=self.eval_split,
            task=self.task,
            model=self.model,
            accuracy=accuracy,
            history=self._history(),
            questions=self._judged(),
            classes=read_vocabulary(self).answers,
            parameters=self.key["parameters"],
            stages=self._stages(),
            versions=manifest.get("versions", {}),
            commit=manifest.get("commit"),
            published=dataset.published,
            published_seed=dataset.seed,
        )
        facts = write_report(
            folder / "report.html", page, lambda number: images.read(row_of[number]), progress=self.progress
        )
        log_accuracy(accuracy)
        logger.info("report: %s", self.path / "report.html")
        return facts

    def _history(self) -> list[dict[str, float]]:
        with self.file("model", "history.csv").open(newline="", encoding="utf-8") as file:
            return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]

    def _judged(self) -> list[Judged]:
        """Every question that was answered, with the people's answers and the model's."""
        from data.report import Judged
        from data.results import read_results

        classes = read_vocabulary(self).answers
        results = {
            one.question_id: one.answer for one in read_results(self.file("predictions", "results.json"))
        }
        found = read_predictions(self.file("predictions", "predictions.h5"))
        top = {
            number: [(classes[one], float(share)) for one, share in zip(best, shares, strict=True)]
            for number, best, shares in zip(
                found["question_ids"].tolist(),
                found["top_classes"].tolist(),
                found["top_probabilities"].tolist(),
                strict=True,
            )
        }
        questions = read_questions(self, self.dataset, self.eval_split)
        said = read_annotations(self, self.dataset, self.eval_split)
        return [
            Judged(
                question.question_id,
                question.image_id,
                question.question,
                one.question_type,
                one.answer_type,
                one.answers,
                one.multiple_choice_answer,
                results[question.question_id],
                top[question.question_id],
            )
            for question, one in zip(questions, said, strict=True)
            if question.question_id in results
        ]

    def _stages(self) -> list[BuiltStage]:
        """The stages that led here and still have their artifact, inputs first."""
        from data.report import BuiltStage

        known = [(stage, stage.state().manifest) for stage in walk(self)]
        return [
            BuiltStage(
                name=stage.get_task_family(),
                folder=f"{stage.stage_name()}/{stage.path.name}",
                digest=manifest["digest"],
                seconds=manifest["seconds"],
                size=sum(entry["size"] for entry in manifest["files"].values()),
                device=manifest["facts"].get("device", ""),
                inputs={name: used["digest"] for name, used in manifest["inputs"].items()},
                warnings=manifest["warnings"],
            )
            for stage, manifest in known
            if manifest
        ]
