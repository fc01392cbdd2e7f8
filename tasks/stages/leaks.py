"""Pictures that are both trained on and judged by: answers learnt by heart would count as skill."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.base.errors import DataError, listed
from data.base.files import write_json
from data.catalog import sources
from tasks.contract.stage import Stage
from tasks.setup import flags
from tasks.setup.flags import PartFlags
from tasks.setup.user_errors import refuse
from tasks.stages.download_texts import DownloadQuestions
from tasks.stages.part import ChoosePictures, DownloadPart
from tasks.stages.text import split_questions

if TYPE_CHECKING:
    from data.pictures.shared_pictures import Shared, SplitPictures

LEAKS = "leaks.json"
"""counts, the judged questions about such pictures, and the pictures with their names."""

_SHOWN = 10  # examples in a message


class CheckLeaks(PartFlags, Stage):
    """Counts judged pictures that are in training too, as the same file or with equal bytes; own data may have none."""

    named_by = ("dataset", "train_split", "eval_split")
    contents = (LEAKS,)
    unit = "pictures"
    priority = 1  # before extraction, which is wasted on refused data
    dataset = flags.DATASET
    train_split = flags.TRAIN_SPLIT
    eval_split = flags.EVAL_SPLIT

    @classmethod
    def check_flags(cls, values: dict[str, Any]) -> None:
        check_splits(values)

    def splits(self) -> tuple[str, ...]:
        """Those of training, then the judged one."""
        return (*sources.dataset(self.dataset).parts(self.train_split), self.eval_split)

    def inputs(self) -> dict[str, Stage]:
        images = {self._images(split): DownloadPart.pictures_of(self, split) for split in self.splits()}
        return {
            **{f"asked-{split}": self.clone(DownloadQuestions, split=split) for split in self.splits()},
            **dict(sorted(images.items())),
            **ChoosePictures.inputs_for(self, *self.splits()),
        }

    def _images(self, split: str) -> str:
        """The name of the input that has a split's pictures: splits may share an image set, never a part."""
        of_part = isinstance(DownloadPart.pictures_of(self, split), DownloadPart)
        return f"images-{split if of_part else sources.dataset(self.dataset).split(split).image_set}"

    def identity(self) -> dict[str, Any]:
        """What the picture ids in questions mean."""
        dataset = sources.dataset(self.dataset)
        return {
            f"ids-{split}": rule
            for split in self.splits()
            for rule in sources.image_set(dataset.split(split).image_set).identity.values()
        }

    def build(self, folder: Path) -> dict[str, Any]:
        from data.pictures.shared_pictures import shared_pictures

        *trained, judged = [self._asked(split) for split in self.splits()]
        shared = shared_pictures(trained, judged, self.progress)
        ids = {picture.image_id for picture in shared}
        questions = [
            question
            for question in split_questions(self, self.dataset, self.eval_split)
            if question.image_id in ids
        ]
        counts = {"pictures": len(shared), "of": len(judged.ids), "questions": len(questions)}
        if shared and sources.dataset(self.dataset).own:
            raise DataError(self._refusal(shared, counts))
        names = [
            {"image_id": picture.image_id, "name": picture.name, "in_training": picture.twin}
            for picture in shared
        ]
        write_json(
            folder / LEAKS,
            {**counts, "question_ids": [question.question_id for question in questions], "shared": names},
        )
        return counts

    def _asked(self, split: str) -> SplitPictures:
        from data.pictures.shared_pictures import SplitPictures

        image_set = sources.image_set(sources.dataset(self.dataset).split(split).image_set)
        images = DownloadPart.open_pictures(self.upstream[self._images(split)], image_set)
        questions = split_questions(self, self.dataset, split)
        return SplitPictures(image_set.name, images, frozenset(question.image_id for question in questions))

    def _refusal(self, shared: Sequence[Shared], counts: dict[str, int]) -> str:
        examples = [
            picture.name
            if picture.name == picture.twin
            else f"{picture.name} is {picture.twin}, byte for byte"
            for picture in shared
        ]
        return (
            f"{self.dataset}: {counts['pictures']:,} of {counts['of']:,} pictures of {self.eval_split} are in training "
            f"too, with {counts['questions']:,} of its questions: {listed(examples, _SHOWN)}. A model would be judged "
            f"by what it has learnt by heart; {self._cure(shared)}"
        )

    def _cure(self, shared: Sequence[Shared]) -> str:
        own = sources.dataset(self.dataset).own
        assert own is not None  # asked for own data only
        if len(set(own.questions.values())) == 1 and "" not in own.questions:
            return (
                "train and val are one file: state it alone, and val = 0.2 holds out a share of its pictures"
            )
        if "" in own.questions or all(picture.name != picture.twin for picture in shared):
            return "keep one of the equal pictures and let all their questions name it"
        return "let all questions about a picture stand in the table of one split"


def check_splits(values: dict[str, Any]) -> None:
    """Refuse a judged split that the dataset lacks, or that is learnt from."""
    dataset, split = sources.dataset(values["dataset"]), values["eval_split"]
    if split not in dataset.splits:
        refuse(f"--eval-split {split}: {dataset.name} has {', '.join(dataset.splits)}")
    if split in dataset.parts(values["train_split"]):
        refuse(f"--eval-split {split} is part of --train-split {values['train_split']}")
