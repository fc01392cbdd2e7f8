"""Features of any folder or zip of pictures, without a stage."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from data.base.errors import DataError, ModelError
from data.base.files import FILE_BYTES, check_output, check_plain, move
from data.base.hashes import file_identity
from data.base.progress import Progress, silent
from data.download.local_copies import WEIGHTS, check_weights_file
from data.pictures.folders import is_picture
from data.pictures.identities import pictures_identity
from data.pictures.image_sets import open_images
from data.pictures.npy_files import check_npy, write_npy
from models.backbones.names import check_backbone, check_weights, default_layer, settled_size
from tasks.extraction.engines import extract_features
from tasks.extraction.finish import Finished
from tasks.extraction.job import Arithmetic, Extraction

_FORM = "rows in place"  # of unfinished work: other versions' work in another form is not continued


@dataclass(frozen=True)
class Outcome:
    """What was written, and how: the file of each layer, and its shape."""

    written: dict[Path, tuple[int, ...]]
    features: Finished
    settings: Arithmetic
    skipped: Sequence[str]  # files that are not pictures by their name


def settled_layers(backbone: str, layers: Sequence[str]) -> tuple[str, ...]:
    """The layers to take: the backbone's own where none is named. ModelError where one is named twice or can't be."""
    named = tuple(layer for layer in layers if layer)
    for layer in named:
        if named.count(layer) > 1:
            raise ModelError(f"layer: '{layer}' is named twice; name each layer once")
        if "/" in layer:  # it becomes part of a file's name before the network is asked
            raise ModelError(
                f"layer: {backbone} has no '{layer}'. All: python -m pipeline backbones {backbone}"
            )
    return named or (default_layer(backbone),)


def out_paths(out: Path, layers: Sequence[str]) -> list[Path]:
    """The file of each layer: `out` for a single one, else features-fc6.h5 and features-fc7.h5 for features.h5."""
    if len(layers) == 1:
        return [out]
    return [out.with_name(f"{out.stem}-{layer}{out.suffix}") for layer in layers]


def check_paths(
    pictures: Path, out: Path, weights: str, form: str = "h5", layers: Sequence[str] = ("",)
) -> None:
    """Refuse, before the work, what can't be read, and what can't be written or would replace what is read."""
    if not pictures.is_dir():
        check_plain(pictures, FILE_BYTES)
    if weights.endswith(WEIGHTS):
        check_weights_file(Path(weights))
    for path in dict.fromkeys([out, *out_paths(out, layers)]):  # a folder or a device is no name to add to
        target = check_output(path)
        if form == "npy":
            check_npy(path)
        inside = pictures.is_dir() and is_picture(path.name) and pictures.resolve() in target.parents
        if inside or str(target) in (os.path.realpath(pictures), os.path.realpath(weights)):
            raise DataError(f"--out {path}: is one of the files that are read; name another")
    if len({os.path.realpath(path) for path in out_paths(out, layers)}) < len(layers):
        raise DataError(
            f"--out {out}: the files of two layers are links to one; remove the links, or name another"
        )


def extract_pictures(
    pictures: Path,
    out: Path,
    room: Path,
    backbone: str,
    layers: Sequence[str] = (),
    image_size: int | None = None,
    weights: str = "random:0",
    weights_id: str = "",
    engine: str = "local",
    ray_address: str = "",
    max_bad_images: int = 0,
    progress: Progress = silent,
    begin: Callable[[Path], None] = lambda work: None,
    form: str = "h5",
    **how: str | int,
) -> Outcome:
    """Write a feature file of all pictures in a folder or zip for each layer, which the network runs once for.

    They are named by `out_paths`. layers: none is the backbone's own. form: h5 or npy.

    `weights` is random:SEED or a file; `how`: device, precision, threads, batch, as in Extraction. Killed and
    started again, it goes on where it was: unfinished work lies below the artifacts folder `room`, under a name that
    changes with `out` and with the content of the pictures and of the weights. Nothing lies beside `out`. `begin` is
    told that folder before anything is written into it.
    """
    check_backbone(backbone)
    check_weights(weights)
    layers = settled_layers(backbone, layers)
    check_paths(pictures, out, weights, form, layers)
    images = open_images(pictures)
    known = room / ".identities.json"
    extraction = Extraction(
        images=images,
        backbone=backbone,
        layers=layers,
        image_size=settled_size(backbone, image_size),
        weights=weights,
        weights_id=weights_id or _identity(weights, known, progress),
        work=room,
    )
    extraction = replace(extraction, work=_work(extraction, pictures, out, room, progress), **how)  # type: ignore[arg-type]
    begin(extraction.work)
    settings, done = extract_features(extraction, engine, ray_address, max_bad_images, progress, progress)
    written = dict(zip(out_paths(out, layers), done.files.values(), strict=True))
    for path, file in written.items():
        (write_npy if form == "npy" else move)(file.path, path)
    shutil.rmtree(extraction.work, ignore_errors=True)
    return Outcome({path: file.shape for path, file in written.items()}, done, settings, images.skipped)


def _identity(weights: str, known: Path, progress: Progress) -> str:
    return weights if weights.startswith("random:") else file_identity(Path(weights), known, progress)


def _work(extraction: Extraction, pictures: Path, out: Path, room: Path, progress: Progress) -> Path:
    identity = pictures_identity(pictures, room / ".identities.json", progress)
    names = [extraction.backbone, *extraction.layers, extraction.weights_id]
    key = [_FORM, identity, *names, os.path.realpath(out)]
    key += [str(extraction.image_size)] if extraction.image_size else []
    return room / ".work" / f"features-{hashlib.sha256(json.dumps(key).encode()).hexdigest()[:16]}"
