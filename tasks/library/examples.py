"""Pictures to try a trained model on: some of the split that it was judged on, with what was asked and answered."""

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

    asked: what was asked about each picture and how people answered, by image id; common: the split's commonest
    questions; read: a picture's encoded bytes by its image id, empty where it is gone.
    """

    asked: Mapping[int, Sequence[Judged]] = field(default_factory=dict)
    common: Sequence[str] = ()
    read: Callable[[int], bytes] = no_picture


def examples_of(run: Run, count: int) -> Examples:
    """At most `count` pictures, always the same ones; none where the run was not judged or its data is gone."""
    dataset = run.parameters["dataset"]
    usable = [one for one in evaluations([run])[run.fingerprint] if not one.gone()]
    if not usable or sources.dataset(dataset).ready_made:
        return Examples()
    split = usable[0].split
    judged = read_judged(usable[0], dataset, split)
    ids = sorted({one.image_id for one in judged})
    asked: dict[int, list[Judged]] = {number: [] for number in Random(0).sample(ids, k=min(count, len(ids)))}
    for one in judged:
        if one.image_id in asked:
            asked[one.image_id].append(one)
    common = Counter(one.question for one in judged).most_common(COMMON)
    return Examples(asked, [question for question, _ in common], pictures(dataset, split))
