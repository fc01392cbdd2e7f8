"""Every judged question with what people said and what the model answered: what Report and comparisons show."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.catalog import sources
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

    results = {one.question_id: one.answer for one in read_results(stage.file("predictions", "results.json"))}
    top = _top(stage.file("predictions", "predictions.h5"), read_vocabulary(stage).answers)
    questions = split_questions(stage, dataset, split)
    said = split_annotations(stage, dataset, split, questions)
    return [
        Judged(
            question.question_id,
            question.image_id,
            question.question,
            one.question_type,
            one.answer_type,
            one.answers,
            one.multiple_choice_answer,
            results[question.question_id],
            top[question.question_id],
        )
        for question, one in zip(questions, said, strict=True)
        if question.question_id in results
    ]


def _top(path: Path, classes: Any) -> dict[int, list[tuple[str, float]]]:
    """The best answers of each question with their probabilities, by question id."""
    found = read_predictions(path)
    columns = [found[name].tolist() for name in ("question_ids", "top_classes", "top_probabilities")]
    return {
        number: [(classes[one], float(share)) for one, share in zip(best, shares, strict=True)]
        for number, best, shares in zip(*columns, strict=True)
    }


def read_history(path: Path) -> list[dict[str, float]]:
    """The rows of a history.csv, a number in each column."""
    with path.open(newline="", encoding="utf-8") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def picture_reader(images: Any, dataset: str, split: str) -> Callable[[int], bytes]:
    """A function from image id to a picture's encoded bytes. `images`: a DownloadImages stage, complete.

    The function raises DataError for an id that no picture has, and as Images.read does.
    """
    from data.pictures.image_sets import open_images
    from data.text.pairing import check_images

    opened = open_images(images.target, sources.image_set(sources.dataset(dataset).split(split).image_set))
    row_of = {number: row for row, number in enumerate(opened.ids.tolist())}

    def read(number: int) -> bytes:
        if number not in row_of:
            check_images([number], row_of, str(opened.path.resolve()))
        return opened.read(row_of[number])

    return read
