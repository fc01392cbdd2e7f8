"""Data from outside, verified, and the sample that needs no outside."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, ClassVar

from data.base.errors import DataError
from data.base.hashes import file_identity
from data.catalog import entries, sources
from data.download.local_copies import local_copy, verify_file
from data.download.resume import part_path
from data.pictures.folders import folder_identity
from tasks.contract import artifacts
from tasks.contract.stage import Stage
from tasks.setup import flags, settings
from tasks.setup.user_errors import refuse


class MakeSample(Stage):
    """Draws the embedded sample: pictures, questions, annotations and vectors, in the formats of the real ones."""

    named_by = ("size",)
    unit = "pictures"
    contents = ("sample-*.zip", "Questions_*_sample.zip", "Annotations_*_sample.zip", "glove.sample.zip")
    size = flags.SIZE

    def build(self, folder: Path) -> dict[str, Any]:
        from data.sample.make_sample import SIZES, make_sample

        return make_sample(folder, **SIZES[self.size], progress=self.progress)

    def costs(self) -> dict[str, int]:
        from data.sample.make_sample import PICTURE_BYTES, SIZES

        size = SIZES[self.size]
        return {"disk": PICTURE_BYTES * (size["pictures_train"] + size["pictures_val"])}


class Download(Stage):
    """One file of the catalog: taken from the sample, from a copy that the user has, or from its address."""

    contents = ("*.zip", "*.pth", "*.json", "pictures")
    unit = "bytes"
    unpacked: ClassVar[bool] = False
    """Whether a folder of the unpacked archive serves as well."""

    def source(self) -> entries.Source:
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
        return {"sample": MakeSample(size=made_by)} if made_by else {}

    def identity(self) -> dict[str, Any]:
        """The pinned hash; what is pinned by nobody (a folder, one's own file) counts by its content."""
        known = settings.artifacts_folder() / ".identities.json"
        try:
            have = self.have()
            if have is None or (have.is_file() and self.source().path is None):
                return {"source": self.source().identity}
            if have.is_dir():
                with self.hashing("pictures") as progress:
                    return {"source": folder_identity(have, known, progress)}
            with self.hashing() as progress:
                return {"source": file_identity(have, known, progress)}
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

    def _fetch(self, source: entries.Source, target: Path) -> dict[str, Any]:
        from data.download.fetch import download

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
    image_set = flags.IMAGE_SET

    def source(self) -> entries.Source:
        return sources.image_set(self.image_set).source


class DownloadGlove(Download):
    """The zip of word vectors."""

    named_by = ("glove",)
    glove = flags.GLOVE

    def source(self) -> entries.Source:
        return sources.glove(self.glove).source


class DownloadWeights(Download):
    """A backbone's pretrained weights."""

    named_by = ("backbone",)
    backbone = flags.BACKBONE

    @classmethod
    def check_flags(cls, values: dict[str, Any]) -> None:
        try:
            sources.weights(values["backbone"])
        except DataError as error:
            refuse(str(error))

    def source(self) -> entries.Source:
        return sources.weights(self.backbone)
