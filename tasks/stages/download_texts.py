"""Questions and annotations: from outside, from the sample, or converted from your own data."""

from __future__ import annotations

from typing import Any

from data.catalog import entries, sources
from tasks.contract.stage import Stage
from tasks.setup import flags
from tasks.setup.user_errors import refuse
from tasks.stages.download import Download
from tasks.stages.own_data import ConvertOwnData


class DownloadText(Download):
    """One zip of questions or annotations."""

    of_whole = True

    def inputs(self) -> dict[str, Stage]:
        kind, _, name = (self.source().made_by or "").partition(":")
        return {"own": ConvertOwnData(dataset=name)} if kind == "own" else super().inputs()


class DownloadQuestions(DownloadText):
    """The zip of a split's questions."""

    named_by = ("dataset", "split")
    dataset = flags.DATASET
    split = flags.SPLIT

    @classmethod
    def check_flags(cls, values: dict[str, Any]) -> None:
        if sources.dataset(values["dataset"]).ready_made:
            refuse(
                f"{values['dataset']} is ready-made: its questions are numbers already, and it has no pictures"
            )

    def source(self) -> entries.Source:
        return sources.dataset(self.dataset).split(self.split).questions


class DownloadAnnotations(DownloadText):
    """The zip of a split's annotations: consensus answers and what ten people said."""

    named_by = ("dataset", "split")
    dataset = flags.DATASET
    split = flags.SPLIT

    @classmethod
    def check_flags(cls, values: dict[str, Any]) -> None:
        dataset = sources.dataset(values["dataset"])
        if values["split"] in dataset.splits and dataset.split(values["split"]).annotations is None:
            refuse(f"{dataset.name} has no annotations for {values['split']}: its answers are secret")

    def source(self) -> entries.Source:
        source = sources.dataset(self.dataset).split(self.split).annotations
        assert source is not None  # check_flags
        return source


def annotations_of(stage: Any, split: Any) -> Stage:
    """The annotations of a split; those of another dataset where this one is ready-made and has none itself."""
    ready_made = sources.dataset(stage.dataset).ready_made
    of = ready_made.annotated_by if ready_made else stage.dataset
    made: Stage = stage.clone(DownloadAnnotations, dataset=of, split=split)
    return made
