"""`python -m pipeline runs` lists trained models, `compare` sets two of them side by side."""

from __future__ import annotations

import argparse
import json
from datetime import UTC, datetime
from typing import Any

from tasks.contract import artifacts
from tasks.library import evaluations
from tasks.library.evaluations import Evaluation
from tasks.library.trained_runs import Run, damaged_runs, trained_runs
from tasks.setup import settings


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON")


def runs(flags: argparse.Namespace) -> int:
    """List the trained models, newest first, by dataset: when, how long, how good, and what differs between them."""
    found = trained_runs()
    judged = evaluations.evaluations(found)
    if flags.json:
        print(json.dumps([_as_json(run, judged[run.fingerprint], found) for run in found], indent=1))
    elif not found:
        print(
            f"no trained model in {settings.artifacts_folder()}; to train one: luigi --module pipeline RunAll"
        )
    else:
        print("\n\n".join(_tables(found, judged)))
    for folder, why in damaged_runs().items() if not flags.json else ():
        print(f"\n{folder.name} is {why}; the luigi command that trained it makes it again")
    return 0


def _as_json(run: Run, judged: list[Evaluation], all_runs: list[Run]) -> dict[str, Any]:
    alike = _same_data(run, all_runs)
    return {
        "run": run.fingerprint,
        "folder": str(run.folder),
        "finished": _iso(run.manifest["finished"]),
        "minutes": round(evaluations.training_seconds(run) / 60, 2),
        "parameters": run.parameters,
        "differs": {
            name: run.parameters[name] for name in evaluations.varying(alike) if name in run.parameters
        },
        "evaluations": [
            {
                "split": one.split,
                "task": one.task,
                **{name: one.accuracy[name] for name in ("overall", "perAnswerType", "questions", "metric")},
            }
            for one in judged
        ],
    }


def _same_data(run: Run, all_runs: list[Run]) -> list[Run]:
    """Runs of the same dataset: only between these is it told what differs, as the rest follows from the data."""
    return [other for other in all_runs if other.parameters["dataset"] == run.parameters["dataset"]]


def _tables(found: list[Run], judged: dict[str, list[Evaluation]]) -> list[str]:
    """One table a dataset."""
    datasets = dict.fromkeys(run.parameters["dataset"] for run in found)
    return [
        _table(name, [run for run in found if run.parameters["dataset"] == name], judged) for name in datasets
    ]


def _table(dataset: str, found: list[Run], judged: dict[str, list[Evaluation]]) -> str:
    columns = evaluations.varying(found) or ["model", "epochs"]
    flags = {run.fingerprint: tuple(str(run.parameters.get(name)) for name in columns) for run in found}
    several = len(set(flags.values())) < len(found)  # the same flags twice: what was learnt from must differ
    rows = [["run", "trained", "minutes", "accuracy", *columns, *(["data"] if several else [])]]
    for run in found:
        rows.append(
            [
                run.fingerprint,
                _iso(run.manifest["finished"])[:16].replace("T", " "),
                f"{evaluations.training_seconds(run) / 60:.1f}",
                accuracies(judged[run.fingerprint]),
                *(str(run.parameters.get(name, "–")) for name in columns),
                *([_data(run)] if several else []),
            ]
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
    return "\n".join([f"{dataset} ({len(found)} trained)", *lines])


def _data(run: Run) -> str:
    """Six digits that stand for the questions, answers and features that it was trained on."""
    used = {name: entry["digest"] for name, entry in run.manifest["inputs"].items()}
    return artifacts.fingerprint(used)[:6]


def accuracies(judged: list[Evaluation]) -> str:
    """Of one run: '76.05', of several evaluations with commas between."""
    return ", ".join(_accuracy(one) for one in judged) or "not judged"


def _accuracy(one: Evaluation) -> str:
    """'76.05', and what it is of where that is not the open-ended val."""
    about = " ".join(word for word in (one.split, one.task) if word not in ("val", "open-ended"))
    return f"{one.accuracy['overall']:.2f}{f' ({about})' if about else ''}"


def _iso(finished: float) -> str:
    return datetime.fromtimestamp(finished, UTC).isoformat(timespec="seconds")
