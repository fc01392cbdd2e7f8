"""What a run that came to its end leaves: how many stages it ran, the accuracy, the report, and what to type next."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

import luigi

from tasks.contract import artifacts
from tasks.contract.graph import walk
from tasks.contract.stage import PROCESS_STARTED, Stage
from tasks.library.model_of_run import can_look
from tasks.library.trained_runs import Run, trained_runs
from tasks.stages.evaluate import EvaluateModel
from tasks.stages.predict import PredictAnswers
from tasks.stages.report import Report
from tasks.stages.train import TrainModel

Made = TypeVar("Made", bound=Stage)


def outcome(root: luigi.Task) -> list[str]:
    """The last lines of a run of `root`, for people."""
    stages = walk(root)
    ran = sum(_ran_now(stage) for stage in stages)
    lines = [
        f"done: {ran} {'stage' if ran == 1 else 'stages'} ran"
        if ran
        else "nothing to do: every artifact is complete"
    ]
    if evaluation := _made(EvaluateModel, root, stages):
        lines += _accuracy(evaluation)
    elif predictions := _made(PredictAnswers, root, stages):
        lines.append(f"answers   {predictions.path}")
    if report := _made(Report, root, stages):
        lines.append(f"report    {report.path / 'report.html'}")
    if model := _made(TrainModel, root, stages):
        lines += _next_commands(model)
    return lines


def _ran_now(stage: Stage) -> bool:
    """Did this run, in any of its processes, make the artifact? One that was kept has been there before."""
    manifest = artifacts.inspect(stage.path).manifest
    return manifest is not None and manifest.finished > PROCESS_STARTED


def _made(kind: type[Made], root: Any, stages: list[Stage]) -> Made | None:
    """The root's own stage of a kind: those of a baseline have another model."""
    own = (stage for stage in stages if isinstance(stage, kind))
    return next((stage for stage in own if stage.model == root.model and stage.complete()), None)  # type: ignore[attr-defined]


def _accuracy(stage: EvaluateModel) -> list[str]:
    """Beside the best of what never sees a picture, which all baselines are; a line more where it is of a part."""
    figures = json.loads((stage.path / "accuracy.json").read_text(encoding="utf-8"))
    bounds = figures.get("intervals", {}).get("overall")
    sure = " (95 %: {:.2f} to {:.2f})".format(*bounds) if bounds else ""
    best = max(prior["overall"] for prior in figures["baselines"].values())
    what = f"{figures['questions']:,} questions of {stage.dataset} {stage.eval_split}"
    lines = [
        f"accuracy  {figures['overall']:.2f} %{sure} of {what}; the best that never sees the picture {best:.2f} %"
    ]
    return lines + ([f"          {figures['part']['note']}"] if "part" in figures else [])


def _next_commands(stage: TrainModel) -> list[str]:
    """Nothing for a model that can't be asked about other pictures; --run where another is the newest that can."""
    able = [run for run in trained_runs() if can_look(run)]
    ours = next((run for run in able if run.folder == stage.path), None)
    if ours is None:
        return []
    vqa, run = command_path(), _named(ours, able[0])
    needs = "" if find_spec("gradio") else "   (needs gradio, and says how to install it)"
    return [f'ask       {vqa} ask{run} photo.jpg "What is this?"', f"page      {vqa} serve{run}{needs}"]


def _named(ours: Run, newest: Run) -> str:
    return "" if ours == newest else f" --run {ours.fingerprint}"


def command_path() -> str:
    """`vqa` as this terminal can type it: by its path where no environment is activated."""
    ours = Path(sys.executable).parent / "vqa"
    on_path = shutil.which("vqa")
    if on_path and ours.exists() and os.path.samefile(on_path, ours):
        return "vqa"
    path = ours.relative_to(Path.cwd()) if ours.is_relative_to(Path.cwd()) else ours
    return shlex.quote(str(path)) if ours.exists() else f"{shlex.quote(sys.executable)} -m pipeline"
