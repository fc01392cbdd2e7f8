"""`python -m pipeline features`: the features of a folder or zip of pictures, without data set or questions."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from data.base.words import show
from models.backbones.names import check_backbone, check_weights, settled_size
from models.gpu_presence import why_none
from tasks.library import in_use
from tasks.library.pretrained import download_weights
from tasks.setup import settings
from tasks.setup.stage_progress import StageProgress
from tasks.setup.user_errors import StageError


def features(flags: argparse.Namespace) -> int:
    """Extract, resumably, and print pictures a second and failures."""
    from tasks.extraction.standalone import check_paths, extract_pictures, settled_layers

    check_backbone(flags.backbone)
    check_weights(flags.weights)
    settled_size(flags.backbone, flags.image_size)
    layers = settled_layers(flags.backbone, flags.layer)
    check_paths(flags.pictures, flags.out, flags.weights, flags.format, layers)  # before weights are fetched
    compute = settings.compute()
    if compute.engine == "local" and (why := why_none(compute.device)):
        raise StageError(f"[compute] device = {compute.device}: {why}; or set device = auto")
    weights, weights_id = _weights(flags.backbone, flags.weights)
    began, progress = time.perf_counter(), StageProgress(None, "features", "pictures")
    try:
        done = extract_pictures(
            flags.pictures,
            flags.out,
            settings.artifacts_folder(),
            flags.backbone,
            layers,
            flags.image_size,
            weights,
            weights_id,
            compute.engine,
            compute.ray_address,
            flags.max_bad_images,
            progress,
            in_use.note_paths,
            flags.format,
            device=compute.device,
            precision=compute.precision,
            threads=compute.threads,
            batch=compute.batch_size,
        )
    finally:
        progress.close()
    seconds = time.perf_counter() - began
    for picture in done.features.bad:
        show(f"left out {picture.name}: {picture.reason}", file=sys.stderr)
    if done.skipped:
        show(f"{len(done.skipped):,} files are not pictures, such as {done.skipped[0]}", file=sys.stderr)
    total = done.features.pictures + len(done.features.bad)
    speed = (
        f"{seconds:,.1f} s, {total / seconds:,.1f} pictures a second "
        f"({done.settings.processor}, {done.settings.precision})"
    )
    *first, last = (
        f"{path}: {done.features.pictures:,} pictures, {' x '.join(map(str, shape))} float16 each, "
        f"{len(done.features.bad):,} left out"
        for path, shape in done.written.items()
    )
    for line in first:
        show(line)
    show(f"{last}; {speed}")
    return 0


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("pictures", type=Path, help="a folder or zip of pictures")
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        help="the feature file to write, such as features.h5; of several layers features-fc6.h5, features-fc7.h5, ...",
    )
    parser.add_argument(
        "--format",
        choices=("h5", "npy"),
        default="h5",
        help="h5 (default), or npy: rows in OUT.npy, ids in OUT-ids.npy, names in OUT-names.json",
    )
    parser.add_argument(
        "--backbone",
        default="vgg16",
        help="vgg16 (default), resnet50, timm:NAME, ...: vqa backbones lists them",
    )
    parser.add_argument(
        "--layer",
        action="append",
        default=[],
        help="the backbone's own by default, such as vgg16's fc7; given again, each layer becomes a file, in one pass",
    )
    parser.add_argument(
        "--image-size",
        type=int,
        metavar="SIZE",
        help="pixels a side, such as 448; the backbone's own by default",
    )
    parser.add_argument("--weights", default="pretrained", help="pretrained, random:SEED, or a file")
    parser.add_argument(
        "--max-bad-images",
        type=int,
        default=settings.get("features", "max_bad_images"),
        help="how many pictures may be unreadable (default: luigi.cfg's)",
    )


def _weights(backbone: str, weights: str) -> tuple[str, str]:
    """What to load, and its name in the file; published weights are downloaded as a stage like any other."""
    if weights != "pretrained":
        return weights, ""
    stage = download_weights(backbone, "--weights random:0 needs none")
    return str(stage.target), stage.source().sha256 or ""
