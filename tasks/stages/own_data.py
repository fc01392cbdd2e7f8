"""Data of your own: converted once, so that every later stage reads what it reads for the real data."""

from __future__ import annotations

import hashlib
import json
import logging
from pathlib import Path
from typing import Any

from data.base.errors import DataError
from data.base.hashes import file_identity
from data.base.text_heads import check_document
from data.base.words import counted
from data.catalog import entries, sources
from tasks.contract.stage import Stage
from tasks.setup import flags, settings
from tasks.setup.user_errors import refuse
from tasks.stages.download import DownloadImages

logger = logging.getLogger("luigi-interface")

UNUSABLE = "unusable-rows.txt"
"""The file of a failed conversion's work folder that names every row that can't be used."""


class ConvertOwnData(Stage):
    """Turns your own table into the official questions and annotations of train and val."""

    contents = ("*-questions.json", "*-annotations.json")

    dataset = flags.DATASET

    @classmethod
    def check_flags(cls, values: dict[str, Any]) -> None:
        if sources.dataset(values["dataset"]).own is None:
            refuse(
                f"--dataset {values['dataset']} is not stated as [own.{values['dataset']}]; see docs/own-data.md"
            )

    @property
    def own(self) -> entries.Own:
        own = sources.dataset(self.dataset).own
        assert own is not None  # check_flags
        return own

    def inputs(self) -> dict[str, Stage]:
        return {
            name: self.clone(DownloadImages, image_set=image_set.name)
            for name, image_set in self._image_sets().items()
        }

    def _image_sets(self) -> dict[str, entries.ImageSet]:
        """The pictures: their names give the ids. One set under "images", or one a split."""
        splits = sources.dataset(self.dataset).splits
        names = {f"images-{split}": of.image_set for split, of in splits.items()}
        if len(set(names.values())) == 1:
            names = {"images": splits["train"].image_set}
        return {name: sources.image_set(image_set) for name, image_set in names.items()}

    def identity(self) -> dict[str, Any]:
        """The tables by their content, wherever they lie; how they are split, where they are; what ids mean."""
        known = settings.artifacts_folder() / ".identities.json"
        try:
            stated = [*self.own.questions.items(), *self.own.annotations.items()]
            for _, path in stated:
                check_document(path)
            with self.hashing() as progress:
                tables = [
                    [
                        split,
                        Path(path.name.lower().removesuffix(".gz")).suffix,
                        file_identity(path, known, progress),
                    ]
                    for split, path in stated
                ]
        except DataError as error:  # as in tasks.stages.download
            refuse(str(error))
        digest = hashlib.sha256(json.dumps(tables).encode()).hexdigest()
        split = {"val": self.own.val, "seed": self.own.seed} if "" in self.own.questions else {}
        ids = {
            name.replace("images", "ids"): rule
            for name, image_set in self._image_sets().items()
            for rule in image_set.identity.values()
        }
        return {"tables": digest} | split | ids

    def build(self, folder: Path) -> dict[str, Any]:
        from data.own.convert import convert
        from data.pictures.image_sets import open_images

        images = {
            name.removeprefix("images").removeprefix("-"): open_images(self.upstream[name].target, image_set)  # type: ignore[attr-defined]
            for name, image_set in self._image_sets().items()
        }
        converted = convert(self.own, images, folder, self.work_folder() / UNUSABLE)
        if self.identity().items() - self.key.parameters.items():
            raise DataError(
                f"a table of {self.dataset} was changed while it was read; run the same command again"
            )
        for doubt in converted.doubts:
            self.warn(doubt)
        for split, counts in converted.counts.items():
            logger.info(
                "%s %s: %s about %s",
                self.stage_name(),
                split,
                counted(counts["questions"], "question"),
                counted(counts["pictures"], "picture"),
            )
        pictures = sum(map(len, images.values()))
        return converted.counts | {"pictures": pictures}
