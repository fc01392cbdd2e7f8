"""Writes a run's model as one file; `model_file` says what is in it and reads it."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import msgspec

from data.base.errors import DataError, refusal
from data.base.files import replaced
from data.base.hashes import sha256_file
from data.catalog import sources
from data.catalog.entries import Source
from models.classifiers.names import sees_pictures
from tasks.library.model_file import ABOUT, CONFIG, FORMAT, TENSORS, VOCABULARY, About, BackboneOfFile
from tasks.library.model_of_run import ModelOfRun, check_can_look, recorded_hash
from tasks.library.trained_runs import check_bytes
from tasks.setup.flag_kinds import NO_GLOVE

_DATE = (1980, 1, 1, 0, 0, 0)  # the format's first day: the same model gives the same bytes


def export_model(model: ModelOfRun, to: Path) -> About:
    """Write a model file, as a whole or not at all; what is there is replaced. Returns what its model.json says.

    DataError where the run is damaged, can't look at other pictures, or `to` can't be written.
    """
    if to.suffix.lower() != ".zip":
        raise DataError(
            f"{to}: a model file is called something.zip, by which ask, serve and load_model know it"
        )
    folder = check_bytes(model.run, model.run.folder)
    check_can_look(model.run)
    files = {CONFIG: folder / CONFIG, VOCABULARY: model.vocabulary_file(), TENSORS: folder / TENSORS}
    about = _about(model, files)
    try:
        with replaced(to) as beside:
            _write(beside, about, files)
    except OSError as error:
        raise DataError(refusal(error, to)) from error
    return about


def _write(path: Path, about: About, files: dict[str, Path]) -> None:
    """Stored members: weights do not compress, and what is stored can't grow when it is read."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(zipfile.ZipInfo(ABOUT, _DATE), msgspec.json.format(msgspec.json.encode(about)))
        for name, file in files.items():
            member = zipfile.ZipInfo(name, _DATE)
            member.file_size = file.stat().st_size
            with file.open("rb") as source, archive.open(member, "w") as target:
                shutil.copyfileobj(source, target, 1 << 20)


def _about(model: ModelOfRun, files: dict[str, Path]) -> About:
    flags = dict(model.parameters)
    config = files[CONFIG].read_text(encoding="utf-8")
    backbone = _backbone(model, recorded_hash(config)) if sees_pictures(flags["model"]) else None
    if "weights" in flags:  # where a file of the user's lies is nobody else's business
        flags["weights"] = Path(flags["weights"]).name
    return About(
        format=FORMAT,
        made_by=f"vqa-pipeline {version('vqa-pipeline')}",
        name=model.name,
        parameters=flags,
        accuracies=model.judgements(),
        licences=dict(_licences(model)),
        sha256={name: sha256_file(file) for name, file in files.items()},
        backbone=backbone,
    )


def _backbone(model: ModelOfRun, sha256: str) -> BackboneOfFile:
    flags = model.parameters
    name, weights, size = flags["backbone"], str(flags["weights"]), flags.get("image_size") or None
    if weights.startswith("random:"):
        return BackboneOfFile(name, flags["layer"], weights, size)
    if weights == "pretrained":
        return BackboneOfFile(name, flags["layer"], weights, size, sources.weights(name).file, sha256)
    return BackboneOfFile(name, flags["layer"], "file", size, Path(weights).name, sha256)


def _licences(model: ModelOfRun) -> Iterator[tuple[str, str]]:
    """Of what the model was made from, by file, as the catalog states them."""
    for source in _sources(model):
        yield source.file, source.licence or "none stated"


def _sources(model: ModelOfRun) -> Iterator[Source]:
    flags = model.parameters
    dataset = sources.dataset(flags["dataset"])
    for part in dataset.parts(flags["train_split"]):
        split = dataset.split(part)
        pictures = [sources.image_set(split.image_set).source] if sees_pictures(flags["model"]) else []
        yield from filter(None, (*pictures, split.questions, split.annotations))
    if flags["glove"] != NO_GLOVE:
        yield sources.glove(flags["glove"]).source
    if sees_pictures(flags["model"]) and flags["weights"] == "pretrained":
        yield sources.weights(flags["backbone"])
