"""Pictures to features: one float16 row a picture."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from data.catalog import sources
from models.backbones import names
from tasks.contract import artifacts
from tasks.contract.stage import Stage
from tasks.setup import flags, settings
from tasks.stages.download import DownloadImages, DownloadWeights


class ExtractFeatures(Stage):
    """Runs a backbone over every picture of an image set; finished shards survive any kill."""

    named_by = ("backbone", "layer", "image_set")
    contents = ("features.h5",)
    unit = "pictures"
    resources = {"device": 1}
    image_set = flags.IMAGE_SET
    backbone = flags.BACKBONE
    layer = flags.LAYER
    weights = flags.WEIGHTS

    def inputs(self) -> dict[str, Stage]:
        needs: dict[str, Stage] = {"images": self.clone(DownloadImages)}
        if self.weights == "pretrained":
            needs["weights"] = self.clone(DownloadWeights)
        return needs

    def identity(self) -> dict[str, Any]:
        """How pictures get their ids."""
        return sources.image_set(self.image_set).identity

    def _weights_id(self) -> str:
        """The sha256 of the weights, or random:SEED."""
        if self.weights == "pretrained":
            source = sources.weights(self.backbone)
            return source.sha256 or f"{source.sha256_prefix}..."
        return str(self.key["parameters"]["weights"])

    def build(self, folder: Path) -> dict[str, Any]:
        from data.pictures.image_sets import open_images
        from tasks.extraction.engines import run_shards
        from tasks.extraction.job import Extraction
        from tasks.extraction.shard_files import merge_shards

        images = open_images(self.upstream["images"].target, sources.image_set(self.image_set))  # type: ignore[attr-defined]
        self.need_room(self._disk(len(images)) - artifacts.size(self.work_folder()))
        if images.skipped:
            self.warn(f"{len(images.skipped):,} files are no pictures, such as {images.skipped[0]}")
        compute = settings.compute()
        extraction = Extraction(
            images=images,
            backbone=self.backbone,
            layer=self.layer,
            weights=str(self.upstream["weights"].target) if self.weights == "pretrained" else self.weights,  # type: ignore[attr-defined]
            weights_id=self._weights_id(),
            work=self.work_folder(),
            device=compute.device,
            precision=compute.precision,
            threads=compute.threads,
            batch=compute.batch_size,
        )
        with self.hashing("pictures") as checking:
            used = run_shards(extraction, compute.engine, compute.ray_address, self.progress, checking)
        merged = merge_shards(
            extraction, used, folder / "features.h5", settings.get("features", "max_bad_images")
        )
        for picture in merged.bad:
            self.warn(f"left out {picture.name} (id {picture.image_id}): {picture.reason}")
        return {
            "pictures": merged.pictures,
            "units": len(images),
            "shape": list(merged.shape),
            "bad_images": [picture.image_id for picture in merged.bad],
            "device": used.processor,
            "precision": used.precision,
            "batch": used.batch,
            "threads": used.threads,
        }

    def units(self) -> int | None:
        return sources.image_set(self.image_set).images

    def costs(self) -> dict[str, int]:
        return {"disk": self._disk(self.units() or 0)}

    def _disk(self, pictures: int) -> int:
        """Bytes of float16 rows, twice while shards are merged; 0 for a layer whose shape the table does not have."""
        known = names.find_layer(self.backbone, self.layer)
        return 2 * 2 * pictures * math.prod(known.shape) if known else 0
