"""Every judged question with what people said and what the model answered: what Report and comparisons show."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.catalog import sources
from models.training.history import ARITHMETIC
from tasks.stages.part import DownloadPart
from tasks.stages.predict import read_predictions
from tasks.stages.text import read_vocabulary, split_annotations, split_questions

if TYPE_CHECKING:
    from data.report.report_data import Judged


def read_judged(stage: Any, dataset: str, split: str) -> list[Judged]:
    """The questions of a split that were answered, in the order of its questions file.

    `stage`: a Stage, or whatever has `upstream` and `file` as a Stage does, with the inputs predictions, vocabulary,
    asked-<split> and annotations-<split>.
    """
    from data.report.report_data import Judged
    from data.scoring.results import read_results

    results = {
        result.question_id: result.answer
        for result in read_results(stage.file("predictions", "results.json"))
    }
    predictions = read_predictions(stage.file("predictions", "predictions.h5"))
    top = _top(predictions, read_vocabulary(stage).answers)
    looked = dict(zip(predictions["question_ids"].tolist(), predictions.get("attention", ()), strict=False))
    questions = split_questions(stage, dataset, split)
    annotations = split_annotations(stage, dataset, split, questions)
    return [
        Judged(
            question.question_id,
            question.image_id,
            question.question,
            annotation.question_type,
            annotation.answer_type,
            annotation.answers,
            annotation.multiple_choice_answer,
            results[question.question_id],
            top[question.question_id],
            looked.get(question.question_id),
        )
        for question, annotation in zip(questions, annotations, strict=True)
        if question.question_id in results
    ]


def _top(predictions: dict[str, Any], classes: Any) -> dict[int, list[tuple[str, float]]]:
    """The best answers of each question with their probabilities, by question id."""
    columns = [predictions[name].tolist() for name in ("question_ids", "top_classes", "top_probabilities")]
    return {
        number: [(classes[place], float(share)) for place, share in zip(best, shares, strict=True)]
        for number, best, shares in zip(*columns, strict=True)
    }


def read_history(path: Path) -> list[dict[str, float]]:
    """The rows of a history.csv, of each the numbers: not what it was computed with."""
    with path.open(newline="", encoding="utf-8") as file:
        return [
            {name: float(value) for name, value in row.items() if name not in ARITHMETIC}
            for row in csv.DictReader(file)
        ]


def picture_reader(images: Any, dataset: str, split: str) -> Callable[[int], bytes]:
    """A function from image id to a picture's encoded bytes. `images`: a stage of `pictures_of`, complete.

    The function raises DataError for an id that no picture has, and as Images.read does.
    """
    from data.text.pairing import check_images

    opened = DownloadPart.open_pictures(
        images, sources.image_set(sources.dataset(dataset).split(split).image_set)
    )

    def read(number: int) -> bytes:
        row = opened.row(number)
        if row is None:
            check_images([number], opened.ids.tolist(), str(opened.path.resolve()))
        return opened.read(row or 0)

    return read
