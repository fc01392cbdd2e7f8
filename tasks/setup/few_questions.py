"""Flags that follow the number of training questions, where own data has few and nobody chose their values.

Recipes are made for hundreds of thousands of questions. With 240, batches of 256 for ten epochs are ten updates, and
what comes out answers everything alike. Where there are as many questions as a recipe is for, it stays as it is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from data.base.errors import DataError
from data.base.hashes import KnownHashes
from data.catalog import entries, sources
from models.training.choices import SCHEDULES
from tasks.setup import settings
from tasks.setup.flag_kinds import limits_of

ENOUGH = 50
"""With fewer training questions nothing is learnt that holds for other pictures."""
TOO_FEW = (
    f"too few to learn from (expected at least {ENOUGH}, better some hundreds); what the model says of other pictures "
    "will mean nothing"
)

_UPDATES = 1000  # of weights, in all: the sample takes 900
_UPDATES_AN_EPOCH = 128  # where the batches are not at their smallest: vqa-v1's recipe has 840
_SMALLEST_BATCH, _MOST_EPOCHS = 8, 100


def _batch_size(values: Mapping[str, Any], questions: int) -> int:
    fitted = max(_SMALLEST_BATCH, _power_of_two(questions / _UPDATES_AN_EPOCH))
    return min(values["batch_size"], fitted)


def _hidden(values: Mapping[str, Any], questions: int) -> int:
    return min(values["hidden"], max(128, _power_of_two(questions / 64)))


def _joint(values: Mapping[str, Any], questions: int) -> int:
    return min(values["joint"], max(256, _power_of_two(questions / 32)))


def _epochs(values: Mapping[str, Any], questions: int) -> int:
    """At least the recipe's. A schedule that counts epochs would have ended its learning before more of them."""
    if SCHEDULES[values["lr_schedule"]].counts_epochs:
        return int(values["epochs"])
    needed = math.ceil(_UPDATES / math.ceil(questions / values["batch_size"]))
    return max(values["epochs"], min(needed, _MOST_EPOCHS))


FOLLOWING: dict[str, Callable[[Mapping[str, Any], int], int]] = {
    "batch_size": _batch_size,
    "hidden": _hidden,
    "joint": _joint,
    "epochs": _epochs,  # after batch_size, which it depends on
}
"""Flags, each with its value for so many questions; `values` are all flags', its own as the recipe has it."""


def _power_of_two(number: float) -> int:
    """The largest up to `number`, so that a row more in the table seldom changes a flag."""
    return int(2 ** math.floor(math.log2(max(number, 1))))


def training_questions(values: Mapping[str, Any]) -> int | None:
    """About how many questions will be trained on under these flags; None for data that is not own, and for tables
    that can't be read: ConvertOwnData refuses those.

    It follows from the tables' content and the flags alone, so that it is the same as long as they are.
    """
    own = sources.dataset(values["dataset"]).own
    try:
        questions, pictures = _of_split(own, values["train_split"]) if own else (0, 0)
    except (DataError, OSError):
        return None
    if not questions or not pictures:
        return None
    limit = limits_of(values["limit_pictures"])[0] or pictures
    questions *= min(1, limit / pictures) * (1 - values["hold_out"])
    return max(1, round(min(questions, values["limit_questions"] or questions)))


def _of_split(own: entries.Own, split: str) -> tuple[float, float]:
    """Questions and pictures to learn from. One table is split by picture: its share of questions is about the same."""
    if "" in own.questions:
        questions, pictures = _size(own, "")
        share = 1.0 if split == "trainval" else 1 - own.val
        return questions * share, pictures * share
    sizes = [_size(own, part) for part in (("train", "val") if split == "trainval" else ("train",))]
    return sum(size[0] for size in sizes), sum(size[1] for size in sizes)


def _size(own: entries.Own, split: str) -> tuple[int, int]:
    """Questions and pictures of one table, remembered as hashes are: it is read again when the file changes."""

    def count() -> str:
        from data.own.table_size import table_size

        return "{} {}".format(*table_size(path, bool(own.annotations)))

    path: Path = own.questions[split]
    with KnownHashes(settings.artifacts_folder() / ".identities.json") as known:
        questions, pictures = known.about(path, "questions and pictures", count).split()
    return int(questions), int(pictures)
