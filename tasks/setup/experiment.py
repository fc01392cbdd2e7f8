"""An experiment, resolved: the value of every flag, from tables of the standard library, before anything runs.

A flag's value is the first there is of: the one given; the one that a ready-made dataset leaves no choice in; that of
luigi.cfg's [experiment]; the default that the dataset (or the image set's) sets for the model, or for all; the model's
recipe; the flag's own. The last two are for as many questions as the recipe is published with: with own data, which has
few, some of them follow the number of training questions (few_questions.py).
The root of a run resolves them and hands the values to its stages. They are what fingerprints hold.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from data.base.errors import DataError, ModelError
from data.base.words import counted
from data.catalog import entries, sources
from data.download.local_copies import WEIGHTS as WEIGHTS_FILES
from data.download.local_copies import check_weights_file
from models.backbones import names as backbones
from models.classifiers import names as classifiers
from tasks.setup import few_questions, settings
from tasks.setup.flag_kinds import Flag
from tasks.setup.flags import ModelFlags
from tasks.setup.user_errors import refuse

FIRST = ("dataset", "image_set", "model", "backbone")  # others depend on them


@dataclass(frozen=True)
class Experiment:
    """The flags of a task with the values in force. A stage's part decides where its artifact lies."""

    values: Mapping[str, Any]

    @property
    def parts(self) -> dict[str, dict[str, Any]]:
        """The same by what it is about: data, how a picture is viewed, and the model with its recipe."""
        parts: dict[str, dict[str, Any]] = {"data": {}, "pictures": {}, "model": {}}
        for name, value in self.values.items():
            parts[_part_of(name)][name] = value
        return parts


def _part_of(flag: str) -> str:
    """data, pictures or model: what a flag is about."""
    if flag in classifiers.PICTURE_FLAGS:
        return "pictures"
    return "model" if flag in vars(ModelFlags) else "data"


def as_typed(flag: str, value: Any) -> tuple[str, str]:
    """The two words of a command line that give a flag this value."""
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return f"--{flag.replace('_', '-')}", text


def resolve(declared: Mapping[str, Flag], given: Mapping[str, Any]) -> Experiment:
    """Every flag of `declared` with its value; `given` holds the given values, or None.

    Ends with one line (UsageError) for flags that can't go together.
    """
    stated = settings.experiment()
    values = {name: given.get(name) for name in declared}
    for name in sorted(declared, key=lambda name: FIRST.index(name) if name in FIRST else len(FIRST)):
        if values[name] is None:
            values[name] = _default(declared[name], name, values, stated)
    unchosen = [name for name in _unstated(values, stated) if given.get(name) is None]
    if unchosen and (questions := few_questions.training_questions(values)):
        for name in unchosen:
            values[name] = few_questions.FOLLOWING[name](values, questions)
    _check_settled(values, declared)
    if "layer" in values:
        values["layer"] = settled_layer(values["backbone"], values["layer"], values.get("model"))
        values["image_size"] = settled_size(values["backbone"], values["layer"], values["image_size"])
    if "weights" in values:
        check_weights(str(values["weights"]))
    return Experiment(MappingProxyType(values))


def _default(flag: Flag, name: str, values: dict[str, Any], stated: dict[str, str]) -> Any:
    """The value of a flag that is not given. `values` has those of FIRST."""
    tables = _stated_tables(name, values, stated)
    if name != "model" and values.get("model"):
        tables.append(_recipe(name, values))
    text = next((table[name] for table in tables if name in table), None)
    return flag.default if text is None else flag.parse(text)


def _stated_tables(name: str, values: dict[str, Any], stated: dict[str, str]) -> list[dict[str, str]]:
    """What people have written down for a flag's value, the nearest first: settings and the dataset's defaults."""
    tables = [_settled(values), stated]
    if name != "dataset":
        tables += [table for dataset in _datasets_of(values) for table in _stated_by(dataset, values)]
    return tables


def _unstated(values: Mapping[str, Any], stated: dict[str, str]) -> list[str]:
    """The flags that may follow the number of training questions, of a task that trains: those that no table states."""
    if not values.keys() >= few_questions.FOLLOWING.keys():
        return []
    known = dict(values)
    return [
        name
        for name in few_questions.FOLLOWING
        if not any(name in table for table in _stated_tables(name, known, stated))
    ]


def about_size(
    declared: Mapping[str, Flag], values: Mapping[str, Any], ignored: tuple[str, ...] = ()
) -> list[str]:
    """For `plan`: about how many questions own data has to learn from, and which flags follow from it.

    `ignored`: flags that change nothing for the model.
    """
    stated, questions = settings.experiment(), None
    if values.keys() >= few_questions.FOLLOWING.keys():
        questions = few_questions.training_questions(values)
    if not questions:
        return []
    following = []
    for name in _unstated(values, stated):
        recipe = {**values, name: _default(declared[name], name, dict(values), stated)}
        if name not in ignored and recipe[name] != values[name] == few_questions.FOLLOWING[name](
            recipe, questions
        ):
            following.append(" ".join(as_typed(name, values[name])))
    said = f"about {counted(questions, 'training question')}"
    lines = [f"{said}: {' '.join(following)} follow from that"] if following else []
    return lines + ([f"{said}: {few_questions.TOO_FEW}"] if questions < few_questions.ENOUGH else [])


def _stated_by(dataset: entries.Dataset, values: dict[str, Any]) -> list[dict[str, str]]:
    """A dataset's defaults, the nearest first: those for the model, those for the model that it is like, those for all.

    A set of pictures has no model.
    """
    model = values.get("model")
    names = (model, classifiers.CLASSIFIERS[model].like) if model else ()
    return [*(dataset.models[name] for name in names if name in dataset.models), dataset.defaults]


def _recipe(name: str, values: dict[str, Any]) -> dict[str, str]:
    """The model's recipe; its layer belongs to its backbone, and is left out with another."""
    recipe = dict(classifiers.CLASSIFIERS[values["model"]].recipe)
    if name != "backbone" and recipe.get("backbone", values.get("backbone")) != values.get("backbone"):
        recipe = {flag: text for flag, text in recipe.items() if flag not in classifiers.PICTURE_FLAGS}
    return recipe


def _datasets_of(values: dict[str, Any]) -> list[entries.Dataset]:
    """The dataset whose defaults hold: the one named, or those that an image set belongs to."""
    if values.get("dataset"):
        return [sources.dataset(values["dataset"])]
    image_set = values.get("image_set")
    return [
        dataset
        for dataset in sources.catalog().datasets.values()
        if image_set in {split.image_set for split in dataset.splits.values()}
    ]


def _settled(values: dict[str, Any]) -> dict[str, str]:
    """Flags that a ready-made dataset leaves no choice in, whatever [experiment] says."""
    ready_made = sources.dataset(values["dataset"]).ready_made if values.get("dataset") else None
    return ready_made.settles if ready_made else {}


def _check_settled(values: dict[str, Any], declared: Mapping[str, Flag]) -> None:
    """Refuse a flag that would change nothing but paths."""
    for name, text in _settled(values).items():
        if name in values and values[name] != declared[name].parse(text):
            flag, given = as_typed(name, values[name])
            refuse(f"{flag} {given}: {values['dataset']} is ready-made and has {flag} {text}; leave it out")


def check_weights(weights: str) -> None:
    """Refuse a file that can't hold weights, before anything runs."""
    if weights.endswith(WEIGHTS_FILES):
        try:
            check_weights_file(Path(weights))
        except DataError as error:
            refuse(f"--weights {error}")


@cache
def settled_layer(backbone: str, layer: str, model: str | None) -> str:
    """The layer; for "" the backbone's first, or the first that the model reads.

    A layer that a backbone of our table lacks or the model can't read is refused before gigabytes are downloaded. That
    takes the import of torch where the table does not name the layer. Layers of other networks: `check_shape`.
    """
    if model and not classifiers.sees_pictures(model):
        model = None
    try:
        known = backbones.layers_of(backbone)
        if not layer and model:
            layer = _first_readable(backbone, model)
        layer = layer or backbones.default_layer(backbone)
    except ModelError as error:
        refuse(str(error))
    if known:
        shape = known[layer].shape if layer in known else shape_of_node(backbone, layer)
        check_shape(backbone, layer, model, shape)
    return layer


def _first_readable(backbone: str, model: str) -> str:
    """The backbone's first layer that the model reads; "" where none of the table is."""
    if backbones.is_timm(backbone):
        return "grid" if classifiers.CLASSIFIERS[model].reads == "grid" else "pooled"
    known = backbones.layers_of(backbone)
    return next((name for name in known if classifiers.can_read(model, known[name].shape)), "")


@cache
def settled_size(backbone: str, layer: str, size: int | str) -> int | str:
    """The size of the pictures; "" for the backbone's own, however it was given.

    A size that the network can't take is refused, which takes the import of torch where it is not in our table.
    """
    try:
        settled = backbones.settled_size(backbone, int(size) if size else None)
    except ModelError as error:
        refuse(f"--image-size {size}: {error}")
    if settled and not backbones.layers_of(backbone):
        shape_of_node(backbone, layer, settled)
    return settled or ""


def shape_of_node(backbone: str, layer: str, size: int | str = "") -> tuple[int, ...]:
    """The shape of a picture's features at a node of torchvision's. Imports torch; UsageError for a wrong name, and for
    a size that the network can't take."""
    from models.backbones.load import stored_shape

    try:
        return stored_shape(backbone, layer, int(size) if size else None)
    except ModelError as error:
        refuse(str(error))


def check_shape(backbone: str, layer: str, model: str | None, shape: tuple[int, ...]) -> None:
    """Refuse features that the model can't read, with the layers that it can."""
    if model is None or classifiers.can_read(model, shape):
        return
    known = backbones.layers_of(backbone).items()
    able = [f"--layer {name}" for name, entry in known if classifiers.can_read(model, entry.shape)]
    cure = (
        " or ".join(able) or f"another --layer, or a backbone of the table: {', '.join(backbones.BACKBONES)}"
    )
    refuse(
        f"--model {model} reads {classifiers.SHAPES[classifiers.CLASSIFIERS[model].reads]}, but --backbone {backbone} "
        f"--layer {layer} gives {' x '.join(map(str, shape))}; take {cure}"
    )
