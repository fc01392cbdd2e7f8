"""Data from outside, verified, and the sample that needs no outside."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, ClassVar

from data import sources
from data.errors import DataError
from data.local import file_identity, folder_identity, local_copy, verify_file
from data.parts import part_path
from tasks import artifacts, parameters, settings
from tasks.errors import refuse
from tasks.stage import Stage


class MakeSample(Stage):
    """Draws the embedded sample: pictures, questions, annotations and vectors, in the formats of the real ones."""

    named_by = ("size",)
    contents = ("sample-*.zip", "Questions_*_sample.zip", "Annotations_*_sample.zip", "glove.sample.zip")
    size = parameters.SAMPLE_SIZE

    def build(self, folder: Path) -> dict[str, Any]:
        from data.sample import SIZES, make_sample

        return make_sample(folder, **SIZES[self.size], progress=self.progress)

    def costs(self) -> dict[str, int]:
        from data.sample import PICTURE_BYTES, SIZES

        size = SIZES[self.size]
        return {"disk": PICTURE_BYTES * (size["pictures_train"] + size["pictures_val"])}


class Download(Stage):
    """One file of the catalog: taken from the sample, from a copy that the user has, or from its address."""

    contents = ("*.zip", "*.pth", "*.json", "pictures")
    unpacked: ClassVar[bool] = False
    """Whether a folder of the unpacked archive serves as well."""

    def source(self) -> sources.Source:
        raise NotImplementedError

    def part(self) -> Path:
        """Where bytes gather that have arrived; one folder for all, as stages may want the same file."""
        return part_path(settings.artifacts_folder() / ".work" / "download-parts", self.source())

    def have(self) -> Path | None:
        """The user's own copy, used where it lies; None where the file must be fetched or made."""
        source = self.source()
        return None if source.made_by else local_copy(source, _mirror(), unpacked=self.unpacked)

    @property
    def target(self) -> Path:
        """The verified file, or the link to a folder of pictures."""
        folder = self.path / FOLDER
        return folder if folder.is_dir() else self.path / self.source().file

    def inputs(self) -> dict[str, Stage]:
        made_by = self.source().made_by
        if made_by and made_by.startswith("own:"):
            from tasks.own import ConvertOwnData  # it needs DownloadImages

            return {"own": ConvertOwnData(dataset=made_by.removeprefix("own:"))}
        return {"sample": MakeSample(size=made_by)} if made_by else {}

    def identity(self) -> dict[str, Any]:
        """The pinned hash; what is pinned by nobody (a folder, one's own file) counts by its content."""
        known = settings.artifacts_folder() / ".identities.json"
        try:
            have = self.have()
            if have is None or (have.is_file() and self.source().path is None):
                return {"source": self.source().identity}
            return {"source": (folder_identity if have.is_dir() else file_identity)(have, known)}
        except DataError as error:  # asked while Luigi builds its graph, where it would print a traceback
            refuse(str(error))

    def costs(self) -> dict[str, int]:
        source = self.source()
        size = 0 if source.made_by or self.have() else source.bytes or 0
        return {"disk": size, "download": size}

    def room(self) -> int:
        """A transfer asks for itself: it knows how much has arrived."""
        return 0

    def build(self, folder: Path) -> dict[str, Any]:
        source, have = self.source(), self.have()
        if source.made_by:
            [maker] = self.upstream
            shutil.copyfile(self.file(maker, source.file), folder / source.file)
            return {"from": f"made by {source.made_by}"}
        if have is None:
            return self._fetch(source, folder / source.file)
        if have.is_dir():
            (folder / FOLDER).symlink_to(have.resolve())
            artifacts.write_json(folder / "folder.json", {"path": str(have.resolve())} | self.identity())
        else:
            verify_file(have, source, self.progress)
            (folder / source.file).symlink_to(have.resolve())
        return {"from": str(have.resolve())}

    def _fetch(self, source: sources.Source, target: Path) -> dict[str, Any]:
        from data.download import download

        parts = self.part().parent
        fetched = download(source, target, part_dir=parts, mirror=_mirror(), progress=self.progress)
        for failure in fetched.failures:
            self.warn(failure)
        return {"from": fetched.url, "units": fetched.bytes, "transferred": fetched.transferred}

    def units(self) -> int | None:
        return self.source().bytes


FOLDER = "pictures"  # the name of the link to a folder of unpacked pictures


def _mirror() -> str | None:
    return settings.get("sources", "mirror") or None


class DownloadImages(Download):
    """The zip of an image set. Pictures are read from it; it is never unpacked."""

    named_by = ("image_set",)
    unpacked = True
    image_set = parameters.IMAGE_SET

    def source(self) -> sources.Source:
        return sources.image_set(self.image_set).source


class DownloadQuestions(Download):
    """The zip of a split's questions."""

    named_by = ("dataset", "split")
    dataset = parameters.DATASET
    split = parameters.BASE_SPLIT

    @classmethod
    def check_flags(cls, values: dict[str, Any]) -> None:
        if sources.dataset(values["dataset"]).ready_made:
            refuse(
                f"{values['dataset']} is ready-made: its questions are numbers already, and it has no pictures"
            )

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
