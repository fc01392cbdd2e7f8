"""A part of a dataset: some pictures of each split, and only what is asked about them (--limit-pictures).

    questions of a split ──► ChoosePictures ──► DownloadPart (what has COCO's names and lies elsewhere)
                                   │
                                   └──► every stage that reads questions, answers or pictures of that split

A split's pictures are those that its questions are about: the questions are small, and there before any picture; in
own data the splits may share one folder. VQA's questions are about every picture of COCO's sets.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from data.base.errors import DataError
from data.base.files import write_json
from data.base.hashes import file_identity
from data.catalog import entries, sources
from data.download.local_copies import mismatch
from data.pictures.folders import count_pictures
from data.pictures.identities import pictures_identity
from data.sample.sizes import SIZES
from tasks.contract import artifacts
from tasks.contract.manifest import Manifest
from tasks.contract.stage import Stage
from tasks.setup import flags, settings
from tasks.setup.flag_kinds import limits_of
from tasks.setup.flags import PartFlags
from tasks.setup.user_errors import refuse
from tasks.stages.download import Download, DownloadImages, mirror
from tasks.stages.download_texts import DownloadQuestions

if TYPE_CHECKING:
    from data.pictures.image_sets import Images

CHOSEN = "pictures.json"
"""`image_ids` of the split's part, and `of`: how many pictures there are to choose from."""


def chosen_with(stage: Any, split: str) -> tuple[str, ...]:
    """The splits whose pictures are chosen together with those of `split`: all of trainval, where it is trained on."""
    trained = sources.dataset(stage.dataset).parts(stage.train_split)
    return trained if split in trained else (split,)


def picture_count(dataset: str, split: str) -> int | None:
    """How many pictures a split has by the catalog, or as the sample is drawn; None where neither says so."""
    image_set = sources.image_set(sources.dataset(dataset).split(split).image_set)
    drawn = SIZES.get(image_set.source.made_by or "", {})
    return image_set.images or drawn.get(f"pictures_{split}")


def _chosen(path: Path) -> dict[str, Any]:
    chosen: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return chosen


class OfPart(PartFlags, Stage):
    """What the stages of one split's part share."""

    of_whole = True
    named_by: ClassVar[tuple[str, ...]] = ("dataset", "split")
    dataset = flags.DATASET
    train_split = flags.TRAIN_SPLIT
    split = flags.SPLIT

    @classmethod
    def check_flags(cls, values: dict[str, Any]) -> None:
        dataset = sources.dataset(values["dataset"])
        if dataset.ready_made:
            refuse(f"{dataset.name} is ready-made and has no pictures to choose from")
        if values["split"] not in dataset.splits:
            refuse(f"--split {values['split']}: {dataset.name} has {', '.join(dataset.splits)}")

    def limit(self) -> int:
        return ChoosePictures.limit_of(self, self.split)

    def expected_pictures(self) -> int | None:
        """About how many there will be: of those that are chosen together, this split's share."""
        counts = {part: self._count(part) or 0 for part in chosen_with(self, self.split)}
        limit, total = self.limit(), sum(counts.values())
        if not all(counts.values()):
            return limit or None
        return math.ceil(min(limit or total, total) * counts[self.split] / total)

    def _count(self, split: str) -> int | None:
        source = sources.image_set(sources.dataset(self.dataset).split(split).image_set).source
        return picture_count(self.dataset, split) or count_pictures(source.path)


class ChoosePictures(OfPart):
    """Chooses the pictures of a split's part: those with the smallest sha256 of 0:image_id that are asked about."""

    contents = (CHOSEN,)

    def inputs(self) -> dict[str, Stage]:
        """The questions of the split; of all parts of trainval, whose pictures are chosen together."""
        return {
            f"asked-{part}": self.clone(DownloadQuestions, split=part)
            for part in chosen_with(self, self.split)
        }

    def identity(self) -> dict[str, Any]:
        return {"pictures": self.limit()}

    def build(self, folder: Path) -> dict[str, Any]:
        from data.pictures.part_of_pictures import choose_part

        image_ids = {part: self._asked(part) for part in chosen_with(self, self.split)}
        ids = choose_part(image_ids, self.limit())[self.split]
        if not ids:
            raise DataError(
                f"--limit-pictures {self.limit_pictures}: none of the pictures chosen is of {self.split}; take more"
            )
        counts = {"pictures": len(ids), "of": len(image_ids[self.split])}
        write_json(folder / CHOSEN, {**counts, "image_ids": ids})
        return counts

    def _asked(self, split: str) -> set[int]:
        """The pictures that a split's questions are about."""
        from data.text.official_json import read_questions

        source = sources.dataset(self.dataset)
        path = self.file(f"asked-{split}", source.split(split).questions.file)
        return {question.image_id for question in read_questions(path, source.member(split, "open-ended"))}

    @staticmethod
    def limit_of(stage: Any, split: str) -> int:
        """How many pictures of `split` a stage with --limit-pictures may see; 0 for all, as where there are no more."""
        trained, judged = limits_of(stage.limit_pictures)
        limit = trained if split in sources.dataset(stage.dataset).parts(stage.train_split) else judged
        counts = [picture_count(stage.dataset, part) for part in chosen_with(stage, split)]
        return 0 if None not in counts and limit >= sum(map(int, filter(None, counts))) else limit

    @staticmethod
    def inputs_for(stage: Any, *splits: str) -> dict[str, Stage]:
        """What says which pictures of these splits count; nothing of those that are whole."""
        return {
            f"chosen-{split}": stage.clone(ChoosePictures, split=split)
            for split in splits
            if ChoosePictures.limit_of(stage, split)
        }

    @staticmethod
    def ids_for(stage: Any, split: str) -> frozenset[int] | None:
        """The pictures of a split that count, by the input `chosen-<split>`; None where all do."""
        if f"chosen-{split}" not in stage.upstream:
            return None
        return frozenset(_chosen(stage.file(f"chosen-{split}", CHOSEN))["image_ids"])

    @staticmethod
    def counts_for(stage: Any, split: str) -> dict[str, int]:
        """How many `pictures` of a split count, `of` how many."""
        chosen = _chosen(stage.file(f"chosen-{split}", CHOSEN))
        return {"pictures": chosen["pictures"], "of": chosen["of"]}


class DownloadPart(OfPart, Download):
    """A small zip of a part's pictures: from the whole or another part where these are here, else by Range."""

    contents = ("*.zip",)
    unpacked = True
    identify = staticmethod(pictures_identity)

    @classmethod
    def check_flags(cls, values: dict[str, Any]) -> None:
        super().check_flags(values)
        dataset = sources.dataset(values["dataset"])
        if not sources.image_set(dataset.split(values["split"]).image_set).prefix:
            refuse(
                f"--dataset {dataset.name}: its pictures have no names of COCO's, so they are taken as a whole"
            )

    def image_set(self) -> entries.ImageSet:
        return sources.image_set(sources.dataset(self.dataset).split(self.split).image_set)

    def source(self) -> entries.Source:
        return self.image_set().source

    def inputs(self) -> dict[str, Stage]:
        return {**super().inputs(), "chosen": self.clone(ChoosePictures)}

    def part(self) -> Path:
        """Where the pictures gather, once it is known which these are."""
        from data.download.members import members_part

        parts, chosen = super().part().parent, self.upstream["chosen"].path / CHOSEN
        if not chosen.is_file():
            return super().part()
        return members_part(parts, self.image_set(), _chosen(chosen)["image_ids"])

    def costs(self) -> dict[str, int]:
        """By the mean size of a picture; those that another part shares with this one are not fetched."""
        shared = max((made.facts["pictures"] for _, made in self._others()), default=0)
        pictures = self.expected_pictures() or 0
        fetched = 0 if self._whole_here() else max(0, pictures - shared)
        mean, directory = self.image_set().picture_bytes, self.image_set().directory_bytes
        return {"disk": pictures * mean, "download": fetched * mean + directory if fetched else 0}

    def room(self) -> int:
        """A transfer asks for itself: it knows how much has arrived."""
        return 0

    def units(self) -> int | None:
        return self.expected_pictures()

    def build(self, folder: Path) -> dict[str, Any]:
        from data.download.members import fetch_members

        whole, file = self._whole_here(), self.source().file
        if whole:
            self._check_pinned(whole)
        record = fetch_members(
            self.image_set(),
            _chosen(self.file("chosen", CHOSEN))["image_ids"],
            folder / file,
            parts=super().part().parent,
            have=whole,
            earlier=[other / file for other, _ in self._others()],
            mirror=mirror(),
            progress=self.progress,
        )
        for failure in record.failures:
            self.warn(failure)
        return {
            "from": record.url,
            "pictures": record.pictures,
            "units": record.pictures,
            "transferred": record.transferred,
            "one_by_one": record.one_by_one,
            "directory": record.directory,
        }

    def _whole_here(self) -> Path | None:
        """The sample's zip, your own copy, or what DownloadImages has fetched."""
        if "sample" in self.upstream:
            return self.file("sample", self.source().file)
        if have := self.have():
            return have
        images = DownloadImages(image_set=self.image_set().name)
        return images.target if images.state().status == "complete" else None

    def _check_pinned(self, path: Path) -> None:
        """Refuse a copy of yours that is not the catalog's file. Its hash is remembered."""
        if path != self.have() or not self._is_pinned(path):
            return
        with self.hashing("bytes") as progress:
            sha256 = file_identity(path, settings.artifacts_folder() / ".identities.json", progress)
        if why := mismatch(self.source(), sha256, path.stat().st_size):
            raise DataError(
                f"{path}: not {self.source().name}: {why}; remove it, or point [sources] mirror elsewhere"
            )

    def _others(self) -> list[tuple[Path, Manifest]]:
        """The other parts of the same pictures that are here: larger ones, smaller ones, those of another split."""
        folders = self.path.parent.iterdir() if self.path.parent.is_dir() else iter(())
        made = [(folder, artifacts.complete(folder, "DownloadPart")) for folder in folders]
        source = self.identity()
        return [
            (folder, manifest)
            for folder, manifest in made
            if manifest and source.items() <= manifest.key.parameters.items() and folder != self.path
        ]

    @staticmethod
    def pictures_of(stage: Any, split: str) -> Stage:
        """The stage whose `target` has a split's pictures: of a part that would be fetched, these alone."""
        image_set = sources.image_set(sources.dataset(stage.dataset).split(split).image_set)
        apart = ChoosePictures.limit_of(stage, split) and image_set.prefix and image_set.source.urls
        made: Stage = (
            stage.clone(DownloadPart, split=split)
            if apart
            else stage.clone(DownloadImages, image_set=image_set.name)
        )
        return made

    @staticmethod
    def open_pictures(stage: Any, image_set: entries.ImageSet, only: Collection[int] | None = None) -> Images:
        """The pictures that a stage of `pictures_of` has; `only`: those with these ids."""
        from data.pictures.image_sets import open_images

        if isinstance(stage, DownloadPart):
            image_set = replace(image_set, images=None)  # the catalog's count is of the whole
        return open_images(stage.target, image_set, only=only)
