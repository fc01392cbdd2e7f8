"""Trained models among the artifacts, and what they were made from: known by their manifests, not by today's flags."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.errors import DataError
from tasks import artifacts, settings


@dataclass(frozen=True)
class Run:
    """A complete artifact of TrainModel."""

    folder: Path
    manifest: dict[str, Any]

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def fingerprint(self) -> str:
        return self.name.rpartition("-")[2]

    @property
    def finished(self) -> float:
        """Seconds since 1970."""
        return float(self.manifest["finished"])

    @property
    def parameters(self) -> dict[str, Any]:
        """The flags that it was trained with, by their names with underscores."""
        found: dict[str, Any] = self.manifest["key"]["parameters"]
        return found


def trained_runs() -> list[Run]:
    """The complete artifacts of TrainModel, newest first."""
    root = settings.artifacts_folder() / "train-model"
    folders = [path for path in root.iterdir() if path.name[0] != "."] if root.is_dir() else []
    states = [(folder, artifacts.inspect(folder, "TrainModel")) for folder in folders]
    found = [
        Run(folder, state.manifest)
        for folder, state in states
        if state.status == "complete" and state.manifest
    ]
    return sorted(found, key=lambda run: run.finished, reverse=True)


def find_run(name: str = "") -> Run:
    """The run of that folder name or fingerprint, or of its unambiguous beginning; the newest for nothing.

    DataError, with the runs that there are, where none or several match.
    """
    runs = trained_runs()
    if not runs:
        raise DataError(
            f"no trained model in {settings.artifacts_folder()}; to train one: luigi --module pipeline RunAll"
        )
    matching = [run for run in runs if run.name.startswith(name) or run.fingerprint.startswith(name)]
    exact = [run for run in matching if name in (run.name, run.fingerprint)]
    if not name or len(exact or matching) == 1:
        return (exact or matching)[0]
    listed = ", ".join(run.name for run in (matching or runs)[:5])
    what = f"{len(matching)} runs begin so" if matching else "no such run"
    raise DataError(f"{name}: {what}; there are {listed}; python -m pipeline runs lists all")


def input_of(run: Run, *names: str) -> Path:
    """An input of the run by its name, and of that by the next name: ("features-train", "weights").

    DataError where one is gone, or is another by now: with the command that makes it again.
    """
    folder, manifest = run.folder, run.manifest
    for name in names:
        used = manifest["inputs"].get(name)
        if used is None:
            raise DataError(f"{folder}: was made without {name}")
        folder = here(used["path"])
        state = artifacts.inspect(folder)
        if state.manifest is None or state.status != "complete" or state.manifest["digest"] != used["digest"]:
            why = state.why or "made again since, with another content"
            raise DataError(f"{folder}: {why}; to make it and the model again: {train_command(run)}")
        manifest = state.manifest
    return folder


def here(recorded: str) -> Path:
    """Where an input lies now: the artifacts folder may have been moved since its path was recorded."""
    path = Path(recorded)
    return settings.artifacts_folder() / path.parent.name / path.name


def train_command(run: Run) -> str:
    """The command line that makes this run."""
    flags = " ".join(
        f"--{name.replace('_', '-')}" if value is True else f"--{name.replace('_', '-')} {value}"
        for name, value in sorted(run.parameters.items())
        if value is not False
    )
    return f"luigi --module pipeline TrainModel {flags}"
