"""What the model answers, and how good that is by the official measure."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from data.catalog import sources
from tasks.contract import artifacts
from tasks.contract.stage import Stage
from tasks.setup.flags import BASELINE
from tasks.setup.user_errors import refuse
from tasks.stages.download_texts import annotations_of
from tasks.stages.predict import Judging, PredictAnswers, asked_inputs, read_predictions
from tasks.stages.text import EncodeAnswers, split_annotations

logger = logging.getLogger("luigi-interface")


class Scoring(Judging):
    """What EvaluateModel and Report share: the answers are known, and may be set beside a trained baseline's."""

    baseline = BASELINE

    @classmethod
    def check_flags(cls, values: dict[str, Any]) -> None:
        super().check_flags(values)
        if values["baseline"] == values["model"]:
            refuse(f"--baseline {values['baseline']}: that is the model itself; leave it out, or say none")
        dataset = sources.dataset(values["dataset"])
        if dataset.split(values["eval_split"]).annotations is None:
            refuse(
                f"--eval-split {values['eval_split']}: its answers are secret; PredictAnswers writes the file "
                "that the evaluation server takes"
            )


class EvaluateModel(Scoring):
    """Scores the answers by the official accuracy, beside two priors and the original's three figures."""

    version = 2
    contents = ("accuracy.json",)

    def inputs(self) -> dict[str, Stage]:
        trained_on = sources.dataset(self.dataset).parts(self.train_split)
        splits = (*trained_on, self.eval_split)
        # Own annotations may lack question types, which the priors learn from: the questions tell them.
        untyped = trained_on if sources.dataset(self.dataset).humans is None else ()
        return {
            "predictions": self.clone(PredictAnswers),
            "answers": self.clone(EncodeAnswers, split=self.eval_split),
            **asked_inputs(self, *untyped),
            **{f"annotations-{split}": annotations_of(self, split) for split in splits},
            **self._trained_baseline(),
        }

    def _trained_baseline(self) -> dict[str, Stage]:
        """The evaluation of the same experiment with the baseline's model. It ignores what is said of pictures, so
        experiments with different backbones share one baseline."""
        if self.baseline == "none":
            return {}
        return {self.baseline: self.clone(EvaluateModel, model=self.baseline, baseline="none")}

    def build(self, folder: Path) -> dict[str, Any]:
        from data.scoring.baselines import baselines, trained_baseline
        from data.scoring.figures import annotated_accuracy, format_accuracy
        from data.scoring.results import read_results

        results = {
            one.question_id: one.answer for one in read_results(self.file("predictions", "results.json"))
        }
        asked = split_annotations(self, self.dataset, self.eval_split)
        judged = [one for one in asked if one.question_id in results]
        if len(judged) < len(asked):
            self.warn(
                f"{len(asked) - len(judged):,} questions have no prediction (no picture) and do not count"
            )
        learnt = [
            one
            for part in sources.dataset(self.dataset).parts(self.train_split)
            for one in split_annotations(self, self.dataset, part)
        ]
        figures = annotated_accuracy(judged, [results[one.question_id] for one in judged])
        figures["baselines"] = baselines(
            [one.multiple_choice_answer for one in learnt],
            [one.question_type for one in learnt],
            [one.answers for one in judged],
            [one.question_type for one in judged],
            [one.answer_type for one in judged],
        )
        if self.baseline != "none":
            theirs = self.file(self.baseline, "accuracy.json")
            figures["baselines"][self.baseline.replace("-", "_")] = trained_baseline(theirs)
        figures["seed"] = self._seed_figures()
        artifacts.write_json(folder / "accuracy.json", figures)
        head = format_accuracy({**figures, "perQuestionType": {}}).strip()
        logger.info("%s\n%s", self.model, head)
        return {"overall": figures["overall"], "questions": figures["questions"]}

    def _seed_figures(self) -> dict[str, Any]:
        import numpy as np

        from data.scoring.accuracy import seed_figures
        from data.text.answers import read_answers

        found = read_predictions(self.file("predictions", "predictions.h5"))
        answers = read_answers(self.file("answers", "answers.h5"))
        row_of = {number: row for row, number in enumerate(answers.question_ids.tolist())}
        rows = np.array([row_of[number] for number in found["question_ids"].tolist()], np.int64)
        return seed_figures(
            -found["log_likelihoods"], found["chosen"], answers.consensus[rows], answers.humans[rows]
        )
