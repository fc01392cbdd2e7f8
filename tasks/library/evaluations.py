"""What became of trained models: their evaluations, found by the manifests that lead back to each model."""

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
from tasks.library.judged_questions import picture_reader, read_history, read_judged
from tasks.library.trained_runs import Run, command, complete_artifacts, here
from tasks.stages.download import DownloadImages
from tasks.stages.evaluate import EvaluateModel

if TYPE_CHECKING:
    from data.report.comparison_page import Comparison, Side
    from data.report.report_data import Judged


@dataclass(frozen=True)
class Evaluation:
    """One judgement of a trained model: the EvaluateModel artifact, and the inputs of it and its predictions."""

    folder: Path
    split: str
    task: str
    finished: float
    upstream: dict[str, Path]
    digests: dict[str, str]

    @cached_property
    def accuracy(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "accuracy.json").read_text(encoding="utf-8"))
        return found

    def file(self, name: str, file: str) -> Path:
        """A file of an input, as a Stage has it."""
        return self.upstream[name] / file

    def gone(self) -> list[Path]:
        """What tells the questions and answers, and was removed since."""
        names = ("predictions", "vocabulary", f"asked-{self.split}", f"annotations-{self.split}")
        return [self.upstream[name] for name in names if not self.upstream[name].is_dir()]


def evaluations(runs: Iterable[Run]) -> dict[str, list[Evaluation]]:
    """The evaluations of each run by its fingerprint, open-ended before multiple-choice, the newest of each kind.

    What was judged before its model was trained again, to other weights, is left out.
    """
    models = {run.folder.name: run for run in runs}
    found: dict[str, dict[tuple[str, str], Evaluation]] = {run.fingerprint: {} for run in models.values()}
    for folder, manifest in complete_artifacts(EvaluateModel):
        if (traced := _trace(folder, manifest)) is None:
            continue
        one, model = traced
        run = models.get(one.upstream["model"].name)
        if run is None or run.manifest["digest"] != model:
            continue
        kinds = found[run.fingerprint]
        before = kinds.get((one.task, one.split))
        if before is None or before.finished < one.finished:
            kinds[one.task, one.split] = one
    return {
        fingerprint: [kinds[kind] for kind in sorted(kinds, reverse=True)]
        for fingerprint, kinds in found.items()
    }


def _trace(folder: Path, manifest: dict[str, Any]) -> tuple[Evaluation, str] | None:
    """An evaluation and the digest of the model that it judged; None where its predictions are gone or others now."""
    if "predictions" not in manifest["inputs"]:
        return None
    predictions = artifacts.complete(here(manifest["inputs"]["predictions"]["path"]), "PredictAnswers")
    if predictions is None or predictions["digest"] != manifest["inputs"]["predictions"]["digest"]:
        return None
    inputs = predictions["inputs"] | manifest["inputs"]
    flags = manifest["key"]["parameters"]
    one = Evaluation(
        folder,
        flags["eval_split"],
        flags["task"],
        manifest["finished"],
        {name: here(used["path"]) for name, used in inputs.items()},
        {name: used["digest"] for name, used in inputs.items()},
    )
    return one, inputs["model"]["digest"]


def training_seconds(run: Run) -> float:
    """Of all its epochs, also those before an interruption."""
    return sum(row.get("seconds", 0.0) for row in read_history(run.folder / "history.csv"))


def varying(runs: list[Run]) -> list[str]:
    """Flags whose values differ between those of these runs that read them, in the order in which flags are stated."""
    names = dict.fromkeys(name for run in runs for name in run.parameters)
    values = {name: {repr(run.parameters[name]) for run in runs if name in run.parameters} for name in names}
    return [name for name in names if len(values[name]) > 1]


def compare(first: Run, second: Run) -> tuple[Comparison, Callable[[int], bytes]]:
    """Two runs side by side on what both were judged on, and a function that reads the pictures asked about."""
    from data.report.comparison_page import Comparison

    judged = evaluations([first, second])
    one, other, remarks = _alike(first, second, judged)
    about = ""
    pairs: list[tuple[Judged, Judged]] = []
    read: Callable[[int], bytes] = no_picture
    if one and other and not remarks:
        dataset = first.parameters["dataset"]
        about = f"{dataset} {one.split}, {one.task}"
        pairs, read, remarks = _questions(one, other, dataset)
    sides = [_side(run, found) for run, found in ((first, one), (second, other))]
    remarks = [*remarks, *_losses(first, second, one, other)]
    return Comparison(sides[0], sides[1], about, remarks, pairs), read


def _alike(
    first: Run, second: Run, judged: dict[str, list[Evaluation]]
) -> tuple[Evaluation | None, Evaluation | None, list[str]]:
    """The evaluations to set side by side, of one split and task where there are such, and why they don't compare."""
    mine, theirs = judged[first.fingerprint], judged[second.fingerprint]
    for run, found in ((first, mine), (second, theirs)):
        if not found:
            name = "A" if run is first else "B"
            why = f"{name} was not judged, so it has no accuracy to compare. To judge it: {command(run, EvaluateModel)}"
            return next(iter(mine), None), next(iter(theirs), None), [why]
    datasets = [run.parameters["dataset"] for run in (first, second)]
    if datasets[0] != datasets[1]:
        why = (
            f"Accuracies: A was judged on {datasets[0]} and B on {datasets[1]}, which have no question in common. "
            "They stand side by side without a difference, and no single question is compared."
        )
        return mine[0], theirs[0], [why]
    for one in mine:
        for other in theirs:
            if (one.split, one.task) == (other.split, other.task):
                return one, other, _other_annotations(one, other)
    kinds = [" and ".join(f"{one.split}, {one.task}" for one in found) for found in (mine, theirs)]
    why = (
        f"Accuracies: A was judged on {kinds[0]}, B on {kinds[1]}: nothing in common, so no difference is given. "
        f"To judge A as B was: {command(first, EvaluateModel, task=theirs[0].task)}"
    )
    return mine[0], theirs[0], [why]


def _other_annotations(one: Evaluation, other: Evaluation) -> list[str]:
    name = f"annotations-{one.split}"
    if one.digests.get(name) == other.digests.get(name):
        return []
    return [
        f"Accuracies: the annotations of {one.split} changed between the two (digest {one.digests.get(name, '')[:16]} "
        f"and {other.digests.get(name, '')[:16]}), so no difference is given. Judge both again to compare them."
    ]


def _questions(
    one: Evaluation, other: Evaluation, dataset: str
) -> tuple[list[Any], Callable[[int], bytes], list[str]]:
    """The questions that both answered, pairwise, a reader of their pictures, and what is missing."""
    if sources.dataset(dataset).ready_made:
        return [], no_picture, [f"Questions: {dataset} has no texts and no pictures to show."]
    if gone := [*one.gone(), *other.gone()]:
        why = f"Questions: {gone[0].parent.name}/{gone[0].name} was removed, so none is shown."
        return [], no_picture, [why]
    mine = read_judged(one, dataset, one.split)
    theirs = {judged.question_id: judged for judged in read_judged(other, dataset, other.split)}
    pairs = [(judged, theirs[judged.question_id]) for judged in mine if judged.question_id in theirs]
    remarks = []
    if len(pairs) < max(len(mine), len(theirs)):
        remarks.append(
            f"Accuracies: A answered {len(mine):,} questions, B {len(theirs):,}, and {len(pairs):,} are the same; the "
            "difference is over different questions, the counts below are over the same ones."
        )
    return pairs, pictures(dataset, one.split), remarks


def pictures(dataset: str, split: str) -> Callable[[int], bytes]:
    """Reads the pictures of a split by image id where they are still here; else each is empty."""
    try:
        images = DownloadImages(image_set=sources.dataset(dataset).split(split).image_set)
        if images.state().status != "complete":
            return no_picture
        return picture_reader(images, dataset, split)
    except (DataError, OSError):
        return no_picture


def no_picture(number: int) -> bytes:
    """A reader where there are no pictures."""
    return b""


def _losses(first: Run, second: Run, one: Evaluation | None, other: Evaluation | None) -> list[str]:
    """Why two losses can't be set side by side, if so."""
    if first.parameters["target"] != second.parameters["target"]:
        return [
            "Losses: one model learnt the consensus answer, the other each answer's score; the units differ."
        ]
    if one and other and one.digests.get("vocabulary") != other.digests.get("vocabulary"):
        return ["Losses: the two models have other answer classes, so a loss counts other questions in each."]
    return []


def _side(run: Run, judged: Evaluation | None) -> Side:
    from data.report.comparison_page import Side

    manifest = run.manifest
    made_with = {name: str(manifest["facts"].get(name, "")) for name in ("device", "precision", "threads")}
    made_with |= {"commit": manifest.get("commit") or "", "host": manifest["host"], **manifest["versions"]}
    return Side(
        name=run.folder.name,
        parameters=run.parameters,
        history=read_history(run.folder / "history.csv"),
        accuracy=judged.accuracy if judged else {},
        seconds=training_seconds(run),
        finished=manifest["finished"],
        made_with=made_with,
    )
