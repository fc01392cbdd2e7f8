"""What a trained model answers to every question of a split."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from data.base.errors import DataError
from data.catalog import sources
from tasks.contract.stage import Stage
from tasks.setup import settings
from tasks.setup.flags import ExperimentFlags
from tasks.setup.user_errors import refuse
from tasks.stages.download_texts import DownloadQuestions
from tasks.stages.encoded_inputs import Questions, bound_to, question_inputs, read_encoded_questions
from tasks.stages.leaks import check_splits
from tasks.stages.part import ChoosePictures
from tasks.stages.text import (
    BuildVocabulary,
    EncodeAnswers,
    read_vocabulary,
    split_questions,
)
from tasks.stages.train import TrainModel

if TYPE_CHECKING:
    import numpy as np


class Judging(ExperimentFlags, Stage):
    """What the stages from PredictAnswers on share: a model, and a split of one of the dataset's tasks."""

    named_by: ClassVar[tuple[str, ...]] = ("model", "dataset", "eval_split", "task")

    @classmethod
    def check_flags(cls, values: dict[str, Any]) -> None:
        super().check_flags(values)
        check_splits(values)
        dataset, task = sources.dataset(values["dataset"]), values["task"]
        if task not in dataset.tasks():
            refuse(f"--task {task}: {dataset.name} has {', '.join(dataset.tasks())}")


def asked_inputs(stage: Judging, *others: str) -> dict[str, Stage]:
    """The files of the judged questions and of other splits'; a ready-made dataset has none and is judged only
    by question id."""
    if sources.dataset(stage.dataset).ready_made:
        return {}
    return {
        f"asked-{split}": stage.clone(DownloadQuestions, split=split) for split in (stage.eval_split, *others)
    }


class PredictAnswers(Judging):
    """Answers every question of a split with the trained model, in the official results format."""

    resources = {"device": 1}
    contents = ("results*.json", "predictions.h5")
    unit = "questions"

    def inputs(self) -> dict[str, Stage]:
        needs = {
            "model": self.clone(TrainModel),
            "vocabulary": self.clone(BuildVocabulary),
            **question_inputs(self, self.eval_split),
            **asked_inputs(self),
            **ChoosePictures.inputs_for(self, self.eval_split),
        }
        if sources.dataset(self.dataset).split(self.eval_split).annotations is not None:
            needs["answers"] = self.clone(EncodeAnswers, split=self.eval_split)
        return needs

    def build(self, folder: Path) -> dict[str, Any]:
        from models.checkpoints import load_model
        from models.devices import use_threads
        from models.prediction import predict

        questions = read_encoded_questions(self, (self.eval_split,))
        vocabulary = read_vocabulary(self)
        module, config = load_model(self.upstream["model"].path, bound_to(self, questions.space))
        choices = offered_choices(self, questions)
        compute = settings.compute()
        use_threads(compute.threads)
        predictions = predict(
            module,
            questions.tokens,
            questions.rows,
            questions.features,
            classes=self._consensus(questions),
            choices=None if choices is None else classes_of(choices, vocabulary.answer_ids),
            target=config["options"]["target"],
            device=compute.device,
            precision=compute.precision,
            progress=self.progress,
        )
        chosen = predictions.top_classes[:, 0] if predictions.choices is None else predictions.choices
        texts = answer_texts(chosen, vocabulary.answers, choices)
        self._write(folder, questions, texts)
        if f"chosen-{self.eval_split}" in self.upstream and "answers" not in self.upstream:
            counts = ChoosePictures.counts_for(self, self.eval_split)
            self.warn(
                f"answers about {counts['pictures']:,} of {counts['of']:,} pictures of {self.eval_split}: an "
                "evaluation server expects all"
            )
        write_predictions(folder / "predictions.h5", questions.question_ids, chosen, predictions)
        return {"questions": len(texts), "unanswerable": int((chosen < 0).sum()), **predictions.arithmetic}

    def _consensus(self, questions: Questions) -> np.ndarray | None:
        from data.text.answers import read_answers

        if "answers" not in self.upstream:
            return None
        return read_answers(self.file("answers", "answers.h5")).consensus[questions.kept]

    def _write(self, folder: Path, questions: Questions, answers: list[str]) -> None:
        """One validated file a subset: results.json has all of the split, results-test-dev.json its share of test."""
        from data.scoring.results import write_results

        dataset, known = sources.dataset(self.dataset), set(questions.question_ids.tolist())
        if dataset.ready_made:
            ids = questions.question_ids.tolist()
            write_results(folder / "results.json", ids, answers, ids)
            return
        for subset in dataset.split(self.eval_split).members:
            entries = split_questions(self, self.dataset, self.eval_split, self.task, subset)
            wanted = [entry.question_id for entry in entries if entry.question_id in known]
            of_subset = set(wanted)
            pairs = [
                (number, text)
                for number, text in zip(questions.question_ids.tolist(), answers, strict=True)
                if number in of_subset
            ]
            name = "results.json" if subset == self.eval_split else f"results-{subset}.json"
            write_results(folder / name, [pair[0] for pair in pairs], [pair[1] for pair in pairs], wanted)


def offered_choices(stage: Judging, questions: Questions) -> list[list[str]] | None:
    """What each question offers to choose from, in the order of `questions`; None for the open-ended task."""
    if stage.task != "multiple-choice":
        return None
    entries = split_questions(stage, stage.dataset, stage.eval_split, "multiple-choice")
    if not entries[0].multiple_choices:  # split_questions has seen that all or none have them
        raise DataError(
            f"{stage.dataset} {stage.eval_split}: the multiple-choice file has no multiple_choices; "
            "expected some for each of its questions. Ask for --task open-ended, or mend the file."
        )
    by_id = {entry.question_id: list(entry.multiple_choices or ()) for entry in entries}
    wanted = questions.question_ids.tolist()
    if absent := [number for number in wanted if number not in by_id]:
        raise DataError(
            f"{stage.dataset} {stage.eval_split}: {len(absent):,} of {len(wanted):,} questions are not in the "
            f"multiple-choice file, such as question_id {absent[0]}; take both files from the same version."
        )
    return [by_id[number] for number in wanted]


def answer_texts(
    chosen: np.ndarray, answers: Sequence[str], choices: Sequence[Sequence[str]] | None
) -> list[str]:
    """The text of each class in `chosen` (Q,). It is negative where no choice is among the classes: then the first
    choice is as good as any."""
    texts = [answers[number] if number >= 0 else "" for number in chosen]
    if choices is None:
        return texts
    return [text or of_question[0] for text, of_question in zip(texts, choices, strict=True)]


def classes_of(choices: list[list[str]], answer_ids: dict[str, int]) -> np.ndarray:
    """(Q, C) int32: the class of each choice, -1 for one that is outside the classes."""
    import numpy as np

    classes = np.full((len(choices), max(map(len, choices))), -1, np.int32)
    for row, texts in enumerate(choices):
        classes[row, : len(texts)] = [answer_ids.get(text, -1) for text in texts]
    return classes


def write_predictions(path: Path, question_ids: np.ndarray, chosen: np.ndarray, predictions: Any) -> None:
    """predictions.h5: question_ids (Q,), chosen (Q,) classes, top_classes and top_probabilities (Q, 5),
    log_likelihoods (Q,) where the answers are known, and attention (Q, rows, columns) float16, each place's share, of a
    model that has some."""
    from data.containers import hdf5

    arrays = {
        "question_ids": question_ids,
        "chosen": chosen,
        "top_classes": predictions.top_classes,
        "top_probabilities": predictions.top_probabilities,
        "log_likelihoods": predictions.log_likelihoods,
        "attention": predictions.attention,
    }
    with hdf5.create(path) as file:
        for name, array in arrays.items():
            if array is not None:
                file.create_dataset(name, data=array, track_times=False)


def read_predictions(path: Path) -> dict[str, np.ndarray]:
    """All of predictions.h5, by name."""
    import h5py

    with h5py.File(path, "r") as file:
        return {name: dataset[...] for name, dataset in file.items()}
