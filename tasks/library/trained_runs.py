"""Trained models among the artifacts, and what they were made from: known by their manifests, not by today's flags."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.base.errors import DataError
from tasks.contract import artifacts
from tasks.contract.manifest import Manifest
from tasks.contract.stage import Stage
from tasks.library.inventory import artifacts_of
from tasks.setup import settings
from tasks.setup.experiment import as_typed
from tasks.stages.train import TrainModel, network_of


@dataclass(frozen=True)
class Run:
    """A complete artifact of TrainModel."""

    folder: Path
    manifest: Manifest

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def fingerprint(self) -> str:
        return self.name.rpartition("-")[2]

    @property
    def finished(self) -> float:
        """Seconds since 1970."""
        return self.manifest.finished

    @property
    def parameters(self) -> dict[str, Any]:
        """The flags that it was trained with, by their names with underscores; a file of weights by its path."""
        return TrainModel.neutral_values() | self.manifest.key.parameters | self.manifest.flags

    @property
    def network(self) -> dict[str, str]:
        """What the model reads, and how many of its parameters train, as text."""
        return network_of(self.manifest)


def trained_runs() -> list[Run]:
    """The complete artifacts of TrainModel, newest first."""
    runs = [Run(folder, manifest) for folder, manifest in complete_artifacts(TrainModel)]
    return sorted(runs, key=lambda run: run.finished, reverse=True)


def damaged_runs() -> dict[Path, str]:
    """The artifacts of TrainModel that are not whole, with the reason."""
    folders = artifacts_of(TrainModel.stage_name())
    states = {folder: artifacts.inspect(folder, TrainModel.__name__) for folder in folders}
    return {folder: state.why for folder, state in states.items() if state.status == "damaged"}


def check_bytes(run: Run, folder: Path) -> Path:
    """The artifact's folder, after its files were hashed: about a second a gigabyte. DataError where one differs."""
    manifest = artifacts.complete(folder)
    if manifest is None or (wrong := artifacts.verify(folder, manifest)):
        why = "; ".join(wrong) if manifest else "not whole"
        raise DataError(f"{folder} is damaged: {why}; to make it again: {command(run, TrainModel)}")
    return folder


def complete_artifacts(stage: type[Stage]) -> Iterator[tuple[Path, Manifest]]:
    """The complete artifacts of a stage with their manifests, in order of name."""
    for folder in artifacts_of(stage.stage_name()):
        if manifest := artifacts.complete(folder, stage.__name__):
            yield folder, manifest


def find_run(name: str = "") -> Run:
    """The run of that folder name or fingerprint, or of an unambiguous beginning; the newest for "".

    DataError, with the runs that there are, where none or several match.
    """
    runs = trained_runs()
    matching = [run for run in runs if run.name.startswith(name) or run.fingerprint.startswith(name)]
    exact = [run for run in matching if name in (run.name, run.fingerprint)]
    if matching and (not name or len(exact or matching) == 1):
        return (exact or matching)[0]
    for folder, why in damaged_runs().items() if not matching else ():
        if folder.name.startswith(name) or folder.name.rpartition("-")[2].startswith(name):
            raise DataError(f"{folder}: {why}; the luigi command that trained it makes it again")
    if not runs:
        raise DataError(
            f"no trained model in {settings.artifacts_folder()}; to train one: luigi --module pipeline RunAll"
        )
    listed = ", ".join(run.name for run in (matching or runs)[:5])
    what = f"{len(matching)} runs begin so" if matching else "no such run"
    raise DataError(f"{name}: {what}; there are {listed}; python -m pipeline runs lists all")


def input_of(run: Run, *names: str) -> Path:
    """An input of the run by its name, and of that by the next name: ("features-train", "weights").

    DataError, with the command that makes it again, where one is gone or has changed.
    """
    folder, manifest = run.folder, run.manifest
    for name in names:
        used = manifest.inputs.get(name)
        if used is None:
            raise DataError(f"{folder}: was made without {name}; to train again: {command(run, TrainModel)}")
        folder = here(used.path)
        state = artifacts.inspect(folder)
        if state.status != "complete" or state.manifest is None or state.manifest.digest != used.digest:
            why = state.why or "made again since, with another content"
            again = command(run, TrainModel)
            raise DataError(f"{folder}: {why}; to make it and the model again: {again}")
        manifest = state.manifest
    return folder


def here(recorded: str) -> Path:
    """Where an input lies now: the artifacts folder may have been moved since its path was recorded."""
    path = Path(recorded)
    return settings.artifacts_folder() / path.parent.name / path.name


def command(run: Run, stage: type[Stage], **others: Any) -> str:
    """The command line of a stage for this run: its flags, and `others`, as in `typed`."""
    return typed(stage.__name__, stage, stage.neutral_values() | run.parameters | others)


def typed(name: str, stage: type[Stage], values: Mapping[str, Any]) -> str:
    """The command line of a task `name` that has a stage's flags, with those that are not the dataset's defaults.

    What luigi.cfg states is no default here: the line means the same in another folder.
    """
    dataset, model, stated = values["dataset"], values["model"], settings.experiment()
    words = ["luigi", "--module", "pipeline", name, "--dataset", dataset]
    plain = stage(dataset=dataset, model=model)
    if "model" in stated or stage(dataset=dataset).model != model:
        words += ["--model", model]
    for flag, value in values.items():
        told = flag in ("dataset", "model") or not hasattr(plain, flag)
        if not told and (flag in stated or getattr(plain, flag) != value):
            words += as_typed(flag, value)
    return shlex.join(words)
