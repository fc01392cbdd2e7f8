"""The whole experiment as one task."""

from __future__ import annotations

from typing import Any

import luigi

from tasks.contract.flagged import Flagged
from tasks.setup.flags import BASELINE, ExperimentFlags
from tasks.setup.user_errors import refuse
from tasks.stages.predict import PredictAnswers
from tasks.stages.report import Report


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
