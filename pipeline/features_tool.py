"""`python -m pipeline features`: the features of a folder or zip of pictures, without data set or questions."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from models import backbone_names
from tasks import settings
from tasks.download import DownloadWeights
from tasks.errors import StageError
from tasks.progress import StageProgress

if TYPE_CHECKING:
    from data.images import Images


def features(arguments: list[str]) -> int:
    """Extract, resumably, and print pictures a second and failures."""
    flags = _parse(arguments)
    from data.images import open_images
    from tasks.engines import run_shards
    from tasks.shards import Extraction, merge_shards

    layer = flags.layer or backbone_names.default_layer(flags.backbone)
    weights, weights_id = _weights(flags.backbone, flags.weights)
    images = open_images(flags.pictures)
    if images.skipped:
        print(f"{len(images.skipped):,} files are no pictures, such as {images.skipped[0]}", file=sys.stderr)
    extraction = Extraction(
        images=images,
        backbone=flags.backbone,
        layer=layer,
        weights=weights,
        weights_id=weights_id,
        work=_work(flags.out, images, flags.backbone, layer, weights_id),
        device=settings.get("compute", "device"),
        precision=settings.get("compute", "precision"),
        threads=settings.get("compute", "threads"),
        batch=settings.get("compute", "batch_size"),
    )
    began, progress = time.perf_counter(), StageProgress(None, "features")
    try:
        address = settings.get("compute", "ray_address")
        used = run_shards(extraction, settings.get("compute", "engine"), address, progress)
    finally:
        progress.close()
    beside = flags.out.with_name(f".{flags.out.name}.{os.getpid()}")
    try:
        merged = merge_shards(extraction, used, beside, flags.max_bad_images)
        os.replace(beside, flags.out)
    finally:
        beside.unlink(missing_ok=True)
    shutil.rmtree(extraction.work, ignore_errors=True)
    for picture in merged.bad:
        print(f"left out {picture.name}: {picture.reason}", file=sys.stderr)
    seconds = time.perf_counter() - began
    shape = " x ".join(map(str, merged.shape))
    print(
        f"{flags.out}: {merged.pictures:,} pictures, {shape} float16 each, {len(merged.bad):,} left out; "
        f"{seconds:,.1f} s, {len(images) / seconds:,.1f} pictures a second ({used.device}, {used.precision})"
    )
    return 0


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m pipeline features", description=__doc__)
    parser.add_argument("pictures", type=Path, help="a folder or zip of pictures")
    parser.add_argument("--out", type=Path, required=True, help="the feature file to write, such as features.h5")
    parser.add_argument("--backbone", default="vgg16", help="vgg16 (default), vgg19, resnet50, resnet152, ...")
    parser.add_argument("--layer", default="", help="the backbone's own by default, such as vgg16's fc7")
    parser.add_argument("--weights", default="pretrained", help="pretrained, random:SEED, or a file")
    parser.add_argument(
        "--max-bad-images",
        type=int,
        default=settings.get("features", "max_bad_images"),
        help="how many pictures may be unreadable (default: luigi.cfg's)",
    )
    return parser.parse_args(arguments)


def _weights(backbone: str, weights: str) -> tuple[str, str]:
    """What to load, and what the file says of it; published weights are downloaded as a stage like any other."""
    import luigi

    from tasks.artifacts import sha256

    backbone_names.check_backbone(backbone)
    backbone_names.check_weights(weights)
    if weights.startswith("random:"):
        return weights, weights
    if weights == "pretrained":
        stage = DownloadWeights(backbone=backbone)
        if not luigi.build([stage], local_scheduler=True, log_level="WARNING"):
            raise StageError(f"the weights of {backbone} could not be downloaded")
        return str(stage.target), stage.source().sha256 or sha256(stage.target)
    if not Path(weights).is_file():
        raise StageError(f"--weights {weights}: no such file")
    return weights, sha256(Path(weights))


def _work(out: Path, images: Images, backbone: str, layer: str, weights_id: str) -> Path:
    """Unfinished shards lie beside the result, under what they are of, so that the same command goes on with them."""
    from data.local import file_identity, folder_identity

    known = settings.artifacts_folder() / ".identities.json"
    pictures = (folder_identity if images.path.is_dir() else file_identity)(images.path, known)
    key = hashlib.sha256(json.dumps([pictures, backbone, layer, weights_id]).encode()).hexdigest()[:16]
    return out.resolve().parent / f".{out.name}.work-{key}"
