"""`python -m pipeline runs` lists trained models, `compare` sets two of them side by side."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from typing import Any

from data.base.words import Lines, show, show_json
from tasks.contract.manifest import short_hash
from tasks.library import evaluations
from tasks.library.evaluations import Evaluation
from tasks.library.trained_runs import Run, damaged_runs, trained_runs
from tasks.setup import settings


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON")


def runs(flags: argparse.Namespace) -> int:
    """List the trained models, newest first, by dataset: when, how long, how good, and what differs between them."""
    all_runs = trained_runs()
    judged = evaluations.evaluations(all_runs)
    if flags.json:
        show_json([_as_json(run, judged[run.fingerprint], all_runs) for run in all_runs])
    elif not all_runs:
        show(
            f"no trained model in {settings.artifacts_folder()}; to train one: luigi --module pipeline RunAll"
        )
    else:
        first, *more = _tables(all_runs, judged)
        show(first, *(line for table in more for line in ("", table)))
        notes = [
            f"{run.fingerprint}: {evaluation.part}"
            for run in all_runs
            for evaluation in judged[run.fingerprint]
            if evaluation.part
        ]
        if notes:
            show("", *notes)
    for folder, why in damaged_runs().items() if not flags.json else ():
        show("", f"{folder.name} is {why}; the luigi command that trained it makes it again")
    return 0


def _as_json(run: Run, judged: list[Evaluation], all_runs: list[Run]) -> dict[str, Any]:
    alike = _same_data(run, all_runs)
    return {
        "run": run.fingerprint,
        "folder": str(run.folder),
        "finished": _iso(run.manifest.finished),
        "minutes": round(evaluations.training_seconds(run) / 60, 2),
        "arithmetic": run.manifest.facts.get("arithmetic", []),
        "parameters": run.parameters,
        "trained_parameters": run.manifest.facts.get("trained_parameters"),
        "reads": run.manifest.facts.get("reads"),
        "differs": {
            name: run.parameters[name] for name in evaluations.varying(alike) if name in run.parameters
        },
        "evaluations": [
            {
                "split": evaluation.split,
                "task": evaluation.task,
                **{
                    name: evaluation.accuracy[name]
                    for name in ("overall", "perAnswerType", "questions", "metric")
                },
                "intervals": evaluation.accuracy.get("intervals"),  # not in evaluations by earlier versions
                **({"part": evaluation.accuracy["part"]} if evaluation.part else {}),
                "picture_worth": evaluation.accuracy.get("picture_worth"),
            }
            for evaluation in judged
        ],
    }


def _same_data(run: Run, all_runs: list[Run]) -> list[Run]:
    """Runs of the same dataset: differences are only shown between these, as others follow from the data."""
    return [other for other in all_runs if other.parameters["dataset"] == run.parameters["dataset"]]


def _tables(all_runs: list[Run], judged: dict[str, list[Evaluation]]) -> list[str]:
    """One table a dataset."""
    datasets = dict.fromkeys(run.parameters["dataset"] for run in all_runs)
    return [
        _table(name, [run for run in all_runs if run.parameters["dataset"] == name], judged)
        for name in datasets
    ]


def _table(dataset: str, of_dataset: list[Run], judged: dict[str, list[Evaluation]]) -> str:
    columns = evaluations.varying(of_dataset) or ["model", "epochs"]
    flags = {run.fingerprint: tuple(str(run.parameters.get(name)) for name in columns) for run in of_dataset}
    several = len(set(flags.values())) < len(of_dataset)  # the same flags twice: the data must differ
    sizes = ["parameters"] if "model" in columns else []
    worths = {run.fingerprint: _worths(judged[run.fingerprint]) for run in of_dataset}
    worth = ["picture worth"] if any(worths.values()) else []
    rows = [
        ["run", "trained", "minutes", "accuracy", *worth, *columns, *sizes, *(["data"] if several else [])]
    ]
    mixed = [run for run in of_dataset if len(run.manifest.facts.get("arithmetic", ())) > 1]
    if mixed:
        rows[0].append("arithmetic")
    for run in of_dataset:
        rows.append(
            [
                run.fingerprint,
                _iso(run.manifest.finished)[:16].replace("T", " "),
                f"{evaluations.training_seconds(run) / 60:.1f}",
                accuracies(judged[run.fingerprint]),
                *([worths[run.fingerprint] or "–"] if worth else []),
                *(str(run.parameters.get(name, "–")) for name in columns),
                *(run.network["trained parameters"] for _ in sizes),
                *([_data(run)] if several else []),
                *(["mixed" if run in mixed else ""] if mixed else []),
            ]
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
    return Lines(f"{dataset} ({len(of_dataset)} trained)", *lines)


def _data(run: Run) -> str:
    """Six digits for the questions, answers and features that it was trained on."""
    used = {name: read.digest for name, read in run.manifest.inputs.items()}
    return short_hash(used)[:6]


def accuracies(judged: list[Evaluation]) -> str:
    """The accuracies of a run's evaluations, with commas between: '76.05 [73.90 to 78.12]'."""
    return ", ".join(_accuracy(evaluation) for evaluation in judged) or "not judged"


def _worths(judged: list[Evaluation]) -> str:
    """'26.71', the points that each evaluation loses with another question's picture, in the order of `accuracies`."""
    worths = [evaluation.accuracy.get("picture_worth") for evaluation in judged]
    points = [f"{worth['exchanged']['worth']['overall']:.2f}" if worth else "–" for worth in worths]
    return ", ".join(points) if any(worths) else ""


def _accuracy(evaluation: Evaluation) -> str:
    """'76.05 [73.90 to 78.12]', with split and task where these are not val and open-ended, and whether of a part."""
    words = (evaluation.split, evaluation.task, "part" if evaluation.part else "")
    about = " ".join(word for word in words if word not in ("val", "open-ended", ""))
    interval = evaluation.accuracy.get("intervals", {}).get("overall")
    bounds = " [{:.2f} to {:.2f}]".format(*interval) if interval else ""
    return f"{evaluation.accuracy['overall']:.2f}{bounds}{f' ({about})' if about else ''}"


def _iso(finished: float) -> str:
    return datetime.fromtimestamp(finished, UTC).isoformat(timespec="seconds")
