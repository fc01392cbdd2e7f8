"""`python -m pipeline plan`: what a run would do, why, and at what cost. Imports no torch, reads no array."""

from __future__ import annotations

import argparse
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import luigi

from data.base.words import human_seconds, human_size
from pipeline.commands.root_task import task_from
from tasks.contract import artifacts
from tasks.contract.source import source_digest
from tasks.contract.stage import Stage, walk
from tasks.setup import settings


@dataclass(frozen=True)
class Step:
    """One line of a plan: `action` is keep or run."""

    stage: Stage
    action: str
    why: str


def planned_steps(root: luigi.Task) -> list[Step]:
    """Every stage that `root` reaches, inputs first, with what the next run would do to it, and why.

    A stage that is gone but that nothing needs (all that would read it is kept) is left out, as Luigi leaves it.
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
            needed |= {above.path for above in stage.upstream.values()}
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
    if state.manifest and state.manifest.get("source") != source_digest(stage):
        return Step(stage, "keep", "source differs, version not bumped")
    return Step(stage, "keep", "")


def _what_changed(stage: Stage) -> str:
    """Compare a missing artifact's key with the most alike that is there: 'changed: epochs 10 → 20'."""
    alike = [
        known for known in _siblings(stage) if known["key"]["parameters"].keys() and _same_name(stage, known)
    ]
    if not alike:
        return "never built"
    nearest = min(alike, key=lambda known: (len(_differences(stage, known)), -known.get("finished", 0)))
    differences = _differences(stage, nearest)
    return f"changed: {', '.join(differences)}" if differences else "never built"


def _same_name(stage: Stage, known: dict[str, Any]) -> bool:
    then = known["key"]["parameters"]
    return all(then.get(name) == getattr(stage, name) for name in stage.named_by)


def _differences(stage: Stage, known: dict[str, Any]) -> list[str]:
    now, then = stage.key, known["key"]
    found = []
    if now["version"] != then["version"]:
        found.append(f"version {then['version']} → {now['version']}")
    for name in sorted(now["parameters"].keys() | then["parameters"].keys()):
        old, new = then["parameters"].get(name), now["parameters"].get(name)
        if old != new:
            found.append(f"{name} {old} → {new}")
    if not found:
        moved = [name for name in now["upstream"] if now["upstream"][name] != then["upstream"].get(name)]
        found = [f"input {name}" for name in moved]
    return found


def _siblings(stage: Stage) -> list[dict[str, Any]]:
    folders = stage.path.parent.iterdir() if stage.path.parent.is_dir() else iter(())
    states = (artifacts.inspect(folder) for folder in folders if not folder.name.startswith("."))
    return [state.manifest for state in states if state.manifest]


def costs(steps: list[Step]) -> dict[str, float]:
    """What the plan's runs would take: bytes to download, bytes of disk, and seconds where manifests know."""
    total = {"download": 0.0, "disk": 0.0, "seconds": 0.0, "unknown": 0.0}
    for step in steps:
        if step.action != "run":
            continue
        for name, amount in step.stage.costs().items():
            total[name] += amount
        seconds = seconds_expected(step.stage)
        total["seconds"] += seconds or 0
        total["unknown"] += seconds is None
    return total


def seconds_expected(stage: Stage) -> float | None:
    """From earlier artifacts of the same stage; None if none tells.

    Where seconds grow with units (pictures, bytes): the rate of the largest with the same backbone, for a few
    pictures take as long as a start does. Else the newest of the same name.
    """
    known = sorted(_siblings(stage), key=lambda manifest: -manifest.get("finished", 0))
    if units := stage.units():
        backbone = stage.key["parameters"].get("backbone")
        alike = [one for one in known if one["key"]["parameters"].get("backbone") == backbone]
        largest = max(alike, key=lambda one: one["facts"].get("units") or 0, default=None)
        then = largest["facts"].get("units") if largest else None
        return float(largest["seconds"] / then * units) if largest and then else None
    return next((float(one["seconds"]) for one in known if _same_name(stage, one)), None)


def free_disk() -> int:
    """Bytes free where artifacts go."""
    folder = settings.artifacts_folder()
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def plan(flags: argparse.Namespace) -> int:
    """Print keep or run for every stage, then what the runs would take."""
    steps = planned_steps(task_from(flags.words, flags.parser))
    width = max((len(step.stage.stage_name()) + len(step.stage.slug) for step in steps), default=0) + 3
    for step in steps:
        name = f"{step.stage.stage_name()}  {step.stage.slug}"
        print(f"{step.action:5} {name:{width}} {_short(step.why)}".rstrip())
    running = [step for step in steps if step.action == "run"]
    if not running:
        print("nothing to do")
        return 0
    total = costs(steps)
    print(f"{len(running)} to run, {len(steps) - len(running)} kept; {_cost_line(total)}")
    return 0


def _short(why: str) -> str:
    return why if len(why) < 160 else why[:157] + "..."


def _cost_line(total: dict[str, float]) -> str:
    parts = [
        f"to download {human_size(total['download'])}",
        f"disk {human_size(total['disk'])} of {human_size(free_disk())} free",
    ]
    known = f"about {human_seconds(total['seconds'])}" if total["seconds"] else "time not known"
    if total["unknown"] and total["seconds"]:
        known += f" and {total['unknown']:.0f} stages whose time is not known"
    return ", ".join([*parts, known])
