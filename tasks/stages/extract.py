"""Pictures to features: one float16 row a picture."""

from __future__ import annotations

import math
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.catalog import entries, sources
from data.pictures.folders import count_pictures
from models.backbones import names
from tasks.contract import artifacts
from tasks.contract.stage import Stage
from tasks.setup import flags, settings
from tasks.setup.flags import PictureFlags
from tasks.stages.download import DownloadImages, DownloadWeights
from tasks.stages.part import ChoosePictures, DownloadPart, OfPart

if TYPE_CHECKING:
    from data.pictures.image_sets import Images


class Extracting(PictureFlags, Stage):
    """What ExtractFeatures and ExtractPart share: they differ in the pictures."""

    contents = ("features.h5",)
    unit = "pictures"
    resources = {"device": 1}

    def pictures(self) -> entries.ImageSet:
        """The image set that the pictures are of."""
        raise NotImplementedError

    def open_images(self) -> Images:
        raise NotImplementedError

    def inputs(self) -> dict[str, Stage]:
        return {"weights": self.clone(DownloadWeights)} if self.weights == "pretrained" else {}

    def identity(self) -> dict[str, Any]:
        """How pictures get their ids, and how they are resized where that is not bilinear."""
        how = names.interpolation(self.backbone)
        resized = {} if how == "bilinear" else {"interpolation": how}
        return {**self.pictures().identity, **resized}

    def _weights_id(self) -> str:
        """The sha256 of the weights, or random:SEED."""
        if self.weights == "pretrained":
            source = sources.weights(self.backbone)
            return source.sha256 or f"{source.sha256_prefix}..."
        return str(self.key.parameters["weights"])

    def build(self, folder: Path) -> dict[str, Any]:
        from tasks.extraction.engines import extract_features
        from tasks.extraction.job import Extraction

        images = self.open_images()
        self.need_room(self._disk(len(images)) - artifacts.size(self.work_folder()))
        if images.skipped:
            self.warn(f"{len(images.skipped):,} files are not pictures, such as {images.skipped[0]}")
        if self.weights == "pretrained" and (licence := sources.weights(self.backbone).restriction):
            self.warn(f"the weights of {self.backbone} are under {licence}")
        compute = settings.compute()
        extraction = Extraction(
            images=images,
            backbone=self.backbone,
            layers=(self.layer,),
            image_size=self.image_size or None,
            weights=str(self.upstream["weights"].target) if self.weights == "pretrained" else self.weights,  # type: ignore[attr-defined]
            weights_id=self._weights_id(),
            work=self.work_folder(),
            device=compute.device,
            precision=compute.precision,
            threads=compute.threads,
            batch=compute.batch_size,
        )
        bad_allowed = settings.get("features", "max_bad_images")
        with self.hashing("pictures") as checking:
            used, done = extract_features(
                extraction, compute.engine, compute.ray_address, bad_allowed, self.progress, checking
            )
        for picture in done.bad:
            self.warn(f"left out {picture.name} (id {picture.image_id}): {picture.reason}")
        file = done.files[self.layer]
        self.made_in(file.path.parent, {file.path.name: file.sha256})
        return {
            "pictures": done.pictures,
            "units": len(images),
            "shape": list(file.shape),
            "bad_images": [picture.image_id for picture in done.bad],
            "device": used.processor,
            "precision": used.precision,
            "batch": used.batch,
            "threads": used.threads,
        }

    def units(self) -> int | None:
        image_set = self.pictures()
        return image_set.images or count_pictures(image_set.source.path)

    def costs(self) -> dict[str, int]:
        return {"disk": self._disk(self.units() or 0)}

    def _disk(self, pictures: int) -> int:
        """Bytes of float16 rows; 0 for a layer whose shape the table does not have."""
        known = names.find_layer(self.backbone, self.layer)
        if not known:
            return 0
        *places, channels = known.shape
        own = names.BACKBONES[self.backbone].size
        side = (self.image_size or own) / own
        return round(2 * pictures * channels * math.prod(side * length for length in places))

    def work_folder(self) -> Path:
        """On the artifact's own file system, of which the stage's folder may be a link: it becomes the artifact."""
        return self.path.parent / ".work" / f"{self.stage_name()}-{self.work_key()}"

    def run(self) -> None:
        super().run()
        with suppress(OSError):  # other processes work there
            self.work_folder().parent.rmdir()


class ExtractFeatures(Extracting):
    """Runs a backbone over every picture of an image set; finished shards survive any kill."""

    named_by = ("backbone", "layer", "image_set")
    image_set = flags.IMAGE_SET

    def inputs(self) -> dict[str, Stage]:
        return {"images": self.clone(DownloadImages), **super().inputs()}

    def pictures(self) -> entries.ImageSet:
        return sources.image_set(self.image_set)

    def open_images(self) -> Images:
        return DownloadPart.open_pictures(self.upstream["images"], self.pictures())


class ExtractPart(OfPart, Extracting):
    """Runs a backbone over the pictures of a split's part (--limit-pictures), as ExtractFeatures does over all."""

    named_by = ("backbone", "layer", "dataset", "split")

    def inputs(self) -> dict[str, Stage]:
        chosen = {f"chosen-{self.split}": self.clone(ChoosePictures)}
        return {"images": DownloadPart.pictures_of(self, self.split), **chosen, **super().inputs()}

    def pictures(self) -> entries.ImageSet:
        return sources.image_set(sources.dataset(self.dataset).split(self.split).image_set)

    def open_images(self) -> Images:
        return DownloadPart.open_pictures(
            self.upstream["images"], self.pictures(), ChoosePictures.ids_for(self, self.split)
        )

    def units(self) -> int | None:
        return self.expected_pictures()
