"""Judged trainings, read for a comparison of models: what CompareModels and `compare` share."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.library.evaluations import arithmetic, training_seconds
from tasks.library.judged_questions import read_history
from tasks.library.trained_runs import Run

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from data.scoring.several_seeds import Training
    from data.text.official import Annotation


def read_training(
    name: str, seed: int, folders: dict[str, Path], annotations: Sequence[Annotation], fingerprint: str
) -> Training:
    """`folders`: those of the artifacts evaluation, predictions and model."""
    from data.scoring.several_seeds import Training

    accuracy = json.loads((folders["evaluation"] / "accuracy.json").read_text(encoding="utf-8"))
    facts = {
        "fingerprint": fingerprint,
        "parameters": parameters_of(folders["model"] / "model.safetensors"),
        "epochs": len(read_history(folders["model"] / "history.csv")),
    }
    return Training(name, seed, accuracy, _scores(folders["predictions"], annotations), facts)


def _scores(predictions: Path, annotations: Sequence[Annotation]) -> NDArray[np.float64]:
    """(Q,) in 0..1, in the order of the annotations; NaN for a question without a prediction."""
    import numpy as np

    from data.scoring.accuracy import question_scores
    from data.scoring.results import read_results

    said = {result.question_id: result.answer for result in read_results(predictions / "results.json")}
    answered = [number for number, annotation in enumerate(annotations) if annotation.question_id in said]
    scores = np.full(len(annotations), np.nan)
    scores[answered] = question_scores(
        [said[annotations[number].question_id] for number in answered],
        [annotations[number].answers for number in answered],
    )
    return scores


def parameters_of(path: Path) -> int:
    """How many numbers a model has learnt or was given, its word vectors among them, read from the file's header."""
    with path.open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    shapes = {name: tensor["shape"] for name, tensor in header.items() if name != "__metadata__"}
    return sum(math.prod(shape) for name, shape in shapes.items() if not name.startswith("channel_"))


def made(run: Run) -> dict[str, Any]:
    """When, how long and with what a model was trained: seconds are those of all its epochs."""
    return {
        "finished": run.finished,
        "seconds": round(training_seconds(run), 1),
        **{name: arithmetic(run, name) for name in ("device", "precision", "threads")},
        "host": run.manifest.host,
        "commit": run.manifest.commit,
        "versions": run.manifest.versions,
    }
