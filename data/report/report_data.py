"""The report's data: judged questions, built stages, and the rest of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from data.catalog.entries import Published


@dataclass(frozen=True, slots=True)
class Judged:
    """One question of the split with what people and the model answered.

    top: the model's best answers and their probabilities, best first. attention: (rows, columns), the share of each
    place that the model looked at; None for a model without.
    """

    question_id: int
    image_id: int
    question: str
    question_type: str
    answer_type: str
    humans: Sequence[str]
    consensus: str
    prediction: str
    top: Sequence[tuple[str, float]]
    attention: Any = None


@dataclass(frozen=True)
class BuiltStage:
    """One stage that led here, as its manifest tells it.

    inputs: {name: digest}; size in bytes; finished: seconds of the epoch; version: the stage's own number.
    """

    name: str
    folder: str
    digest: str
    seconds: float
    size: int
    device: str = ""
    inputs: Mapping[str, str] = field(default_factory=dict)
    warnings: Sequence[str] = ()
    finished: float = 0.0
    version: int = 1
    host: str = ""


@dataclass(frozen=True)
class ReportData:
    """Everything that the page shows.

    accuracy: accuracy.json as a whole. history: the rows of history.csv as numbers, `epoch` among the columns.
    questions: the split's questions in any order, all of them. classes: the model's answer classes.
    parameters: the flags in force. network: what the model reads and its size, as text. stages: in the order they were
    built. versions: libraries, as in a manifest.
    published: the catalog's lines of others; none for own data.
    command: what makes the page again, as one types it. finished: when the answers were judged, seconds of the epoch.
    published_seed: the original's own figures {"epochs", "val_loss", "val_exact_match", "val_any_of_ten"}, or {}.
    """

    dataset: str
    split: str
    task: str
    model: str
    accuracy: Mapping[str, Any]
    history: Sequence[Mapping[str, float]]
    questions: Sequence[Judged]
    classes: Sequence[str]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    network: Mapping[str, str] = field(default_factory=dict)
    stages: Sequence[BuiltStage] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    commit: str | None = None
    published: Sequence[Published] = ()
    published_seed: Mapping[str, float] = field(default_factory=dict)
    command: str = ""
    finished: float = 0.0
