"""What the model answers, and how good that is by the official measure."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any, ClassVar

from data.base.files import write_json
from data.base.words import Lines
from data.catalog import sources
from models.classifiers.names import sees_pictures
from tasks.contract.stage import Stage
from tasks.setup.flags import BASELINE, PICTURE_WORTH
from tasks.setup.user_errors import refuse
from tasks.stages.download_texts import annotations_of
from tasks.stages.exchange import EXCHANGE, ExchangePictures, results_file
from tasks.stages.leaks import LEAKS, CheckLeaks
from tasks.stages.part import ChoosePictures
from tasks.stages.predict import Judging, PredictAnswers, asked_inputs, read_predictions
from tasks.stages.text import EncodeAnswers, split_annotations, split_questions

logger = logging.getLogger("luigi-interface")


class Scoring(Judging):
    """What EvaluateModel and Report share: the answers are known, and may be set beside a trained baseline's."""

    baseline = BASELINE
    picture_worth = PICTURE_WORTH

    neutral: ClassVar[dict[str, Any]] = {"picture_worth": False}

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
    """Scores the answers by the official accuracy, with intervals, beside two priors and the original's figures."""

    version = 3
    contents = ("accuracy.json",)

    def inputs(self) -> dict[str, Stage]:
        *trained_on, _ = splits = self._splits()
        # Own annotations may lack question types, which the priors learn from: the questions tell them.
        untyped = trained_on if sources.dataset(self.dataset).humans is None else []
        return {
            "predictions": self.clone(PredictAnswers),
            "answers": self.clone(EncodeAnswers, split=self.eval_split),
            **asked_inputs(self, *untyped),
            **ChoosePictures.inputs_for(self, *splits),
            **{f"annotations-{split}": annotations_of(self, split) for split in splits},
            **self._trained_baseline(),
            **self._leaks(),
            **self._exchange(),
        }

    def _splits(self) -> tuple[str, ...]:
        """Those of training, then the judged one."""
        return (*sources.dataset(self.dataset).parts(self.train_split), self.eval_split)

    def _leaks(self) -> dict[str, Stage]:
        """Which judged pictures are in training too: nothing to a model that sees none, and unknown without any."""
        if sources.dataset(self.dataset).ready_made or not sees_pictures(self.model):
            return {}
        return {"leaks": self.clone(CheckLeaks)}

    def _exchange(self) -> dict[str, Stage]:
        """The answers about other pictures; those of a model that sees none are its answers."""
        if not self.picture_worth or not sees_pictures(self.model):
            return {}
        return {"exchange": self.clone(ExchangePictures)}

    def _trained_baseline(self) -> dict[str, Stage]:
        """The evaluation of the same experiment with the baseline's model. It ignores what is said of pictures, so
        experiments with different backbones share one baseline."""
        if self.baseline == "none":
            return {}
        alone = {"model": self.baseline, "baseline": "none", "picture_worth": False}
        return {
            self.baseline: self.clone(EvaluateModel, **alone),
            f"{self.baseline}-predictions": self.clone(PredictAnswers, model=self.baseline),
        }

    def build(self, folder: Path) -> dict[str, Any]:
        from data.scoring.baselines import baselines, guesses, trained_baseline
        from data.scoring.figures import evaluation_figures, format_accuracy

        judged, predictions, texts = self._judged()
        learnt = [
            annotation
            for part in sources.dataset(self.dataset).parts(self.train_split)
            for annotation in split_annotations(self, self.dataset, part)
        ]
        taught = (
            [annotation.multiple_choice_answer for annotation in learnt],
            [annotation.question_type for annotation in learnt],
        )
        kinds = [annotation.question_type for annotation in judged]
        others: dict[str, list[str]] = guesses(*taught, kinds)
        trained = self.baseline.replace("-", "_")
        if self.baseline != "none":
            theirs = self._results(f"{self.baseline}-predictions")
            others[trained] = [theirs[annotation.question_id] for annotation in judged]
        figures = evaluation_figures(judged, predictions, texts, others)
        figures["baselines"] = baselines(
            *taught,
            [annotation.answers for annotation in judged],
            kinds,
            [annotation.answer_type for annotation in judged],
        )
        if self.baseline != "none":
            figures["baselines"][trained] = trained_baseline(self.file(self.baseline, "accuracy.json"))
        figures["seed"] = self._seed_figures()
        if self.picture_worth:
            figures["picture_worth"] = self._picture_worth(judged, predictions)
        if "leaks" in self.upstream:
            figures["in_training_too"] = self._in_training_too(judged, predictions)
        if part := self._part():
            figures["part"] = part
        write_json(folder / "accuracy.json", figures)
        head = format_accuracy({**figures, "perQuestionType": {}}).strip().split("\n")
        logger.info("%s\n%s", self.model, Lines(*head))
        told = {"part": part["note"]} if part else {}
        return {"overall": figures["overall"], "questions": figures["questions"], **told}

    def _part(self) -> dict[str, Any]:
        """How many pictures of how many were trained and judged on, and what that means; nothing where all were."""
        from data.scoring.figures import part_of_data

        *trained, judged = [
            ChoosePictures.counts_for(self, split) if f"chosen-{split}" in self.upstream else None
            for split in self._splits()
        ]
        return part_of_data([counts for counts in trained if counts], judged)

    def _picture_worth(self, judged: list[Any], predictions: list[str]) -> dict[str, Any] | None:
        """None where fewer than two pictures are asked about: there is no other to put in a picture's place."""
        from data.scoring.picture_worth import NAMES, picture_worth

        if "exchange" not in self.upstream:
            several = len({annotation.image_id for annotation in judged}) > 1
            return picture_worth(judged, predictions, dict.fromkeys(NAMES, predictions)) if several else None
        if not json.loads(self.file("exchange", EXCHANGE).read_text(encoding="utf-8"))["answers"]:
            return None
        results = {name: self._results("exchange", results_file(name)) for name in NAMES}
        others = {
            name: [said[annotation.question_id] for annotation in judged] for name, said in results.items()
        }
        return picture_worth(judged, predictions, others)

    def _in_training_too(self, judged: list[Any], predictions: list[str]) -> dict[str, Any]:
        """How many judged pictures and questions are in training too, and the accuracy without them."""
        from data.scoring.figures import annotated_accuracy

        leaks = json.loads(self.file("leaks", LEAKS).read_text(encoding="utf-8"))
        known = set(leaks["question_ids"])
        others = [pair for pair in zip(judged, predictions, strict=True) if pair[0].question_id not in known]
        count, overall = len(judged) - len(others), None
        if others:
            overall = annotated_accuracy(
                [annotation for annotation, _ in others], [said for _, said in others]
            )["overall"]
        if count:
            without = "no question is left" if overall is None else f"the accuracy is {overall:.2f}"
            self.warn(
                f"{leaks['pictures']:,} of {leaks['of']:,} judged pictures are in training too; without their "
                f"{count:,} questions {without}"
            )
        return {"pictures": leaks["pictures"], "questions": count, "overall_without": overall}

    def _judged(self) -> tuple[list[Any], list[str], list[str] | None]:
        """The annotations of all questions that have a prediction, these, and the questions' texts where known."""
        results, split = self._results("predictions"), self.eval_split
        has_texts = f"asked-{split}" in self.upstream
        questions = split_questions(self, self.dataset, split) if has_texts else []
        annotations = split_annotations(self, self.dataset, split, questions)
        judged = [annotation for annotation in annotations if annotation.question_id in results]
        if without := len(annotations) - len(judged):
            self.warn(f"{without:,} questions have no prediction (no picture) and do not count")
        text_of = {question.question_id: question.question for question in questions}
        texts = [text_of[annotation.question_id] for annotation in judged] if has_texts else None
        return judged, [results[annotation.question_id] for annotation in judged], texts

    def _results(self, name: str, file: str = "results.json") -> dict[int, str]:
        """The answers of an input's results by question id."""
        from data.scoring.results import read_results

        return {result.question_id: result.answer for result in read_results(self.file(name, file))}

    def _seed_figures(self) -> dict[str, Any]:
        import numpy as np

        from data.scoring.accuracy import seed_figures
        from data.text.answers import read_answers

        predictions = read_predictions(self.file("predictions", "predictions.h5"))
        answers = read_answers(self.file("answers", "answers.h5"))
        row_of = {number: row for row, number in enumerate(answers.question_ids.tolist())}
        rows = np.array([row_of[number] for number in predictions["question_ids"].tolist()], np.int64)
        return seed_figures(
            -predictions["log_likelihoods"],
            predictions["chosen"],
            answers.consensus[rows],
            answers.humans[rows],
        )
