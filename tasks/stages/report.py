"""One page to look at."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.catalog import sources
from tasks.contract.artifacts import State
from tasks.contract.stage import Stage, walk
from tasks.library.judged_questions import picture_reader, read_history, read_judged
from tasks.setup.user_errors import refuse
from tasks.stages.download import DownloadImages
from tasks.stages.download_texts import DownloadAnnotations, DownloadQuestions
from tasks.stages.evaluate import EvaluateModel, Scoring
from tasks.stages.predict import PredictAnswers
from tasks.stages.text import BuildVocabulary, read_vocabulary
from tasks.stages.train import TrainModel

if TYPE_CHECKING:
    from data.report.report_data import BuiltStage

logger = logging.getLogger("luigi-interface")


class Report(Scoring):
    """Draws report.html: headline numbers, curves, accuracy by type, and a gallery of pictures with answers."""

    version = 2
    extras = ("report.html",)
    contents = extras
    unit = "pictures"

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

    def identity(self) -> dict[str, Any]:
        """How pictures get their ids: a model that sees none has it nowhere above."""
        return sources.image_set(sources.dataset(self.dataset).split(self.eval_split).image_set).identity

    def build(self, folder: Path) -> dict[str, Any]:
        from data.report.report_data import ReportData
        from data.report.report_page import write_report

        accuracy = json.loads(self.file("evaluation", "accuracy.json").read_text(encoding="utf-8"))
        dataset = sources.dataset(self.dataset)
        manifest = self.upstream["model"].state().manifest or {}
        page = ReportData(
            dataset=self.dataset,
            split=self.eval_split,
            task=self.task,
            model=self.model,
            accuracy=accuracy,
            history=read_history(self.file("model", "history.csv")),
            questions=read_judged(self, self.dataset, self.eval_split),
            classes=read_vocabulary(self).answers,
            parameters=self.key["parameters"],
            stages=self._stages(),
            versions=manifest.get("versions", {}),
            commit=manifest.get("commit"),
            published=dataset.published,
            published_seed=dataset.seed,
        )
        picture = picture_reader(self.upstream["images"], self.dataset, self.eval_split)
        facts = write_report(folder / "report.html", page, picture, progress=self.progress)
        logger.info("report: %s", self.path / "report.html")
        return facts

    def _stages(self) -> list[BuiltStage]:
        """The stages that led here and still have their artifact, inputs first."""
        from data.report.report_data import BuiltStage

        seen: dict[Path, State] = {}
        known = [(stage, stage.state(seen).manifest) for stage in walk(self) if stage is not self]
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
                finished=manifest["finished"],
                version=manifest["key"]["version"],
                host=manifest["host"],
            )
            for stage, manifest in known
            if manifest
        ]
