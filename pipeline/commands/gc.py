"""What `gc` removes: artifacts and unfinished work of the pipeline that nothing reaches and no living run needs."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import luigi

from data.base.temporary import temporary_name
from data.base.words import counted, human_size, show
from pipeline.commands.root_task import split_roots, task_from
from pipeline.commands.runs import accuracies
from tasks.contract import artifacts
from tasks.contract.graph import walk
from tasks.library import evaluations, in_use, inventory
from tasks.library.trained_runs import trained_runs
from tasks.setup.user_errors import StageError


@dataclass(frozen=True)
class Unneeded:
    """A path that no root reaches. `artifact`: it is an artifact, not work or what a kill left."""

    path: Path
    artifact: bool = False

    def why_kept(self) -> str:
        """Why it must stay for now; empty if it may go."""
        if process := in_use.needed_by_others().get(inventory.whose(self.path)):
            return f"{process} needs it"
        if self.path.is_symlink():
            return "a link; remove it and what it points to yourself"
        whole = self.path.is_dir() and not self.path.name.startswith(".")
        strangers = inventory.strangers(self.path) if whole else []
        return f"holds what the pipeline did not make: {', '.join(strangers[:3])}" if strangers else ""


def unreached(roots: list[luigi.Task], downloads: bool) -> list[Unneeded]:
    """What no root reaches, in the order in which it is removed. Downloads, partial ones too, only on request."""
    reached = _reached(roots)

    def unneeded(path: Path) -> bool:
        kept = inventory.stage_of(path).startswith("download-") and not downloads
        return not kept and inventory.whose(path) not in reached

    finished = [path for path in inventory.all_artifacts() if unneeded(path)]
    work = [path for path in (*inventory.work_folders(), *inventory.parts()) if unneeded(path)]
    gone = {*finished, *work}
    left = [path for path in inventory.leftovers() if not gone.intersection(path.parents)]
    return [*(Unneeded(path, artifact=True) for path in finished), *map(Unneeded, [*work, *left])]


def _reached(roots: list[luigi.Task]) -> set[Path]:
    """The artifacts of all stages of the roots, and unfinished work that is still of use."""
    reached: set[Path] = set()
    seen: dict[Path, artifacts.State] = {}
    for stage in (stage for root in roots for stage in walk(root)):
        reached.add(stage.path)
        state = stage.state(seen)  # for every stage: it also undoes a replacement that was killed
        if state.status != "complete" or stage.keeps_work():
            reached.update(inventory.work_of(stage))
    return reached


def trained_models(unneeded: Iterable[Unneeded]) -> dict[Path, str]:
    """The trained models among these artifacts, each with its accuracy: 'NAME 76.05'."""
    paths = {entry.path for entry in unneeded}
    runs = [run for run in trained_runs() if run.folder in paths]
    judged = evaluations.evaluations(runs)
    return {run.folder: f"{run.name} {accuracies(judged[run.fingerprint])}" for run in runs}


def discard(path: Path) -> None:
    """Remove it all. An artifact is renamed first, so that a kill in the middle leaves no half of one."""
    if path.is_dir() and not path.name.startswith("."):
        try:
            path = path.rename(temporary_name(path))
        except FileNotFoundError:  # another gc was faster
            return
    artifacts.remove(path)
    if os.path.lexists(path):
        raise StageError(
            f"{path}: could not be removed whole; remove it yourself, with the rights that it takes"
        )


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--yes", action="store_true", help="remove what is listed")
    parser.add_argument("--downloads", action="store_true", help="downloads too, finished and partial ones")


def gc(flags: argparse.Namespace) -> int:
    """List what the given roots do not reach; remove it with --yes."""
    yes, roots = flags.yes, split_roots(flags.words)
    if any(not root or root[0].startswith("-") for root in roots):
        show(
            "error: gc needs the task to keep, such as: python -m pipeline gc RunAll --dataset sample",
            file=sys.stderr,
        )
        return 2
    unneeded = unreached([task_from(root, flags.parser) for root in roots], flags.downloads)
    models = trained_models(unneeded)
    sizes: dict[Unneeded, int] = {}
    for entry in unneeded:
        if why := entry.why_kept():
            show(f"keep {entry.path}: {why}")
            continue
        sizes[entry] = artifacts.size(entry.path)
        show(f"{'remove' if yes else 'would remove'} {human_size(sizes[entry]):>12}  {entry.path}")
        if yes:
            discard(entry.path)
    show(_sum(sizes, models) if sizes else "nothing to remove")
    if sizes and not yes:
        show("nothing was removed; add --yes to remove these")
    return 0


def _sum(sizes: dict[Unneeded, int], models: dict[Path, str]) -> str:
    """'23 artifacts, 221.0 MB, 1 trained model: NAME 76.05'"""
    whole = sum(entry.artifact for entry in sizes)
    parts = [counted(whole, "artifact")] if whole else []
    if left := len(sizes) - whole:
        parts.append(f"{counted(left, 'piece')} of unfinished work")
    parts.append(human_size(sum(sizes.values())))
    if names := [models[entry.path] for entry in sizes if entry.path in models]:
        parts.append(f"{counted(len(names), 'trained model')}: {', '.join(names)}")
    return ", ".join(parts)
