"""One page to look at."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.catalog import sources
from tasks.contract.artifacts import State
from tasks.contract.graph import walk
from tasks.contract.stage import Stage
from tasks.library.judged_questions import picture_reader, read_history, read_judged
from tasks.library.trained_runs import typed
from tasks.setup.user_errors import refuse
from tasks.stages.download_texts import DownloadAnnotations, DownloadQuestions
from tasks.stages.evaluate import EvaluateModel, Scoring
from tasks.stages.part import ChoosePictures, DownloadPart
from tasks.stages.predict import PredictAnswers
from tasks.stages.text import BuildVocabulary, read_vocabulary
from tasks.stages.train import TrainModel, network_of

if TYPE_CHECKING:
    from data.report.report_data import BuiltStage


class Report(Scoring):
    """Draws report.html: headline numbers, curves, accuracy by type, and a gallery of pictures with answers."""

    version = 3
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
            "images": DownloadPart.pictures_of(self, split),
            **ChoosePictures.inputs_for(self, split),
            f"asked-{split}": self.clone(DownloadQuestions, split=split),
            f"annotations-{split}": self.clone(DownloadAnnotations, split=split),
        }

    def identity(self) -> dict[str, Any]:
        """How pictures get their ids: no input of a model without pictures says it."""
        return sources.image_set(sources.dataset(self.dataset).split(self.eval_split).image_set).identity

    def build(self, folder: Path) -> dict[str, Any]:
        from data.report.report_data import ReportData
        from data.report.report_page import write_report

        accuracy = json.loads(self.file("evaluation", "accuracy.json").read_text(encoding="utf-8"))
        dataset = sources.dataset(self.dataset)
        made = self.upstream["model"].manifest()
        page = ReportData(
            dataset=self.dataset,
            split=self.eval_split,
            task=self.task,
            model=self.model,
            accuracy=accuracy,
            history=read_history(self.file("model", "history.csv")),
            questions=read_judged(self, self.dataset, self.eval_split),
            classes=read_vocabulary(self).answers,
            parameters=self.key.parameters,
            network=network_of(made),
            stages=self._stages(),
            versions=made.versions,
            commit=made.commit,
            published=() if "part" in accuracy else dataset.published,
            published_seed={} if "part" in accuracy else dataset.seed,
            command=self._command(),
            finished=self.upstream["evaluation"].manifest().finished,
        )
        picture = picture_reader(self.upstream["images"], self.dataset, self.eval_split)
        return write_report(folder / "report.html", page, picture, progress=self.progress)

    def _command(self) -> str:
        """What makes the page again, in an empty folder too."""
        return typed("RunAll", type(self), self.flags_read)

    def _stages(self) -> list[BuiltStage]:
        """The stages that led here and still have an artifact, inputs first."""
        from data.report.report_data import BuiltStage

        seen: dict[Path, State] = {}
        known = [(stage, stage.state(seen).manifest) for stage in walk(self) if stage is not self]
        return [
            BuiltStage(
                name=stage.get_task_family(),
                folder=f"{stage.stage_name()}/{stage.path.name}",
                digest=manifest.digest,
                seconds=manifest.seconds,
                size=manifest.size,
                device=manifest.facts.get("device", ""),
                inputs={name: used.digest for name, used in manifest.inputs.items()},
                warnings=manifest.warnings,
                finished=manifest.finished,
                version=manifest.key.version,
                host=manifest.host,
            )
            for stage, manifest in known
            if manifest
        ]
