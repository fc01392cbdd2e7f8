"""Pictures to try a trained model on: some of the split that it was judged on, with questions and answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING

from data.catalog import sources
from tasks.library.evaluations import evaluations, no_picture, pictures
from tasks.library.judged_questions import read_judged
from tasks.library.trained_runs import Run

if TYPE_CHECKING:
    from data.report.report_data import Judged

COMMON = 10


@dataclass(frozen=True)
class Examples:
    """A few pictures of a split.

    questions: those about each picture, with what people answered, by image id; common: the split's commonest
    questions; read: a picture's encoded bytes by its image id, empty where it is gone.
    """

    questions: Mapping[int, Sequence[Judged]] = field(default_factory=dict)
    common: Sequence[str] = ()
    read: Callable[[int], bytes] = no_picture


def examples_of(run: Run, count: int) -> Examples:
    """At most `count` pictures, always the same ones; none where the run was not judged or its data is gone."""
    dataset = run.parameters["dataset"]
    usable = [evaluation for evaluation in evaluations([run])[run.fingerprint] if not evaluation.gone()]
    if not usable or sources.dataset(dataset).ready_made:
        return Examples()
    split = usable[0].split
    judged = read_judged(usable[0], dataset, split)
    ids = sorted({question.image_id for question in judged})
    questions: dict[int, list[Judged]] = {
        number: [] for number in Random(0).sample(ids, k=min(count, len(ids)))
    }
    for question in judged:
        if question.image_id in questions:
            questions[question.image_id].append(question)
    common = Counter(question.question for question in judged).most_common(COMMON)
    return Examples(questions, [question for question, _ in common], pictures(usable[0]))
