"""The `score` tool: official figures of anyone's results file, and how they are printed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from data.scoring.accuracy import accuracy
from data.scoring.results import read_results, validate_results
from data.text.official import Annotation
from data.text.official_json import read_annotations, read_questions
from data.text.pairing import in_order


def score(
    annotations_path: Path | str, questions_path: Path | str, results_path: Path | str
) -> dict[str, Any]:
    """Accuracy of a results file, as `data.scoring.accuracy.accuracy` gives it.

    DataError where the annotations and the questions are not of the same split, or the results do not have
    exactly one answer for each question. Own data may lack types and have fewer humans (see
    `read_annotations`).
    """
    annotations = read_annotations(annotations_path, own_data=True)
    ids = [annotation.question_id for annotation in annotations]
    paired = in_order(annotations, read_questions(questions_path))
    by_id = {annotation.question_id: annotation for annotation in paired}
    answers = validate_results(read_results(results_path), ids, str(results_path))
    return annotated_accuracy([by_id[number] for number in ids], answers)


def annotated_accuracy(annotations: Sequence[Annotation], predictions: Sequence[str]) -> dict[str, Any]:
    """`data.scoring.accuracy.accuracy` of one prediction for each annotation, in their order.

    The order of the annotations file is the official one; another can move a rounding in the second decimal.
    """
    return accuracy(
        predictions,
        [annotation.answers for annotation in annotations],
        [annotation.question_type for annotation in annotations],
        [annotation.answer_type for annotation in annotations],
    )


def format_accuracy(figures: dict[str, Any]) -> str:
    """The figures as text: a line for each thing scored (overall, each answer type), then the question types.

    Takes what `score` returns and an evaluation's accuracy.json alike: baselines and the original's three figures
    are added where they are there.
    """
    types = sorted(figures["perAnswerType"])
    scored = {"accuracy": figures, **figures.get("baselines", {})}
    names = {name: name.replace("_", " ") for name in scored}
    width = max(map(len, names.values()))
    lines = [_heading(figures), "", " " * width + _cells(["overall", *types])]
    for name, one in scored.items():
        percentages = [one["overall"], *(one["perAnswerType"].get(kind) for kind in types)]
        lines.append(names[name].ljust(width) + _cells(percentages))
    lines += _seed_line(figures.get("seed"))
    width = max(map(len, figures["perQuestionType"]), default=0)
    by_type = figures["perQuestionType"].items()
    return "\n".join([*lines, "", *(f"{name:<{width}}{_cells([percent])}" for name, percent in by_type)])


def _heading(figures: dict[str, Any]) -> str:
    rule = (
        "official VQA accuracy"
        if figures["metric"] == "official"
        else ("accuracy by min(1, matches / min(3, humans)), since some questions have fewer than ten humans")
    )
    return f"{figures['questions']:,} questions, {rule}, in percent"


def _cells(values: list[Any]) -> str:
    """Right-aligned columns, two decimals."""
    texts = [
        value if isinstance(value, str) else "-" if value is None else f"{value:.2f}" for value in values
    ]
    return "".join(f"  {text:>8}" for text in texts)


def _seed_line(seed: dict[str, Any] | None) -> list[str]:
    if not seed:
        return []
    loss = "no loss" if seed["loss"] is None else f"loss {seed['loss']:.4f}"
    return [
        "",
        f"exact match {seed['exact_match']:.4f}, any of ten {seed['any_of_ten']:.4f}, "
        f"{loss} over the {seed['loss_questions']:,} questions whose consensus is a class",
    ]
