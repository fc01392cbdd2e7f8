"""What decides a flag's value, and what is refused before anything runs."""

from __future__ import annotations

import dataclasses
import shlex

import pytest

import pipeline
from models.backbones.names import layers_of
from models.classifiers import names
from models.classifiers.names import CLASSIFIERS, Entry
from tasks.contract.graph import walk
from tasks.setup import settings
from tasks.setup.experiment import resolve
from tasks.setup.user_errors import UsageError

DECLARED = pipeline.RunAll.declared_flags()


@pytest.fixture
def stated(monkeypatch):
    """[experiment] of luigi.cfg."""
    values: dict[str, str] = {}
    monkeypatch.setattr(settings, "experiment", lambda: values)
    return values


@pytest.fixture
def grid_model(monkeypatch):
    recipe = {"epochs": "13", "optimiser": "adamw", "dropout": "0.1", "backbone": "vgg19", "layer": "conv5_4"}
    monkeypatch.setitem(CLASSIFIERS, "reads-grids", Entry("deeper_lstm.py", "DeeperLstm", "grid", recipe))
    monkeypatch.setattr(DECLARED["model"], "kind", str)
    return "reads-grids"


def test_the_nearest_wins_given_then_settings_then_dataset_then_recipe_then_the_flags_own(stated, grid_model):
    def epochs(**given):
        return resolve(DECLARED, {"dataset": "vqa-v1", **given}).values["epochs"]

    assert epochs() == 10
    assert epochs(model=grid_model) == 13
    assert (
        epochs(model=grid_model, dataset="sample") == 13
    )  # the sample's are for deeper-lstm, and those like it
    assert {
        epochs(model=name, dataset="sample") for name in ("deeper-lstm", "language-only", "bag-of-words")
    } == {6}
    stated["epochs"] = "7"
    assert epochs(model=grid_model, dataset="sample") == 7
    assert epochs(model=grid_model, dataset="sample", epochs=3) == 3


def test_a_model_named_in_settings_brings_its_recipe(stated, grid_model):
    stated["model"] = grid_model
    values = resolve(DECLARED, {"dataset": "vqa-v1"}).values
    assert (values["optimiser"], values["dropout"], values["layer"]) == ("adamw", 0.1, "conv5_4")


def test_a_recipes_layer_holds_with_its_backbone_alone(stated, grid_model):
    def layer(**given):
        return resolve(DECLARED, {"dataset": "vqa-v1", "model": grid_model, **given}).values["layer"]

    assert (layer(), layer(backbone="vgg19")) == ("conv5_4", "conv5_4")
    assert layer(backbone="vgg16") == layer(dataset="sample") == "pool5"  # the first that it can read
    assert layer(backbone="resnet50") == "grid"
    stated["backbone"] = "vgg16"
    assert layer() == "pool5"


PUBLISHED = {
    "saaa": {"backbone": "resnet152", "layer": "grid", "answers": 3000, "glove": "none", "target": "shares"}
    | {
        "epochs": 50,
        "batch_size": 128,
        "learning_rate": 1e-3,
        "optimiser": "adam",
        "lr_schedule": "half-life",
    },
    "top-down": {"answers": 3129, "glove": "glove.6B.300d", "target": "soft", "epochs": 30, "batch_size": 512}
    | {"learning_rate": 2e-3, "optimiser": "adamax", "lr_schedule": "constant", "fine_tune_embeddings": True},
    "mcan-small": {
        "answers": 3129,
        "glove": "glove.840B.300d",
        "target": "soft",
        "epochs": 13,
        "batch_size": 64,
    }
    | {"learning_rate": 1e-4, "optimiser": "adam", "lr_schedule": "warm-up", "dropout": 0.1, "hidden": 512},
    "mcan-large": {"answers": 3129, "learning_rate": 7e-5, "hidden": 1024, "joint": 2048},
}


@pytest.mark.parametrize("dataset", ["vqa-v1", "vqa-v2"])
@pytest.mark.parametrize("model", PUBLISHED)
def test_a_model_alone_is_trained_by_its_recipe(stated, dataset, model):
    values = resolve(DECLARED, {"dataset": dataset, "model": model}).values
    assert {name: values[name] for name in PUBLISHED[model]} == PUBLISHED[model]
    given = resolve(
        DECLARED, {"dataset": dataset, "model": model, "epochs": 2, "glove": "glove.6B.50d"}
    ).values
    assert (given["epochs"], given["glove"]) == (2, "glove.6B.50d")


@pytest.mark.parametrize("model", PUBLISHED)
def test_defaults_about_data_hold_for_every_model(stated, model):
    values = resolve(DECLARED, {"model": model}).values
    about = {"weights": "random:0", "glove": "glove.sample.300d", "backbone": "vgg16", "layer": "pool5"}
    assert {name: values[name] for name in about} == about


def test_no_word_vectors_need_no_download_and_are_trained(stated, artifacts):
    stage = pipeline.TrainModel(glove="none")
    names = {type(each).__name__ for each in walk(stage)}
    assert not names & {"BuildEmbeddings", "DownloadGlove", "MakeSampleGlove"}
    assert stage.path == pipeline.TrainModel(glove="none", fine_tune_embeddings=True).path
    for cls in (pipeline.BuildEmbeddings, pipeline.DownloadGlove):
        with pytest.raises(UsageError, match=r"--glove none: TrainModel draws these vectors itself"):
            cls(glove="none")


def test_a_record_is_whole_and_frozen(stated):
    experiment = resolve(DECLARED, {})
    assert experiment.values.keys() == DECLARED.keys() and None not in experiment.values.values()
    with pytest.raises(TypeError):
        experiment.values["epochs"] = 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        experiment.values = {}
    parts = experiment.parts
    assert parts["pictures"] == {
        "backbone": "vgg16",
        "layer": "fc7",
        "image_size": "",
        "weights": "random:0",
    }
    assert sum(map(len, parts.values())) == len(DECLARED)
    assert parts["data"]["dataset"] == "sample" and parts["model"]["epochs"] == 6


def test_stages_are_handed_the_record_and_resolve_nothing_again(stated, artifacts):
    root = pipeline.RunAll(epochs=9)
    stated["epochs"] = "4"
    trained = root.requires().upstream["predictions"].upstream["model"]
    assert trained.experiment.values["epochs"] == 9
    assert trained.experiment.values.items() <= root.experiment.values.items()


@pytest.mark.parametrize("backbone", ["vgg16", "vgg19", "resnet50", "resnet152"])
def test_a_models_own_kind_of_layer_is_taken_and_any_other_refused(stated, grid_model, backbone):
    for model, own in (("deeper-lstm", "vector"), (grid_model, "grid"), ("bag-of-words", "vector")):
        known = {"dataset": "vqa-v1", "model": model, "backbone": backbone}
        layers = layers_of(backbone)
        able = [name for name, layer in layers.items() if names.shape_kind(layer.shape) == own]
        recipes = "conv5_4" if (model, backbone) == (grid_model, "vgg19") else able[0]
        assert resolve(DECLARED, known).values["layer"] == recipes
        for layer in layers.keys() - set(able):
            with pytest.raises(
                UsageError, match=rf"--model {model} reads .*--layer {layer} gives .*--layer {able[0]}"
            ):
                resolve(DECLARED, {**known, "layer": layer})
        for layer in layers:
            resolve(DECLARED, {**known, "model": "language-only", "layer": layer})


def test_a_layer_outside_the_table_is_refused_before_anything_runs(stated, artifacts):
    trained = pipeline.TrainModel(backbone="resnet18", layer="layer4")
    with pytest.raises(UsageError, match=r"--backbone resnet18 --layer layer4 gives 7 x 7 x 512"):
        trained.requires()
    assert pipeline.TrainModel(backbone="resnet18", layer="flatten").requires()
    with pytest.raises(UsageError, match=r"layer: resnet18 has no 'flaten'. Did you mean 'flatten'"):
        pipeline.TrainModel(backbone="resnet18", layer="flaten").requires()


def test_a_size_belongs_to_its_backbone_and_its_own_is_none(stated, artifacts):
    def size(**given):
        return resolve(DECLARED, {"dataset": "vqa-v1", **given}).values["image_size"]

    assert (size(), size(model="saaa"), size(model="saaa", backbone="resnet50")) == ("", 448, "")
    assert size(image_size=224) == size(model="saaa", image_size="") == ""
    assert pipeline.ExtractFeatures(image_size=224).path == pipeline.ExtractFeatures().path
    disk = [
        pipeline.ExtractFeatures(image_set="train2014", image_size=side, **RESNET).costs()["disk"]
        for side in (224, 448)
    ]
    assert disk[1] == 4 * disk[0] == 4 * 2 * 82783 * 7 * 7 * 2048


RESNET = {"backbone": "resnet152", "layer": "grid", "weights": "random:0"}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"image_size": 16}, r"--image-size 16: image size: vgg16 takes pictures of 32 x 32 and more"),
        (
            {"image_size": 448, "backbone": "vit_b_16", "layer": "encoder.ln"},
            "vit_b_16 can't take pictures of 448 x 448",
        ),
        ({"image_size": 0}, "--image-size 0: expected a whole number of at least 1, or nothing"),
        ({"image_size": "big"}, "--image-size big: expected a whole number"),
    ],
)
def test_a_size_that_the_network_cannot_take_is_refused(stated, given, message):
    with pytest.raises(UsageError, match=message):
        pipeline.ExtractFeatures(**given)


def test_plan_shows_the_record(shell):
    said = shell("pipeline", "plan", "TrainModel", "--model", "bag-of-words", "--epochs", "3")
    data, pictures, model = said.splitlines()[:3]
    assert data.startswith("data      --dataset sample --train-split train")
    assert pictures == "pictures  --backbone vgg16 --layer fc7 --image-size '' --weights random:0"
    assert model.startswith("model     --model bag-of-words") and " --epochs 3 " in model
    assert "--hidden" not in model  # bag-of-words has no LSTM
    again = shell(
        "pipeline", "plan", "TrainModel", *shlex.split(" ".join(line[9:] for line in said.splitlines()[:3]))
    )
    assert again.splitlines()[:-1] == said.splitlines()[:-1]  # as one would type it; the last has the disk
