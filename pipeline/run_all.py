"""The whole experiment as one task."""

from __future__ import annotations

from typing import Any

import luigi

from data.catalog import sources
from tasks.contract.flagged import Flagged
from tasks.setup.flags import BASELINE, PICTURE_WORTH, ExperimentFlags
from tasks.setup.user_errors import refuse
from tasks.stages.predict import PredictAnswers
from tasks.stages.report import Report


class RunAll(ExperimentFlags, Flagged, luigi.WrapperTask):
    """Everything, from the data to report.html (to results.json for the test split, whose answers are secret)."""

    baseline = BASELINE
    picture_worth = PICTURE_WORTH

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
                "RunAll makes nothing itself; give --rerun to a stage: ExtractFeatures, ExtractPart, BuildVocabulary, "
                "EncodeQuestions, EncodeAnswers, BuildEmbeddings, CheckLeaks, TrainModel, PredictAnswers, "
                "ExchangePictures, EvaluateModel, Report"
            )

        if values["eval_split"] == "test":
            # A dataset's defaults may ask for it, whatever the split is.
            by_default = sources.dataset(values["dataset"]).defaults
            given_flags = {
                "--baseline": values["baseline"] != "none",
                "--picture-worth": values["picture_worth"] and "picture_worth" not in by_default,
            }
            for flag in (flag for flag, given in given_flags.items() if given):
                refuse(f"{flag}: the answers of test are secret, so nothing is judged here; leave it out")

    def requires(self) -> luigi.Task:
        return self.clone(PredictAnswers if self.eval_split == "test" else Report)
