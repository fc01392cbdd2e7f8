"""Data from outside, verified, and the sample, which needs nothing from outside."""

from __future__ import annotations

import shutil
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

from data.base.errors import DataError
from data.base.files import write_json
from data.base.hashes import file_identity
from data.catalog import entries, sources
from data.download.local_copies import local_copy, verify_file
from data.download.resume import part_path
from data.pictures.identities import pictures_identity
from data.sample.sizes import PICTURE_BYTES, SIZES
from tasks.contract.stage import Stage
from tasks.setup import flags, settings
from tasks.setup.flag_kinds import NO_GLOVE
from tasks.setup.user_errors import refuse


class MakeSample(Stage):
    """Draws the embedded sample: pictures, questions, annotations and vectors, in the formats of the real ones."""

    named_by = ("size",)
    unit = "pictures"
    contents = ("sample-*.zip", "Questions_*_sample.zip", "Annotations_*_sample.zip", "glove.sample.zip")
    size = flags.SIZE

    def build(self, folder: Path) -> dict[str, Any]:
        from data.sample.make_sample import make_sample

        return make_sample(folder, **SIZES[self.size], progress=self.progress)

    def costs(self) -> dict[str, int]:
        size = SIZES[self.size]
        return {"disk": PICTURE_BYTES * (size["pictures_train"] + size["pictures_val"])}


class Download(Stage):
    """One file of the catalog: taken from the sample, from a copy that the user has, or from its address."""

    contents: ClassVar[tuple[str, ...]] = ("*.zip", "*.pth", "*.safetensors", "*.json", "pictures")
    unit = "bytes"
    unpacked: ClassVar[bool] = False
    """Whether a folder of the unpacked archive serves as well."""
    identify = staticmethod(file_identity)
    """What a copy of your own counts by."""

    def text(self) -> str:
        """The one file of the archive that is read, if the file itself is accepted too."""
        return ""

    def source(self) -> entries.Source:
        raise NotImplementedError

    def part(self) -> Path:
        """Where arriving bytes gather: one folder for all stages, since several may want the same file."""
        return part_path(settings.artifacts_folder() / ".work" / "download-parts", self.source())

    def have(self) -> Path | None:
        """The user's own copy, used where it lies; None where the file must be fetched or made."""
        source = self.source()
        if source.made_by:
            return None
        return local_copy(source, mirror(), unpacked=self.unpacked, text=self.text())

    @property
    def target(self) -> Path:
        """The verified file, or the link to a folder of pictures or to a single text."""
        others = [self.path / name for name in (FOLDER, self.text()) if name]
        return next((path for path in others if path.exists()), self.path / self.source().file)

    def inputs(self) -> dict[str, Stage]:
        made_by = self.source().made_by
        return {"sample": MakeSample(size=made_by)} if made_by else {}

    def identity(self) -> dict[str, Any]:
        """The pinned hash; what has none (a folder, your own file) is identified by its content."""
        known = settings.artifacts_folder() / ".identities.json"
        try:
            have = self.have()
            if have is None or self._is_pinned(have):
                return {"source": self.source().identity}
            with self.hashing("pictures" if have.is_dir() else "bytes") as progress:
                return {"source": self.identify(have, known, progress)}
        except DataError as error:  # asked while Luigi builds its graph, where it would print a traceback
            refuse(str(error))

    def costs(self) -> dict[str, int]:
        source = self.source()
        if source.made_by or self.have():
            return {}
        return {"disk": source.size, "download": source.size} if source.size else {"unsized": 1}

    def room(self) -> int:
        """A transfer checks this itself: it knows how much has arrived."""
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
            write_json(folder / "folder.json", {"path": str(have.resolve())} | self.identity())
        elif have.name == self.text():
            (folder / have.name).symlink_to(have.resolve())
        else:
            verify_file(have, source, self.progress)
            (folder / source.file).symlink_to(have.resolve())
        return {"from": str(have.resolve())}

    def _is_pinned(self, have: Path) -> bool:
        """Whether it is the file whose hash the catalog has, and not a folder or an unpacked text."""
        return self.source().path is None and have.is_file() and have.name != self.text()

    def _fetch(self, source: entries.Source, target: Path) -> dict[str, Any]:
        from data.download.fetch import download

        parts = self.part().parent
        fetched = download(source, target, part_dir=parts, mirror=mirror(), progress=self.progress)
        for failure in fetched.failures:
            self.warn(failure)
        return {"from": fetched.url, "units": fetched.bytes, "transferred": fetched.transferred}

    def units(self) -> int | None:
        return self.source().size


FOLDER = "pictures"  # the name of the link to a folder of unpacked pictures


def mirror() -> str | None:
    return settings.get("sources", "mirror") or None


class DownloadImages(Download):
    """The zip of an image set. Pictures are read from it; it is never unpacked."""

    named_by = ("image_set",)
    unpacked = True
    identify = staticmethod(pictures_identity)
    image_set = flags.IMAGE_SET

    def source(self) -> entries.Source:
        return sources.image_set(self.image_set).source


class DownloadGlove(Download):
    """The zip of word vectors, or the text that was taken out of it."""

    named_by = ("glove",)
    contents = ("*.zip", "*.txt", "*.vec")
    glove = flags.GLOVE

    def text(self) -> str:
        return PurePosixPath(sources.glove(self.glove).member).name

    @classmethod
    def check_flags(cls, values: dict[str, Any]) -> None:
        super().check_flags(values)
        if values["glove"] == NO_GLOVE:
            refuse("--glove none: TrainModel draws these vectors itself; name some that can be downloaded")

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
