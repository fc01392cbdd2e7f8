"""`python -m pipeline features`: the features of a folder or zip of pictures, without data set or questions."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import luigi

from models.backbones.names import check_backbone, check_weights
from tasks.library import in_use
from tasks.setup import settings
from tasks.setup.stage_progress import StageProgress
from tasks.setup.user_errors import StageError
from tasks.stages.download import DownloadWeights


def features(flags: argparse.Namespace) -> int:
    """Extract, resumably, and print pictures a second and failures."""
    from tasks.extraction.standalone import check_paths, extract_pictures

    check_backbone(flags.backbone)
    check_weights(flags.weights)
    check_paths(flags.pictures, flags.out, flags.weights)  # before weights are fetched
    weights, weights_id = _weights(flags.backbone, flags.weights)
    began, progress = time.perf_counter(), StageProgress(None, "features", "pictures")
    compute = settings.compute()
    try:
        done = extract_pictures(
            flags.pictures,
            flags.out,
            settings.artifacts_folder(),
            flags.backbone,
            flags.layer,
            weights,
            weights_id,
            compute.engine,
            compute.ray_address,
            flags.max_bad_images,
            progress,
            in_use.note_paths,
            device=compute.device,
            precision=compute.precision,
            threads=compute.threads,
            batch=compute.batch_size,
        )
    finally:
        progress.close()
    seconds = time.perf_counter() - began
    for picture in done.merged.bad:
        print(f"left out {picture.name}: {picture.reason}", file=sys.stderr)
    if done.skipped:
        print(f"{len(done.skipped):,} files are no pictures, such as {done.skipped[0]}", file=sys.stderr)
    total = done.merged.pictures + len(done.merged.bad)
    print(
        f"{flags.out}: {done.merged.pictures:,} pictures, {' x '.join(map(str, done.merged.shape))} float16 each, "
        f"{len(done.merged.bad):,} left out; {seconds:,.1f} s, {total / seconds:,.1f} pictures a second "
        f"({done.settings.processor}, {done.settings.precision})"
    )
    return 0


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("pictures", type=Path, help="a folder or zip of pictures")
    parser.add_argument(
        "--out", type=Path, required=True, help="the feature file to write, such as features.h5"
    )
    parser.add_argument(
        "--backbone", default="vgg16", help="vgg16 (default), vgg19, resnet50, resnet152, ..."
    )
    parser.add_argument("--layer", default="", help="the backbone's own by default, such as vgg16's fc7")
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
    stage = DownloadWeights(backbone=backbone)
    if not luigi.build([stage], local_scheduler=True, log_level="WARNING"):
        raise StageError(f"the weights of {backbone} could not be downloaded; --weights random:0 needs none")
    return str(stage.target), stage.source().sha256 or ""
