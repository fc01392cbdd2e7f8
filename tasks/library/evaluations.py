"""Evaluations of trained models, found by the manifests that lead back to each model."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.base.errors import DataError
from data.catalog import sources
from tasks.contract import artifacts
from tasks.contract.manifest import Manifest
from tasks.library.judged_questions import picture_reader, read_history, read_judged
from tasks.library.trained_runs import Run, command, complete_artifacts, here
from tasks.setup.user_errors import UsageError
from tasks.stages.evaluate import EvaluateModel
from tasks.stages.part import ChoosePictures, DownloadPart

if TYPE_CHECKING:
    from data.report.comparison_page import Comparison, Side
    from data.report.report_data import Judged


@dataclass(frozen=True)
class Evaluation:
    """One judgement of a trained model: the EvaluateModel artifact, and the inputs of it and its predictions."""

    folder: Path
    split: str
    task: str
    part: str  # what is to be said where it is of a part of the data; "" for all of it
    flags: dict[str, Any]
    finished: float
    upstream: dict[str, Path]
    digests: dict[str, str]

    @cached_property
    def accuracy(self) -> dict[str, Any]:
        figures: dict[str, Any] = json.loads((self.folder / "accuracy.json").read_text(encoding="utf-8"))
        return figures

    def file(self, name: str, file: str) -> Path:
        """A file of an input, as a Stage has it."""
        return self.upstream[name] / file

    def gone(self) -> list[Path]:
        """Files with the questions and answers that were removed since."""
        names = ("predictions", "vocabulary", f"asked-{self.split}", f"annotations-{self.split}")
        return [self.upstream[name] for name in names if not self.upstream[name].is_dir()]


def evaluations(runs: Iterable[Run]) -> dict[str, list[Evaluation]]:
    """The evaluations of each run by its fingerprint, open-ended before multiple-choice, all of the data before a part,
    the newest of each kind.

    Evaluations from before a model was trained again, to other weights, are left out.
    """
    models = {run.folder.name: run for run in runs}
    by_run: dict[str, dict[tuple[str, str, str], Evaluation]] = {
        run.fingerprint: {} for run in models.values()
    }
    for folder, manifest in complete_artifacts(EvaluateModel):
        if (traced := _trace(folder, manifest)) is None:
            continue
        evaluation, model = traced
        run = models.get(evaluation.upstream["model"].name)
        if run is None or run.manifest.digest != model:
            continue
        kinds = by_run[run.fingerprint]
        kind = evaluation.task, evaluation.split, evaluation.part
        before = kinds.get(kind)
        if before is None or before.finished < evaluation.finished:
            kinds[kind] = evaluation
    return {
        fingerprint: [
            kinds[kind] for kind in sorted(kinds, key=lambda kind: (kind[:2], not kind[2]), reverse=True)
        ]
        for fingerprint, kinds in by_run.items()
    }


def _trace(folder: Path, manifest: Manifest) -> tuple[Evaluation, str] | None:
    """An evaluation and the digest of the model that it judged; None where its predictions are gone or have changed."""
    if (used := manifest.inputs.get("predictions")) is None:
        return None
    predictions = artifacts.complete(here(used.path), "PredictAnswers")
    if predictions is None or predictions.digest != used.digest:
        return None
    inputs = predictions.inputs | manifest.inputs
    flags = manifest.key.parameters
    evaluation = Evaluation(
        folder,
        flags["eval_split"],
        flags["task"],
        manifest.facts.get("part", ""),
        EvaluateModel.neutral_values() | manifest.flags,
        manifest.finished,
        {name: here(read.path) for name, read in inputs.items()},
        {name: read.digest for name, read in inputs.items()},
    )
    return evaluation, inputs["model"].digest


def training_seconds(run: Run) -> float:
    """Over all epochs, also those before an interruption."""
    return sum(row.get("seconds", 0.0) for row in read_history(run.folder / "history.csv"))


def varying(runs: list[Run]) -> list[str]:
    """Flags whose values differ between those of these runs that read them, in the order in which flags are stated."""
    names = dict.fromkeys(name for run in runs for name in run.parameters)
    values = {name: {repr(run.parameters[name]) for run in runs if name in run.parameters} for name in names}
    return [name for name in names if len(values[name]) > 1]


def compare(first: Run, second: Run) -> tuple[Comparison, Callable[[int], bytes]]:
    """Two runs side by side on what both were judged on, and a function that reads the questions' pictures."""
    from data.report.comparison_page import Comparison

    judged = evaluations([first, second])
    of_first, of_second, remarks = _alike(first, second, judged)
    about = ""
    pairs: list[tuple[Judged, Judged]] = []
    read: Callable[[int], bytes] = no_picture
    if of_first and of_second and not remarks:
        dataset = first.parameters["dataset"]
        about = f"{dataset} {of_first.split}, {of_first.task}"
        pairs, read, remarks = _questions(of_first, of_second, dataset)
    sides = [_side(run, evaluation) for run, evaluation in ((first, of_first), (second, of_second))]
    remarks = [*remarks, *_losses(first, second, of_first, of_second), *_parts(of_first, of_second)]
    return Comparison(sides[0], sides[1], about, remarks, pairs), read


def _alike(
    first: Run, second: Run, judged: dict[str, list[Evaluation]]
) -> tuple[Evaluation | None, Evaluation | None, list[str]]:
    """The evaluations to set side by side, of one split and task where there are such, and why they don't compare."""
    mine, theirs = judged[first.fingerprint], judged[second.fingerprint]
    for run, judgements in ((first, mine), (second, theirs)):
        if not judgements:
            name = "A" if run is first else "B"
            why = f"{name} was not judged, so it has no accuracy to compare. To judge it: {command(run, EvaluateModel)}"
            return next(iter(mine), None), next(iter(theirs), None), [why]
    datasets = [run.parameters["dataset"] for run in (first, second)]
    if len({sources.dataset(name).whole for name in datasets}) > 1:
        why = (
            f"Accuracies: A was judged on {datasets[0]} and B on {datasets[1]}, which have no question in common. "
            "They stand side by side without a difference, and no single question is compared."
        )
        return mine[0], theirs[0], [why]
    for of_first in mine:
        for of_second in theirs:
            if (of_first.split, of_first.task) == (of_second.split, of_second.task):
                return of_first, of_second, _other_annotations(of_first, of_second)
    kinds = [
        " and ".join(f"{evaluation.split}, {evaluation.task}" for evaluation in judgements)
        for judgements in (mine, theirs)
    ]
    why = (
        f"Accuracies: A was judged on {kinds[0]}, B on {kinds[1]}: nothing in common, so no difference is given. "
        f"To judge A as B was: {command(first, EvaluateModel, task=theirs[0].task)}"
    )
    return mine[0], theirs[0], [why]


def _other_annotations(first: Evaluation, second: Evaluation) -> list[str]:
    name = f"annotations-{first.split}"
    if first.digests.get(name) == second.digests.get(name):
        return []
    return [
        f"Accuracies: the annotations of {first.split} changed between the two (digest "
        f"{first.digests.get(name, '')[:16]} and {second.digests.get(name, '')[:16]}), so no difference is given. "
        "Judge both again to compare them."
    ]


def _questions(
    first: Evaluation, second: Evaluation, dataset: str
) -> tuple[list[Any], Callable[[int], bytes], list[str]]:
    """The questions that both answered, pairwise, a reader of their pictures, and what is missing."""
    if sources.dataset(dataset).ready_made:
        return [], no_picture, [f"Questions: {dataset} has no texts and no pictures to show."]
    if gone := [*first.gone(), *second.gone()]:
        why = f"Questions: {gone[0].parent.name}/{gone[0].name} was removed, so none is shown."
        return [], no_picture, [why]
    mine = read_judged(first, dataset, first.split)
    theirs = {judged.question_id: judged for judged in read_judged(second, dataset, second.split)}
    pairs = [(judged, theirs[judged.question_id]) for judged in mine if judged.question_id in theirs]
    remarks = []
    if len(pairs) < max(len(mine), len(theirs)):
        remarks.append(
            f"Accuracies: A answered {len(mine):,} questions, B {len(theirs):,}, and {len(pairs):,} are the same; the "
            "difference is over different questions, its interval and the counts below are over the same ones."
        )
    return pairs, pictures(first), remarks


def pictures(judged: Evaluation) -> Callable[[int], bytes]:
    """Reads the pictures that were asked about by image id where they are still here; else each is empty."""
    try:
        part = {name: judged.flags[name] for name in ("dataset", "train_split", "limit_pictures")}
        images = DownloadPart.pictures_of(ChoosePictures(split=judged.split, **part), judged.split)
        if images.state().status != "complete":
            return no_picture
        return picture_reader(images, judged.flags["dataset"], judged.split)
    except (DataError, UsageError, OSError):
        return no_picture


def no_picture(number: int) -> bytes:
    """A reader where there are no pictures."""
    return b""


def _losses(first: Run, second: Run, of_first: Evaluation | None, of_second: Evaluation | None) -> list[str]:
    """Why two losses can't be compared, if they can't."""
    if first.parameters["target"] != second.parameters["target"]:
        return [
            "Losses: one model learnt the consensus answer, the other each answer's score; the units differ."
        ]
    if of_first and of_second and of_first.digests.get("vocabulary") != of_second.digests.get("vocabulary"):
        return ["Losses: the two models have other answer classes, so a loss counts other questions in each."]
    return []


def _parts(first: Evaluation | None, second: Evaluation | None) -> list[str]:
    """What is to be said of accuracies over a part of the data."""
    notes = [(name, judged.part) for name, judged in (("A", first), ("B", second)) if judged and judged.part]
    if len(notes) == 2 and notes[0][1] == notes[1][1]:
        return [f"Accuracies: both {notes[0][1]}."]
    return [f"Accuracies: {name} {note}." for name, note in notes]


def arithmetic(run: Run, name: str) -> str:
    """The device, precision or threads that trained a run, or all that did where it was continued under others."""
    used = run.manifest.facts.get("arithmetic") or [run.manifest.facts]
    return ", then ".join(dict.fromkeys(str(each.get(name, "not known")) for each in used))


def _side(run: Run, judged: Evaluation | None) -> Side:
    from data.report.comparison_page import Side

    manifest = run.manifest
    made_with = {name: arithmetic(run, name) for name in ("device", "precision", "threads")}
    made_with |= {"commit": manifest.commit or "", "host": manifest.host, **manifest.versions, **run.network}
    return Side(
        name=run.folder.name,
        parameters=run.parameters,
        history=read_history(run.folder / "history.csv"),
        accuracy=judged.accuracy if judged else {},
        seconds=training_seconds(run),
        finished=manifest.finished,
        made_with=made_with,
    )
