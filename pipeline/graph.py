"""The whole experiment as one task."""

from __future__ import annotations

from typing import Any

import luigi

from tasks.errors import refuse
from tasks.evaluate import PredictAnswers
from tasks.parameters import BASELINE, ExperimentFlags
from tasks.report import Report
from tasks.stage import Flagged


class RunAll(ExperimentFlags, Flagged, luigi.WrapperTask):
    """Everything, from the data to report.html (to results.json for the test split, whose answers are secret)."""

    baseline = BASELINE

    rerun = luigi.BoolParameter(
        default=False,
        significant=False,
        positional=False,
        description="refused: name the stage to make again",
    )

    @classmethod
    def check_flags(cls, values: dict[str, Any]) -> None:
        super().check_flags(values)
        if values["rerun"]:
            refuse(
                "RunAll makes nothing itself; give --rerun to a stage: ExtractFeatures, BuildVocabulary, "
                "EncodeQuestions, EncodeAnswers, BuildEmbeddings, TrainModel, PredictAnswers, EvaluateModel, Report"
            )

        if values["eval_split"] == "test" and values["baseline"] != "none":
            refuse(
                f"--baseline {values['baseline']}: the answers of test are secret, so nothing is judged here"
            )

    def requires(self) -> luigi.Task:
        return self.clone(PredictAnswers if self.eval_split == "test" else Report)
