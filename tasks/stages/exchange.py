"""What a trained model answers about pictures that are not the question's own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.base.files import write_json
from models.classifiers.names import sees_pictures
from tasks.contract.stage import Stage
from tasks.setup import settings
from tasks.setup.user_errors import refuse
from tasks.stages.encoded_inputs import Questions, bound_to, question_inputs, read_encoded_questions
from tasks.stages.predict import (
    Judging,
    PredictAnswers,
    answer_texts,
    asked_inputs,
    classes_of,
    offered_choices,
)
from tasks.stages.text import BuildVocabulary, read_vocabulary
from tasks.stages.train import TrainModel

if TYPE_CHECKING:
    import numpy as np

EXCHANGE, PICTURES = "exchange.json", "exchange.h5"
"""How many pictures there are, with the names of what was asked about (none of fewer than two pictures); and who got
whose picture."""


class ExchangePictures(Judging):
    """Answers every question of a split about another question's picture, and about the mean picture."""

    resources = {"device": 1}
    contents = (EXCHANGE, PICTURES, "results-*.json")
    unit = "questions"

    def inputs(self) -> dict[str, Stage]:
        return {
            "model": self.clone(TrainModel),
            "vocabulary": self.clone(BuildVocabulary),
            **question_inputs(self, self.eval_split),
            **asked_inputs(self),
        }

    def takes_like(self) -> tuple[Stage, float]:
        """Twice as many answers as predictions have."""
        return self.clone(PredictAnswers), 2.0

    @classmethod
    def check_flags(cls, values: dict[str, Any]) -> None:
        super().check_flags(values)
        if not sees_pictures(values["model"]):
            refuse(f"--model {values['model']} sees no pictures, so there are none to exchange")

    def build(self, folder: Path) -> dict[str, Any]:
        from models.checkpoints import load_model
        from models.devices import use_threads
        from models.exchanged_pictures import predict_exchanged

        questions, vocabulary = read_encoded_questions(self, (self.eval_split,)), read_vocabulary(self)
        module, config = load_model(self.upstream["model"].path, bound_to(self, questions.space))
        choices, compute = offered_choices(self, questions), settings.compute()
        use_threads(compute.threads)
        assert questions.features is not None  # check_flags
        exchange = predict_exchanged(
            module,
            questions.tokens,
            questions.rows,
            questions.features,
            choices=None if choices is None else classes_of(choices, vocabulary.answer_ids),
            target=config["options"]["target"],
            device=compute.device,
            precision=compute.precision,
            progress=self.progress,
        )
        for name, predictions in exchange.answers.items():
            chosen = predictions.top_classes[:, 0] if predictions.choices is None else predictions.choices
            self._write(
                folder / results_file(name), questions, answer_texts(chosen, vocabulary.answers, choices)
            )
        write_json(folder / EXCHANGE, {"pictures": exchange.pictures, "answers": [*exchange.answers]})
        if exchange.answers:
            _write_pictures(folder / PICTURES, questions, exchange.rows)
        arithmetic = next((predictions.arithmetic for predictions in exchange.answers.values()), {})
        return {"questions": len(questions.tokens), "pictures": exchange.pictures, **arithmetic}

    def _write(self, path: Path, questions: Questions, answers: list[str]) -> None:
        from data.scoring.results import write_results

        ids = questions.question_ids.tolist()
        write_results(path, ids, answers, ids)


def results_file(name: str) -> str:
    """The answers in the official format, by the name of what was asked about."""
    return f"results-{name.replace('_', '-')}.json"


def _write_pictures(path: Path, questions: Questions, others: np.ndarray) -> None:
    """exchange.h5: question_ids, image_ids and exchanged_image_ids, (Q,) int64 each."""
    import numpy as np

    from data.containers import hdf5

    id_of = np.zeros(1 + max(questions.rows.max(), others.max()), np.int64)
    id_of[questions.rows] = questions.image_ids
    arrays = {
        "question_ids": questions.question_ids,
        "image_ids": questions.image_ids,
        "exchanged_image_ids": id_of[others],
    }
    with hdf5.create(path) as file:
        for name, array in arrays.items():
            file.create_dataset(name, data=array, track_times=False)
