"""What a trained model to ask consists of, wherever it comes from: a run of this machine, or one file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from models.classifiers.names import CLASSIFIERS

if TYPE_CHECKING:
    from data.text.questions import Vocabulary
    from models.classifiers.interface import Classifier
    from tasks.library.examples import Examples

SAMPLE = "sample"  # the dataset of drawn shapes
SHAPES = (
    "It was trained on drawn shapes and knows nothing else: what it says of any other picture means nothing."
)
UNTRAINED = "Its backbone is untrained: good for drawn shapes, and what it says of photographs means nothing."


@dataclass(frozen=True)
class Judgement:
    """An accuracy in percent, over what; `part`: what is to be said where that is a part of the data."""

    split: str
    task: str
    overall: float
    questions: int
    part: str = ""


class View(NamedTuple):
    """A backbone. weights: random:SEED, or a file that has the hash that the features name; size: None for its own."""

    backbone: str
    layer: str
    size: int | None
    weights: str


class Origin(Protocol):
    """Where a model comes from. `parameters`: the flags that it was trained with, by name with underscores."""

    @property
    def name(self) -> str: ...

    @property
    def parameters(self) -> Mapping[str, Any]: ...

    def read(self) -> tuple[Classifier, dict[str, Any], Vocabulary]:
        """The classifier in eval mode, its config and its vocabulary. DataError or ModelError where one is damaged."""

    def view(self) -> View:
        """The network that pictures go through. DataError where it can't be had, or is not known."""

    def judgements(self) -> list[Judgement]:
        """Its accuracies, the most telling first; none where it was not judged."""

    def examples(self, count: int) -> Examples:
        """At most `count` pictures to try it on."""


def described(origin: Origin) -> list[str]:
    """What the model is worth, in sentences: its data set, accuracy, and what limits both."""
    dataset, judgements = str(origin.parameters["dataset"]), origin.judgements()
    told = f"Trained on {dataset}; not judged."
    if judgements:
        best = judgements[0]
        told = (
            f"Trained on {dataset}; {best.overall:.2f} % right of {best.questions:,} questions of {best.split} "
            f"({best.task})."
        )
    notes = dict.fromkeys(f"Accuracy: {judged.part}." for judged in judgements if judged.part)
    return [told, *notes, *_limits(origin.parameters)]


def _limits(flags: Mapping[str, Any]) -> Iterator[str]:
    """What the model can't know."""
    classifier = CLASSIFIERS.get(str(flags.get("model")))
    if flags["dataset"] == SAMPLE:
        yield SHAPES
    elif str(flags.get("weights")).startswith("random:") and classifier and classifier.reads != "none":
        yield UNTRAINED
