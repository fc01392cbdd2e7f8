"""The `score` tool: official figures of anyone's results file, and how they are printed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from data.base.words import Lines
from data.scoring.accuracy import accuracy, answers_right, question_scores
from data.scoring.consistency import consistency
from data.scoring.intervals import Interval, intervals
from data.scoring.picture_worth import worth_line
from data.scoring.results import check_choices, read_results, validate_results
from data.text.official import Annotation
from data.text.official_json import read_annotations, read_questions
from data.text.pairing import in_order


def score(
    annotations_path: Path | str, questions_path: Path | str, results_path: Path | str
) -> dict[str, Any]:
    """Figures of a results file, as `evaluation_figures` gives them.

    DataError where the annotations and the questions are not of the same split, the results do not have exactly
    one answer for each question, or an answer is not among the choices of a multiple-choice question. Own data
    may lack types and have fewer humans (see `read_annotations`).
    """
    annotations = read_annotations(annotations_path, own_data=True)
    ids = [annotation.question_id for annotation in annotations]
    questions = read_questions(questions_path)
    by_id = {annotation.question_id: annotation for annotation in in_order(annotations, questions)}
    answers = validate_results(read_results(results_path), ids, str(results_path))
    check_choices(questions, dict(zip(ids, answers, strict=True)), str(results_path))
    texts = {question.question_id: question.question for question in questions}
    return evaluation_figures([by_id[number] for number in ids], answers, [texts[number] for number in ids])


def evaluation_figures(
    annotations: Sequence[Annotation],
    predictions: Sequence[str],
    questions: Sequence[str] | None,
    others: Mapping[str, Sequence[str]] | None = None,
) -> dict[str, Any]:
    """As `annotated_accuracy`, with `intervals`, and with `consistency`, None where there are no texts.

    questions: their texts; others: other answers to them, such as a prior's, by the name of the gain over it.
    """
    humans = [annotation.answers for annotation in annotations]
    pictures = [annotation.image_id for annotation in annotations]
    scores = question_scores(predictions, humans)
    figures = annotated_accuracy(annotations, predictions)
    figures["intervals"] = intervals(
        scores,
        pictures,
        [annotation.question_type for annotation in annotations],
        [annotation.answer_type for annotation in annotations],
        {name: scores - question_scores(said, humans) for name, said in (others or {}).items()},
    )
    consensus, right = (
        [annotation.multiple_choice_answer for annotation in annotations],
        answers_right(predictions, humans),
    )
    figures["consistency"] = questions and consistency(questions, pictures, consensus, right)
    return figures


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


def part_of_data(trained: Sequence[Mapping[str, int]], judged: Mapping[str, int] | None) -> dict[str, Any]:
    """What accuracy.json says of a part of the data: {trained, judged, note}; {} for all of it.

    Each is {pictures, of}: how many of how many; `trained` one for each split that was limited. None: all.
    """
    learnt = (
        {name: sum(counts[name] for counts in trained) for name in ("pictures", "of")} if trained else None
    )
    told = [
        f"{verb} {counts['pictures']:,} of {counts['of']:,}"
        for verb, counts in (("trained on", learnt), ("judged on", judged))
        if counts and counts["pictures"] < counts["of"]
    ]
    if not told:
        return {}
    note = f"{' and '.join(told)} pictures: not comparable with published figures"
    return {"trained": learnt, "judged": judged, "note": note}


def format_accuracy(figures: dict[str, Any]) -> str:
    """The figures as text: a line for each thing scored (overall, each answer type), then the question types.

    Takes what `score` returns and an evaluation's accuracy.json alike: baselines and the original's three figures
    are added where they are there.
    """
    types = sorted(figures["perAnswerType"])
    scored = {"accuracy": figures, **figures.get("baselines", {})}
    names = {name: name.replace("_", " ") for name in scored}
    bounds = _bound_rows(figures["intervals"], types) if "intervals" in figures else []
    width = max(map(len, [*names.values(), *(name for name, _ in bounds)]))
    part = [figures["part"]["note"]] if "part" in figures else []
    lines = [_heading(figures), *part, "", " " * width + _cells(["overall", *types])]
    for name, scores in scored.items():
        percentages = [scores["overall"], *(scores["perAnswerType"].get(kind) for kind in types)]
        lines.append(names[name].ljust(width) + _cells(percentages))
        lines += [name.ljust(width) + _cells(row) for name, row in bounds if scores is figures]
    if "picture_worth" in figures:
        lines += ["", worth_line(figures["picture_worth"])]
    lines += _consistency_line(figures.get("consistency")) + _seed_line(figures.get("seed"))
    return Lines(*lines, "", *_question_types(figures))


def _bound_rows(
    interval_figures: Mapping[str, Any], types: Sequence[str]
) -> list[tuple[str, list[float | None]]]:
    """Two lines below the accuracies, with their names: where the intervals begin, and where they end."""
    bounds: list[Interval] = [interval_figures["overall"], *map(interval_figures["perAnswerType"].get, types)]
    low, high = ([bound[side] if bound else None for bound in bounds] for side in (0, 1))
    return [("  95 % from", low), ("       to", high)]


def _question_types(figures: Mapping[str, Any]) -> list[str]:
    """A line each: the accuracy and, where there are intervals, from where to where."""
    width = max(map(len, figures["perQuestionType"]), default=0)
    bounds = figures.get("intervals", {}).get("perQuestionType", {})
    return [
        f"{name:<{width}}{_cells([percent, *(bounds[name] or ())] if name in bounds else [percent])}"
        for name, percent in figures["perQuestionType"].items()
    ]


def _consistency_line(shares: Mapping[str, Any] | None) -> list[str]:
    if not shares or not shares["pairs"]:
        return []
    return [
        "",
        f"same words, other picture, other answer: both right in {shares['both_right']:.2f} % of "
        f"{shares['pairs']:,} pairs; mean over wordings ({shares['wordings']:,}): {shares['mean_over_wordings']:.2f} %",
    ]


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
