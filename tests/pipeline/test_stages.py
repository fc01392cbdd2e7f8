"""What holds for every stage, found by introspection."""

from __future__ import annotations

import inspect
import os
from pathlib import Path

import luigi
import pytest

import pipeline
from models.classifiers import names
from tasks.contract.graph import walk
from tasks.contract.stage import Stage
from tasks.setup import comparison_flags, flags
from tasks.setup.flag_kinds import Flag
from tasks.setup.user_errors import UsageError

ROOT = Path(__file__).resolve().parents[2]
# ConvertOwnData exists for data of your own alone: tests/pipeline/test_own_data.py has its cases.
STAGES = [
    stage
    for stage in map(vars(pipeline).get, pipeline.__all__)
    if isinstance(stage, type) and issubclass(stage, Stage) and stage is not pipeline.ConvertOwnData
]

# Another valid value for each flag.
OTHER = {
    "models": "bag-of-words,language-only",
    "seeds": 2,
    "dataset": "vqa-v1",
    "image_set": "val2014",
    "split": "val",
    "train_split": "trainval",
    "eval_split": "test",
    "task": "multiple-choice",
    "baseline": "language-only",
    "size": "tiny",
    "backbone": "vgg19",
    "layer": "fc6",
    "image_size": 448,
    "weights": "random:7",
    "answers": 500,
    "glove": "glove.6B.100d",
    "model": "bag-of-words",
    "target": "soft",
    "epochs": 3,
    "batch_size": 17,
    "learning_rate": 0.5,
    "optimiser": "adamw",
    "lr_schedule": "cosine",
    "dropout": 0.25,
    "hidden": 64,
    "joint": 64,
    "seed": 9,
    "limit_questions": 100,
    "limit_pictures": "40,20",
    "fine_tune_embeddings": True,
    "standardise": True,
    "hold_out": 0.25,
    "picture_worth": False,  # the sample's defaults ask for it
}

# And another for those that a model's recipe has.
STILL_OTHER = {"target": "consensus", "fine_tune_embeddings": False, "standardise": False}


def flags_of(stage):
    return [(name, flag) for name, flag in stage.get_params()]


CASES = [(stage, name) for stage in STAGES for name, flag in flags_of(stage) if flag.significant]


@pytest.mark.parametrize("stage, name", CASES, ids=lambda value: getattr(value, "__name__", value))
def test_a_significant_flag_moves_the_path(artifacts, stage, name):
    # A model can't be judged on what it was trained on, nor where answers are secret: other company for these.
    around = {"dataset": "vqa-v1"} if name == "eval_split" else {}
    if name == "train_split" and "eval_split" in dict(stage.get_params()):
        around = {"dataset": "vqa-v1", "eval_split": "test"}
    if around and stage in (pipeline.EvaluateModel, pipeline.Report, pipeline.CompareModels):
        pytest.skip("has one value only where answers are known")
    base = stage(**around)
    assert getattr(base, name) != OTHER[name], "the table needs another value"
    assert stage(**around | {name: OTHER[name]}).path != base.path


@pytest.mark.parametrize("stage", STAGES)
def test_insignificant_settings_and_rerun_do_not_move_it(artifacts, stage, monkeypatch):
    base = stage().path
    luigi.Task.clear_instance_cache()
    config = luigi.configuration.get_config()
    for option, value in {"device": "cpu", "precision": "float32", "threads": "3", "batch_size": "8"}.items():
        config.set("compute", option, value)
    try:
        assert stage(rerun=True).path == base
    finally:
        for option in ("device", "precision", "threads", "batch_size"):
            config.remove_option("compute", option)


@pytest.mark.parametrize("stage", STAGES)
def test_each_stage_says_what_it_is_and_explains_its_flags(stage):
    assert len(inspect.getdoc(stage).splitlines()[0]) > 20
    for name, flag in flags_of(stage):
        assert flag.description and len(flag.description) > 10, name


def test_what_tells_progress_says_what_it_counts():
    def tells(stage):
        ours = [cls for cls in stage.__mro__ if cls.__module__.startswith("tasks.stages.")]
        return any("self.progress" in inspect.getsource(cls) for cls in ours)

    telling = [stage for stage in STAGES if tells(stage)]
    assert {pipeline.TrainModel, pipeline.ExtractFeatures, pipeline.PredictAnswers} <= {*telling}
    assert {stage for stage in telling if stage.unit not in ("questions", "pictures", "bytes")} == set()
    assert pipeline.TrainModel.unit == "questions" and pipeline.DownloadImages.unit == "bytes"


def test_every_flag_of_the_table_is_used_and_listed():
    table = vars(flags) | vars(comparison_flags)
    known = {name.lower() for name, value in table.items() if isinstance(value, Flag)}
    used = {name for stage in STAGES for name, _ in flags_of(stage)} - {"rerun"}
    assert used == known


@pytest.mark.parametrize("name", [*(stage.__name__ for stage in STAGES), "RunAll"])
def test_help_of_every_stage(shell, name):
    output = shell("luigi", name, "--help")
    for flag, _ in getattr(pipeline, name).get_params():
        assert f"--{flag.replace('_', '-')}" in output


def test_the_graph_hands_every_flag_down(artifacts):
    root = pipeline.RunAll(epochs=4, answers=77, backbone="resnet50", weights="random:1", seed=5)
    for stage in walk(root):
        for name, value in {
            "epochs": 4,
            "answers": 77,
            "backbone": "resnet50",
            "weights": "random:1",
            "seed": 5,
        }.items():
            assert getattr(stage, name, value) == value
    assert {stage.layer for stage in walk(root) if hasattr(stage, "layer")} == {"pooled"}


def test_a_dataset_sets_defaults_that_flags_override(artifacts):
    assert pipeline.RunAll().weights == "random:0"
    assert pipeline.RunAll(weights="random:3").weights == "random:3"
    assert pipeline.RunAll(dataset="vqa-v1").weights == "pretrained"


def test_language_only_needs_no_pictures(artifacts):
    names = {type(stage).__name__ for stage in walk(pipeline.TrainModel(model="language-only"))}
    assert "ExtractFeatures" not in names and "DownloadImages" not in names


def test_trainval_needs_both_image_sets(artifacts):
    root = pipeline.RunAll(dataset="vqa-v1", train_split="trainval", eval_split="test")
    sets = {stage.image_set for stage in walk(root) if isinstance(stage, pipeline.ExtractFeatures)}
    assert sets == {"train2014", "val2014", "test2015"}
    assert not any(isinstance(stage, pipeline.Report) for stage in walk(root))


WEIGHED = [stage for stage in STAGES if "weights" in dict(stage.get_params())]


@pytest.mark.parametrize("stage", WEIGHED)
def test_a_weights_file_counts_by_its_content_however_its_path_is_spelt(
    artifacts, tmp_path, monkeypatch, stage
):
    monkeypatch.chdir(tmp_path)
    first, second = tmp_path / "a.pth", tmp_path / "b.pth"
    for file in (first, second):
        file.write_bytes(b"PK\x03\x041")
    spelt = ("a.pth", "./a.pth", str(first), "b.pth", f"../{tmp_path.name}/b.pth")
    paths = {stage(weights=text).path for text in spelt}
    second.write_bytes(b"PK\x03\x042")
    os.utime(second, ns=(1, 1))
    luigi.Task.clear_instance_cache()
    assert len(paths) == 1 and stage(weights="b.pth").path not in paths
    assert stage(weights="random:07").path == stage(weights="random:7").path != stage(weights="random:8").path
    with pytest.raises(UsageError, match=r"--weights .*gone\.pth"):
        stage(weights="gone.pth")


@pytest.mark.parametrize("stage", [stage for stage in WEIGHED if "model" in dict(stage.get_params())])
@pytest.mark.parametrize("model", names.CLASSIFIERS)
def test_a_flag_that_a_model_ignores_moves_nothing_and_any_other_does(artifacts, model, stage):
    if stage is pipeline.ExchangePictures and not names.sees_pictures(model):
        with pytest.raises(UsageError, match="sees no pictures, so there are none to exchange"):
            stage(model=model)
        return
    base = stage(model=model)
    others = OTHER | ({"layer": "conv5_3"} if base.layer == "pool5" else {})
    others |= {name: value for name, value in STILL_OTHER.items() if getattr(base, name) == OTHER[name]}
    for name, value in others.items():
        if name in dict(pipeline.TrainModel.get_params()) and name not in ("dataset", "train_split", "model"):
            assert (stage(model=model, **{name: value}).path == base.path) == (
                name in names.ignored_flags(model)
            ), name


def test_baselines_of_other_backbones_are_one(artifacts):
    roots = [
        pipeline.EvaluateModel(baseline="language-only", backbone=name) for name in ("vgg16", "resnet50")
    ]
    assert (
        len({root.upstream["language-only"].path for root in roots}) == 1 and roots[0].path != roots[1].path
    )


def test_experiment_knows_exactly_the_flags_that_stages_have(shell):
    shell.configure("[experiment]\nsize = tiny\nsplit = val\n")
    assert "make-sample  tiny" in shell("pipeline", "plan", "MakeSample")
    for flag in ("base_split", "sample_size", "rerun"):
        shell.configure(f"[experiment]\n{flag} = 1\n")
        output = shell("pipeline", "plan", "MakeSample", code=1)
        assert f"unknown setting '{flag}' in [experiment]" in output and "Traceback" not in output
