"""Any number of trained runs side by side, those that differ in nothing but the seed as one model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from data.base.errors import DataError
from tasks.library.evaluations import Evaluation, evaluations, varying
from tasks.library.model_trainings import made, read_training
from tasks.library.trained_runs import Run, command
from tasks.stages.evaluate import EvaluateModel
from tasks.stages.text import split_annotations


def compare_runs(runs: list[Run]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What comparison.json and made.json of CompareModels have, of these runs.

    A run that was not judged, or on other questions than the first that was, is left out with the reason. DataError
    where none was judged.
    """
    from data.scoring.several_seeds import side_by_side

    chosen, left_out = _comparable(runs)
    compared = [run for run in runs if run.fingerprint in chosen]
    dataset, evaluation = compared[0].parameters["dataset"], chosen[compared[0].fingerprint]
    read: Any = evaluation  # it has its inputs as a stage has them
    annotations = split_annotations(read, dataset, evaluation.split)
    names = model_names(compared)
    comparison = side_by_side(
        [
            read_training(
                names[run.fingerprint],
                run.parameters["seed"],
                {**chosen[run.fingerprint].upstream, "evaluation": chosen[run.fingerprint].folder},
                annotations,
                run.fingerprint,
            )
            for run in compared
        ],
        [annotation.image_id for annotation in annotations],
        [annotation.answer_type for annotation in annotations],
    )
    flags = {names[run.fingerprint]: run.parameters for run in compared}
    for model in comparison["models"]:
        model["flags"] = flags[model["name"]]
    trainings = [
        {"model": names[run.fingerprint], "seed": run.parameters["seed"], **made(run)} for run in compared
    ]
    about = {"dataset": dataset, "eval_split": evaluation.split, "task": evaluation.task}
    return {**about, **comparison, "left_out": left_out}, {"trainings": trainings, "command": ""}


def _comparable(runs: list[Run]) -> tuple[dict[str, Evaluation], dict[str, str]]:
    """By fingerprint the evaluations on the same questions as the first run's, and why the others have none."""
    judged = evaluations(runs)
    whole = {
        run.fingerprint: [evaluation for evaluation in judged[run.fingerprint] if not _gone(evaluation)]
        for run in runs
    }
    first = next((run for run in runs if whole[run.fingerprint]), None)
    if first is None:
        raise DataError(
            f"{runs[0].name} {_why(runs[0], judged[runs[0].fingerprint])}; nor can the others be compared"
        )
    wanted = _questions(first, whole[first.fingerprint][0])
    chosen: dict[str, Evaluation] = {}
    left_out: dict[str, str] = {}
    for run in runs:
        alike = [evaluation for evaluation in whole[run.fingerprint] if _questions(run, evaluation) == wanted]
        if alike:
            chosen[run.fingerprint] = alike[0]
        else:
            left_out[run.name] = _why(run, judged[run.fingerprint])
    return chosen, left_out


def _gone(evaluation: Evaluation) -> list[Path]:
    """What of an evaluation is read here, and was removed since."""
    names = ("predictions", "model", f"annotations-{evaluation.split}")
    return [evaluation.upstream[name] for name in names if not evaluation.upstream[name].is_dir()]


def _questions(run: Run, evaluation: Evaluation) -> tuple[str, ...]:
    """What tells the questions that a run was judged on."""
    answers = evaluation.digests.get(f"annotations-{evaluation.split}", "")
    return run.parameters["dataset"], evaluation.split, evaluation.task, evaluation.part, answers


def _why(run: Run, judged: list[Evaluation]) -> str:
    if not judged:
        return f"was not judged; to judge it: {command(run, EvaluateModel)}"
    if gone := _gone(judged[0]):
        return f"can't be compared: {gone[0].parent.name}/{gone[0].name} was removed"
    kinds = " and ".join(f"{evaluation.split}, {evaluation.task}" for evaluation in judged)
    return f"was judged on other questions than the first: {run.parameters['dataset']} {kinds}"


def model_names(runs: list[Run]) -> dict[str, str]:
    """By fingerprint, a name for each run: the same for two where nothing differs but the seed."""
    flags = [name for name in varying(runs) if name not in ("model", "seed")]
    names = {run.fingerprint: _name(run, flags) for run in runs}
    kinds: dict[str, set[str]] = {}
    for run in runs:
        kinds.setdefault(names[run.fingerprint], set()).add(_without_seed(run))
    return {
        fingerprint: name if len(kinds[name]) == 1 else f"{name} {fingerprint[:8]}"
        for fingerprint, name in names.items()
    }


def _name(run: Run, flags: list[str]) -> str:
    """'deeper-lstm, epochs 4': the model and what of these flags it reads."""
    values = [f"{name.replace('_', ' ')} {run.parameters[name]}" for name in flags if name in run.parameters]
    return ", ".join([run.parameters["model"], *values])


def _without_seed(run: Run) -> str:
    """What a run was trained from and with, but for its seed."""
    flags = {name: value for name, value in run.parameters.items() if name != "seed"}
    return json.dumps([flags, run.manifest.key.upstream], sort_keys=True, default=str)
