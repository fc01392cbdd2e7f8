"""Data from outside, verified, and the sample that needs no outside."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from data import sources
from data.errors import DataError
from tasks import parameters, settings
from tasks.errors import refuse
from tasks.stage import Stage


class MakeSample(Stage):
    """Draws the embedded sample: pictures, questions, annotations and word vectors, in the very formats of the real ones."""

    named_by = ("size",)
    size = parameters.SAMPLE_SIZE

    def build(self, folder: Path) -> dict[str, Any]:
        from data.sample import SIZES, make_sample

        return make_sample(folder, **SIZES[self.size], progress=self.progress)


class Download(Stage):
    """One file of the catalog: taken from the sample, from a copy that the user has, or from its address."""

    def source(self) -> sources.Source:
        raise NotImplementedError

    @property
    def target(self) -> Path:
        """The verified file."""
        return self.path / self.source().file

    def inputs(self) -> dict[str, Stage]:
        made_by = self.source().made_by
        return {"sample": MakeSample(size=made_by)} if made_by else {}

    def identity(self) -> dict[str, Any]:
        return {"source": self.source().identity}

    def costs(self) -> dict[str, int]:
        from data.local import local_copy

        source = self.source()
        have = source.made_by or local_copy(source, settings.get("sources", "mirror") or None)
        size = source.bytes or 0
        return {"disk": 0 if have else size, "download": 0 if have else size}

    def build(self, folder: Path) -> dict[str, Any]:
        from data.local import local_copy, verify_file

        source, mirror = self.source(), settings.get("sources", "mirror") or None
        target = folder / source.file
        if source.made_by:
            shutil.copyfile(self.file("sample", source.file), target)
            return {"from": "the sample"}
        if have := local_copy(source, mirror):
            verify_file(have, source, self.progress)
            target.symlink_to(have.resolve())
            return {"from": str(have.resolve())}
        return self._fetch(source, target, mirror)

    def _fetch(self, source: sources.Source, target: Path, mirror: str | None) -> dict[str, Any]:
        from data.download import download

        parts = self.work_folder()
        url = download(source, target, part_dir=parts, mirror=mirror, progress=self.progress)
        shutil.rmtree(parts, ignore_errors=True)
        return {"from": url, "units": target.stat().st_size}

    def units(self) -> int | None:
        return self.source().bytes


class DownloadImages(Download):
    """The zip of an image set. Pictures are read from it; it is never unpacked."""

    named_by = ("image_set",)
    image_set = parameters.IMAGE_SET

    def source(self) -> sources.Source:
        return sources.image_set(self.image_set).source


class DownloadQuestions(Download):
    """The zip of a split's questions."""

    named_by = ("dataset", "split")
    dataset = parameters.DATASET
    split = parameters.BASE_SPLIT

    def source(self) -> sources.Source:
        return sources.dataset(self.dataset).split(self.split).questions


class DownloadAnnotations(Download):
    """The zip of a split's annotations: consensus answers and what ten people said."""

    named_by = ("dataset", "split")
    dataset = parameters.DATASET
    split = parameters.BASE_SPLIT

    @classmethod
    def check_flags(cls, values: dict[str, Any]) -> None:
        dataset = sources.dataset(values["dataset"])
        if values["split"] in dataset.splits and dataset.split(values["split"]).annotations is None:
            refuse(f"{dataset.name} has no annotations for {values['split']}: its answers are secret")

    def source(self) -> sources.Source:
        source = sources.dataset(self.dataset).split(self.split).annotations
        assert source is not None  # check_flags
        return source


class DownloadGlove(Download):
    """The zip of word vectors."""

    named_by = ("glove",)
    glove = parameters.GLOVE

    def source(self) -> sources.Source:
        return sources.glove(self.glove).source


class DownloadWeights(Download):
    """A backbone's pretrained weights."""

    named_by = ("backbone",)
    backbone = parameters.BACKBONE

    @classmethod
    def check_flags(cls, values: dict[str, Any]) -> None:
        try:
            sources.weights(values["backbone"])
        except DataError as error:
            refuse(str(error))

    def source(self) -> sources.Source:
        return sources.weights(self.backbone)
