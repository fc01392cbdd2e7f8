"""What a trained model answers to every question of a split."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.base.errors import DataError
from data.catalog import sources
from tasks.contract.stage import Stage
from tasks.setup import settings
from tasks.setup.flags import ExperimentFlags
from tasks.setup.user_errors import refuse
from tasks.stages.download_texts import DownloadQuestions
from tasks.stages.encoded_inputs import Questions, bound_to, question_inputs, read_encoded_questions
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

    named_by = ("model", "dataset", "eval_split", "task")

    @classmethod
    def check_flags(cls, values: dict[str, Any]) -> None:
        super().check_flags(values)
        dataset = sources.dataset(values["dataset"])
        split, task = values["eval_split"], values["task"]
        if split not in dataset.splits:
            refuse(f"--eval-split {split}: {dataset.name} has {', '.join(dataset.splits)}")
        if task not in dataset.tasks():
            refuse(f"--task {task}: {dataset.name} has {', '.join(dataset.tasks())}")
        if split in dataset.parts(values["train_split"]):
            refuse(f"--eval-split {split} is part of --train-split {values['train_split']}")


def asked_inputs(stage: Judging, *others: str) -> dict[str, Stage]:
    """The files of the judged questions and of other splits'; a ready-made dataset has none and is judged by
    question id alone."""
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
        choices = self._choices(questions) if self.task == "multiple-choice" else None
        compute = settings.compute()
        use_threads(compute.threads)
        found = predict(
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
        chosen = found.top_classes[:, 0] if found.choices is None else found.choices
        texts = [vocabulary.answers[number] if number >= 0 else "" for number in chosen]
        if choices is not None:  # no choice is among the classes: the first is as good as any
            texts = [text or of_question[0] for text, of_question in zip(texts, choices, strict=True)]
        self._write(folder, questions, texts)
        write_predictions(folder / "predictions.h5", questions.question_ids, chosen, found)
        return {"questions": len(texts), "unanswerable": int((chosen < 0).sum())}

    def _consensus(self, questions: Questions) -> np.ndarray | None:
        from data.text.answers import read_answers

        if "answers" not in self.upstream:
            return None
        return read_answers(self.file("answers", "answers.h5")).consensus[questions.kept]

    def _choices(self, questions: Questions) -> list[list[str]]:
        """The choices of each question, in the order of `questions`."""
        asked = split_questions(self, self.dataset, self.eval_split, "multiple-choice")
        if not asked[0].multiple_choices:  # split_questions has seen that all or none have them
            raise DataError(
                f"{self.dataset} {self.eval_split}: the multiple-choice file has no multiple_choices; "
                "expected some for each of its questions. Ask for --task open-ended, or mend the file."
            )
        by_id = {one.question_id: list(one.multiple_choices or ()) for one in asked}
        wanted = questions.question_ids.tolist()
        if absent := [number for number in wanted if number not in by_id]:
            raise DataError(
                f"{self.dataset} {self.eval_split}: {len(absent):,} of {len(wanted):,} questions are not in the "
                f"multiple-choice file, such as question_id {absent[0]}; take both files from the same version."
            )
        return [by_id[number] for number in wanted]

    def _write(self, folder: Path, questions: Questions, answers: list[str]) -> None:
        """One validated file a subset: results.json has all of the split, results-test-dev.json its share of test."""
        from data.scoring.results import write_results

        dataset, known = sources.dataset(self.dataset), set(questions.question_ids.tolist())
        if dataset.ready_made:
            ids = questions.question_ids.tolist()
            write_results(folder / "results.json", ids, answers, ids)
            return
        for subset in dataset.split(self.eval_split).members:
            asked = split_questions(self, self.dataset, self.eval_split, self.task, subset)
            wanted = [one.question_id for one in asked if one.question_id in known]
            of_subset = set(wanted)
            pairs = [
                (number, text)
                for number, text in zip(questions.question_ids.tolist(), answers, strict=True)
                if number in of_subset
            ]
            name = "results.json" if subset == self.eval_split else f"results-{subset}.json"
            write_results(folder / name, [pair[0] for pair in pairs], [pair[1] for pair in pairs], wanted)


def classes_of(choices: list[list[str]], answer_ids: dict[str, int]) -> np.ndarray:
    """(Q, C) int32: the class of each choice, -1 for one that is outside the classes."""
    import numpy as np

    classes = np.full((len(choices), max(map(len, choices))), -1, np.int32)
    for row, texts in enumerate(choices):
        classes[row, : len(texts)] = [answer_ids.get(text, -1) for text in texts]
    return classes


def write_predictions(path: Path, question_ids: np.ndarray, chosen: np.ndarray, found: Any) -> None:
    """predictions.h5: question_ids (Q,), chosen (Q,) classes, top_classes and top_probabilities (Q, 5), and
    log_likelihoods (Q,) where the answers are known."""
    from data.containers import hdf5

    arrays = {
        "question_ids": question_ids,
        "chosen": chosen,
        "top_classes": found.top_classes,
        "top_probabilities": found.top_probabilities,
        "log_likelihoods": found.log_likelihoods,
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
