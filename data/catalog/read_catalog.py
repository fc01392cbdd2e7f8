"""Reads catalog files: data/catalog/catalog.toml, and those of your own data that are put beside it.

Every entry is checked, so that a mistake in a hand-written file is named and does not end in a traceback.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from data.base.errors import DataError
from data.base.words import visible
from data.catalog.entries import (
    Catalog,
    Dataset,
    Glove,
    ImageSet,
    Own,
    Published,
    ReadyMade,
    Source,
    Split,
    find,
)
from data.catalog.picture_id_rules import settle_ids
from data.catalog.toml_files import Table

OWN_TABLES = (".csv", ".tsv", ".tab", ".txt", ".jsonl", ".ndjson", ".json", ".zip")

SOURCE = "file origin urls sha256 sha256_prefix bytes licence made_by path about_mb"


def load(*paths: Path) -> Catalog:
    """Read TOML files into one catalog. DataError names the file and the entry that is wrong."""
    whole = Catalog()
    origins: dict[str, Table] = {}
    for path in paths:
        file = Table.of(path, "origins image_sets datasets glove weights ready_made own")
        origins |= file.tables("origins", "bases licence pictures")
        for kind, entries in _entries(file, origins).items():
            known = getattr(whole, kind)
            for twice in sorted(known.keys() & entries.keys()):
                raise DataError(f"{path}: {twice!r} is stated already by another catalog file; rename it")
            known.update(entries)
        for name, table in file.tables("datasets").items():
            if "part_of" in table.values:
                whole.datasets[name] = _part(whole.datasets[name], table, whole.datasets)
        for name, table in file.tables(
            "own", "pictures questions annotations val seed defaults models"
        ).items():
            _add_own(name, table, whole)
        for name, table in file.tables("ready_made", "path annotated_by answers").items():
            if name in whole.datasets:
                raise DataError(f"{path}: {name!r} is stated already by another catalog file; rename it")
            whole.datasets[name] = _ready_made(name, table, whole.datasets)
    _check_references(whole, paths[-1])
    settle_ids(whole, paths[-1])
    return whole


def _entries(file: Table, origins: dict[str, Table]) -> dict[str, dict[str, Any]]:
    gloves: dict[str, Glove] = {}
    for name, table in file.tables("glove", f"{SOURCE} members words").items():
        gloves |= _gloves(name, table, origins)
    image_sets = file.tables("image_sets", f"{SOURCE} images prefix pictures")
    datasets = file.tables("datasets", "splits unions humans defaults models published part_of")
    weights = file.tables("weights", SOURCE)
    return {
        "image_sets": {name: _image_set(name, table, origins) for name, table in image_sets.items()},
        "datasets": {name: _dataset(name, table, origins) for name, table in datasets.items()},
        "gloves": gloves,
        "weights": {name: _source(f"{name} weights", table, origins) for name, table in weights.items()},
    }


def _source(name: str, table: Table, origins: dict[str, Table]) -> Source:
    file, licence, own = table.get("file", str, ""), table.get("licence", str, ""), table.get("path", str)
    if own:
        path = table.located("path", own)
        return Source(name, file or path.name, path=path, licence=licence)
    if not file or file in (".", "..") or re.search(r"[/\\\0]", file):
        raise table.wrong(f"file = {file!r} is not a plain file name")
    urls, made_by = table.strings("urls"), table.get("made_by", str)
    if "origin" in table.values:
        origin = find(table.get("origin", str), origins, f"origin ({table.path}: {table.name})")
        urls = urls or tuple(base + file for base in origin.strings("bases"))
        licence = licence or origin.get("licence", str, "")
    if not urls and not made_by:
        raise table.wrong("none of origin, urls, path, made_by says where it comes from")
    whole, prefix = _hex(table, "sha256", 64), _hex(table, "sha256_prefix", 8)
    size, about = table.get("bytes", int), table.get("about_mb", int)
    return Source(name, file, urls, whole, prefix, size, licence, made_by, about_mb=about)


def _hex(table: Table, key: str, digits: int) -> str | None:
    value: str | None = table.get(key, str)
    if value is not None and not re.fullmatch(rf"[0-9a-f]{{{digits}}}", value):
        raise table.wrong(f"{key} = {value!r}: expected {digits} lower-case hex digits")
    return value


def _image_set(name: str, table: Table, origins: dict[str, Table]) -> ImageSet:
    source, prefix = _source(name, table, origins), table.get("prefix", str, "")
    pictures = table.strings("pictures")
    if pictures and not prefix:
        raise table.wrong("pictures: these addresses take COCO's names; expected a prefix beside them")
    if prefix and "origin" in table.values:
        pictures = pictures or origins[table.get("origin", str)].strings("pictures")
    return ImageSet(name, source, table.get("images", int), prefix, pictures=pictures)


def _dataset(name: str, table: Table, origins: dict[str, Table]) -> Dataset:
    splits = {
        split: _split(f"{name} {split}", split, inner, origins)
        for split, inner in table.tables("splits", "image_set questions annotations").items()
    }
    unions = table.table("unions")
    published = table.table("published", "lines seed")
    return Dataset(
        name,
        splits,
        {union: unions.strings(union) for union in unions.values},
        table.get("humans", int),
        table.flags("defaults"),
        tuple(_published(published, line) for line in published.get("lines", list, [])),
        published.each("seed", float),
        models=_of_models(table),
        part_of=table.get("part_of", str),
    )


def _part(part: Dataset, table: Table, datasets: dict[str, Dataset]) -> Dataset:
    """The part with the splits, and all else that is told of them, of the dataset that it is a part of."""
    of = find(table.get("part_of", str), datasets, f"dataset ({table.path}: {table.name}.part_of)")
    if of.part_of or table.values.keys() - {"part_of", "defaults", "models"}:
        raise table.wrong(
            f"part_of = {of.name!r}: expected a whole dataset, and beside it defaults and models alone"
        )
    return replace(of, name=part.name, defaults=part.defaults, models=part.models, part_of=of.name)


def _of_models(table: Table) -> dict[str, dict[str, str]]:
    """Defaults by model."""
    models = table.table("models")
    return {name: models.flags(name) for name in models.values}


def _ready_made(name: str, table: Table, datasets: dict[str, Dataset]) -> Dataset:
    """The dataset that annotates it, with the files' questions and features. The original's are VGG-19's fc7; its
    training half has the consensus answers only, its other half is judged."""
    path, answers = table.get("path", str), table.get("answers", int)
    if path is None or answers is None:
        raise table.wrong("expected path, annotated_by and answers")
    annotated_by = table.get("annotated_by", str, "")
    of = find(annotated_by, datasets, f"dataset ({table.path}: {table.name})")
    settles = {
        **{"train_split": "train", "eval_split": "val", "task": "open-ended", "target": "consensus"},
        "hold_out": "0",  # there are no ten answers to judge by
        **{
            "backbone": "vgg19",
            "layer": "fc7",
            "image_size": "",
            "weights": "pretrained",
            "answers": str(answers),
            "limit_pictures": "0",
        },
    }
    splits = {split: of.split(split) for split in ("train", "val")}
    ready = ReadyMade(table.path.parent / path, annotated_by, settles)
    return replace(of, name=name, splits=splits, unions={}, published=(), seed={}, ready_made=ready)


def _add_own(name: str, table: Table, whole: Catalog) -> None:
    """Pictures and tables of your own: an image set, or one a split, and a dataset of train and val."""
    if visible(name) != name:  # it is printed by Luigi, too
        raise table.wrong("control characters stand in the name; rename it")
    pictures = _own_paths(table, "pictures")
    image_sets = {split: f"{name}-{split}" if split else name for split in pictures}
    if name in whole.datasets or whole.image_sets.keys() & set(image_sets.values()):
        raise table.wrong(f"{name!r} is the name of another dataset or image set; rename it")
    for split, path in pictures.items():
        source = Source(f"{table.path}: {table.name}.pictures", path.name, path=path)
        whole.image_sets[image_sets[split]] = ImageSet(image_sets[split], source, None, "")
    own, splits = _own_tables(table, per_split="" not in pictures), {}
    for split in ("train", "val"):
        questions, annotations = (
            Source(f"{name} {split} {what}", f"{split}-{what}.json", made_by=f"own:{name}")
            for what in ("questions", "annotations")
        )
        members = {split: {"open-ended": ""}}  # no zip: the file itself
        image_set = image_sets.get(split) or image_sets[""]
        splits[split] = Split(split, image_set, questions, members, None, annotations, None)
    unions: dict[str, tuple[str, ...]] = {"trainval": ("train", "val")}
    defaults = table.flags("defaults")
    models = _of_models(table)
    whole.datasets[name] = Dataset(name, splits, unions, None, defaults, (), {}, own=own, models=models)


def _own_tables(table: Table, per_split: bool) -> Own:
    questions = _own_paths(table, "questions")
    annotations = _own_paths(table, "annotations") if "annotations" in table.values else {}
    if per_split and "" in questions:
        raise table.wrong("pictures of each split need questions of each: { train = ..., val = ... }")
    if annotations and annotations.keys() != questions.keys():
        raise table.wrong("annotations: official questions need one file each")
    kinds = (".json", ".zip") if annotations else OWN_TABLES
    for path in [*questions.values(), *annotations.values()]:
        if not path.name.lower().removesuffix(".gz").endswith(kinds):
            named = f"{', '.join(kinds)} (or one of these as .gz)"
            raise table.wrong(
                f"{path.name}: expected {named}; a spreadsheet is saved as CSV by its own program"
            )
    if "" not in questions and (idle := {"val", "seed"} & table.values.keys()):
        raise table.wrong(f"{min(idle)} does nothing where questions has a file for each split; leave it out")
    val, seed = table.get("val", float, 0.2), table.get("seed", int, 0)
    if not 0 < val < 1:
        raise table.wrong(f"val = {val}: expected a share of the pictures between 0 and 1")
    return Own(questions, annotations, val, seed)


def _own_paths(table: Table, key: str) -> dict[str, Path]:
    """One path under "", or those of train and val. A relative one starts at the file that states it."""
    value = table.values.get(key)
    if isinstance(value, str):
        stated = {"": value}
    else:
        inner = table.table(key, "train val")
        stated = {split: inner.get(split, str) for split in inner.values}
    if stated.keys() not in ({""}, {"train", "val"}) or not all(stated.values()):
        problem = f"{key} is missing" if value is None else f"{key} = {value!r}"
        raise table.wrong(f'{problem}: expected a path, or {{ train = "...", val = "..." }}')
    return {split: table.located(key, path) for split, path in stated.items()}


def _published(table: Table, values: Any) -> Published:
    keys = "model trained_on split task"
    line = Table(table.path, f"{table.name}.lines", values, f"{keys} accuracy")
    model, trained_on, split, task = (line.get(key, str, "") for key in keys.split())
    return Published(model, trained_on, split, task, line.get("accuracy", float, 0.0))


def _split(title: str, name: str, table: Table, origins: dict[str, Table]) -> Split:
    questions = table.table("questions", f"{SOURCE} members count")
    annotations = table.table("annotations", f"{SOURCE} member") if "annotations" in table.values else None
    return Split(
        name,
        table.get("image_set", str, ""),
        _source(f"{title} questions", questions, origins),
        {
            subset: questions.table("members").each(subset, str)
            for subset in questions.table("members").values
        },
        questions.get("count", int),
        _source(f"{title} annotations", annotations, origins) if annotations else None,
        annotations.get("member", str) if annotations else None,
    )


def _gloves(name: str, table: Table, origins: dict[str, Table]) -> dict[str, Glove]:
    source, words = _source(name, table, origins), table.get("words", int)
    names = {member: member.removesuffix(".txt") for member in table.table("members").values}
    return {
        names[member]: Glove(names[member], source, member, dimensions, words)
        for member, dimensions in table.each("members", int).items()
    }


def _check_references(whole: Catalog, path: Path) -> None:
    for dataset in whole.datasets.values():
        for split in dataset.splits.values():
            what = f"image set (split {split.name} of {dataset.name}, {path})"
            find(split.image_set, whole.image_sets, what)
        for union, parts in dataset.unions.items():
            for part in parts:
                find(part, dataset.splits, f"split (union {union} of {dataset.name}, {path})")
