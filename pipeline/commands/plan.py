"""`python -m pipeline plan`: what a run would do, why, and at what cost. Imports no torch, reads no array."""

from __future__ import annotations

import argparse
import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path

import luigi

from data.base.words import Lines, human_seconds, human_size, show
from pipeline import device_check
from pipeline.commands.root_task import task_from
from tasks.contract import artifacts
from tasks.contract.flagged import Flagged
from tasks.contract.graph import walk
from tasks.contract.manifest import Manifest
from tasks.contract.source import source_digest
from tasks.contract.stage import Stage
from tasks.setup import settings
from tasks.setup.experiment import Experiment, as_typed


@dataclass(frozen=True)
class Step:
    """One line of a plan: `action` is keep or run."""

    stage: Stage
    action: str
    why: str


def planned_steps(root: luigi.Task) -> list[Step]:
    """Every stage that `root` reaches, inputs first, with what the next run would do with it, and why.

    A stage that is gone but not needed (all that would read it is kept) is left out, as Luigi skips it.
    """
    seen: dict[Path, artifacts.State] = {}
    stages = walk(root)
    states = {stage.path: stage.state(seen) for stage in stages}
    needed = _needed(root, stages, states)
    steps: dict[str, Step] = {}
    for stage in stages:
        if stage.path in needed:
            steps[stage.task_id] = _step(stage, states[stage.path], steps)
    return list(steps.values())


def _needed(root: luigi.Task, stages: list[Stage], states: dict[Path, artifacts.State]) -> set[Path]:
    """Paths that a plan has a line for: the roots, the inputs of all that must run, and whatever is there."""
    roots = [root] if isinstance(root, Stage) else luigi.task.flatten(root.requires())
    needed = {stage.path for stage in roots}
    for stage in reversed(stages):
        kept = states[stage.path].status == "complete" and not stage.rerun
        if stage.path in needed and not kept:
            needed |= {above.path for above in stage.requires()}
    return needed | {path for path, state in states.items() if state.status != "gone"}


def _step(stage: Stage, state: artifacts.State, steps: dict[str, Step]) -> Step:
    rebuilt = [
        name
        for name, above in stage.upstream.items()
        if steps.get(above.task_id, Step(above, "", "")).action == "run"
    ]
    if stage.rerun and not stage.complete():
        return Step(stage, "run", "forced")
    if state.status == "gone":
        return Step(stage, "run", _what_changed(stage))
    if state.status == "damaged":
        return Step(stage, "run", state.why)
    if state.status == "stale":
        names = ", ".join(rebuilt) or state.why
        return Step(stage, "run", f"input {names} rebuilt" if rebuilt else state.why)
    if state.manifest and state.manifest.source != source_digest(stage):
        return Step(stage, "keep", "source differs, version not bumped")
    return Step(stage, "keep", "")


def _what_changed(stage: Stage) -> str:
    """Compare a missing artifact's key with the most similar one that is there: 'changed: epochs 10 → 20'."""
    alike = [known for known in _siblings(stage) if known.key.parameters and _same_name(stage, known)]
    if not alike:
        return "never built"
    nearest = min(alike, key=lambda known: (len(_differences(stage, known)), -known.finished))
    differences = _differences(stage, nearest)
    return f"changed: {', '.join(differences)}" if differences else "never built"


def _same_name(stage: Stage, known: Manifest) -> bool:
    then = known.key.parameters
    return all(then.get(name) == getattr(stage, name) for name in stage.named_by)


def _differences(stage: Stage, known: Manifest) -> list[str]:
    now, then = stage.key, known.key
    changes = []
    if now.version != then.version:
        changes.append(f"version {then.version} → {now.version}")
    before, after = (stage.neutral_values() | key.parameters for key in (then, now))
    for name in sorted(before.keys() | after.keys()):
        old, new = before.get(name), after.get(name)
        if old != new:
            changes.append(f"{name} {old} → {new}")
    if not changes:
        moved = [name for name in now.upstream if now.upstream[name] != then.upstream.get(name)]
        changes = [f"input {name}" for name in moved]
    return changes


def _siblings(stage: Stage) -> list[Manifest]:
    folders = stage.path.parent.iterdir() if stage.path.parent.is_dir() else iter(())
    states = (artifacts.inspect(folder) for folder in folders if not folder.name.startswith("."))
    return [state.manifest for state in states if state.manifest]


@dataclass(frozen=True)
class Cost:
    """What a stage would take: bytes to download and of disk, as far as known, and seconds where a manifest tells.

    `pictures`: how many it looks at, where it does and the number is known. `unsized`: files to download whose size
    nobody has published.
    """

    pictures: int | None
    download: int
    disk: int
    unsized: int
    seconds: float | None


def cost_of(stage: Stage) -> Cost:
    known = stage.costs()
    return Cost(
        pictures=stage.units() if stage.unit == "pictures" else None,
        download=known.get("download", 0),
        disk=known.get("disk", 0),
        unsized=known.get("unsized", 0),
        seconds=seconds_expected(stage),
    )


def seconds_expected(stage: Stage) -> float | None:
    """From earlier artifacts of the same stage; None if there are none.

    Where seconds grow with units (pictures, bytes): the rate of the largest with the same backbone, because with few
    pictures the start takes most of the time. Else the newest of the same name, or what the stage says that it takes.
    """
    known = sorted(_siblings(stage), key=lambda manifest: -manifest.finished)
    if units := stage.units():
        backbone = stage.key.parameters.get("backbone")
        alike = [made for made in known if made.key.parameters.get("backbone") == backbone]
        largest = max(alike, key=lambda made: made.facts.get("units") or 0, default=None)
        then = largest.facts.get("units") if largest else None
        return float(largest.seconds / then * units) if largest and then else None
    if made := next((made for made in known if _same_name(stage, made)), None):
        return made.seconds
    other, times = stage.takes_like() or (None, 0.0)
    seconds = seconds_expected(other) if other else None
    return None if seconds is None else times * seconds


def free_disk() -> int:
    """Bytes free where artifacts go."""
    folder = settings.artifacts_folder()
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def plan(flags: argparse.Namespace) -> int:
    """Print the flags in force, keep or run for every stage, then what the runs would take."""
    root = task_from(flags.words, flags.parser)
    steps = planned_steps(root)
    costs = {step.stage.task_id: cost_of(step.stage) for step in steps if step.action == "run"}
    show(describe(root), *root.remarks(), *_table(steps, costs))
    if not costs:
        show("nothing to do")
        return 0
    show(f"{len(costs)} to run, {len(steps) - len(costs)} kept; {_sum(list(costs.values()))}")
    device_check.check(step.stage for step in steps if step.action == "run")
    return 0


def _table(steps: list[Step], costs: dict[str, Cost]) -> list[str]:
    """A line a stage; the columns of what it costs stand there where something runs."""
    rows = []
    for step in steps:
        name = f"{step.action:5} {step.stage.stage_name()}  {step.stage.slug}"
        rows.append((name, *_cells(costs.get(step.stage.task_id)), _short(step.why)))
    if not costs:
        return [f"{name} {why}".rstrip() for name, *_, why in rows]
    rows.insert(0, ("", "pictures", "download", "disk", "time", ""))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    first, *numbers, _ = widths
    return [
        "  ".join(
            [name.ljust(first), *(cell.rjust(width) for cell, width in zip(cells, numbers, strict=True)), why]
        ).rstrip()
        for name, *cells, why in rows
    ]


def _cells(cost: Cost | None) -> tuple[str, str, str, str]:
    """Pictures, download, disk, time as they are shown; "?" is not known."""
    if cost is None:
        return "", "", "", ""
    pictures = "" if cost.pictures is None else f"{cost.pictures:,}"
    download, disk = (human_size(size) if size else "?" * cost.unsized for size in (cost.download, cost.disk))
    return pictures, download, disk, "?" if cost.seconds is None else human_seconds(cost.seconds)


def describe(root: Flagged) -> str:
    """The flags in force as typed on a command line, a line each for data, pictures and model."""
    return Lines(
        *(
            f"{part:9} {' '.join(shlex.join(as_typed(name, value)) for name, value in values.items())}"
            for part, values in Experiment(root.flags_read).parts.items()
            if values
        )
    )


def _short(why: str) -> str:
    return why if len(why) < 160 else why[:157] + "..."


def _sum(costs: list[Cost]) -> str:
    """Bytes and time of all that runs; no time where most of it is not known."""
    download = f"to download {human_size(sum(cost.download for cost in costs))}"
    if unsized := sum(cost.unsized for cost in costs):
        download += f" and {unsized} {'file' if unsized == 1 else 'files'} of unknown size"
    disk = f"disk {human_size(sum(cost.disk for cost in costs))} of {human_size(free_disk())} free"
    known = [cost.seconds for cost in costs if cost.seconds is not None]
    unknown = len(costs) - len(known)
    if unknown > len(known):
        time = "time not known"
    else:
        more = (
            f" and {unknown} {'stage' if unknown == 1 else 'stages'} whose time is not known"
            if unknown
            else ""
        )
        time = f"about {human_seconds(sum(known))}{more}"
    return f"{download}, {disk}, {time}"
