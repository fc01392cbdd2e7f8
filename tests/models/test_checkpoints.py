"""A model comes back from disk as it was, and only with what it was trained with."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from later_records import LaterArchitecture, LaterOptions
from safetensors.torch import load_file, save_file

from data.base.errors import ModelError
from models import checkpoints
from models.checkpoints import load_model, save_model
from models.classifiers.architecture import Architecture
from models.classifiers.build import build
from models.training.inputs import TrainingOptions

SMALL = Architecture("deeper-lstm", 30, 8, 7, (12,), hidden=10, joint=16)
BOUND = {"vocabulary": "aaa", "answers": "bbb", "features": "vgg16 fc7 ccc"}


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    vectors = np.random.default_rng(0).normal(size=(30, 8)).astype(np.float32)
    save_model(tmp_path, build(SMALL, vectors, seed=1), SMALL, TrainingOptions(), BOUND)
    return tmp_path


def test_it_comes_back_whole(saved: Path):
    vectors = np.random.default_rng(0).normal(size=(30, 8)).astype(np.float32)
    module, config = load_model(saved, BOUND)
    assert all(
        torch.equal(a, b)
        for a, b in zip(
            module.state_dict().values(), build(SMALL, vectors, 1).state_dict().values(), strict=True
        )
    )
    assert not module.training
    assert config["bound"] == BOUND
    assert config["options"]["target"] == "consensus"


def test_the_same_model_gives_the_same_files(saved: Path, tmp_path: Path):
    module, _ = load_model(saved)
    (tmp_path / "again").mkdir()
    save_model(tmp_path / "again", module, SMALL, TrainingOptions(), BOUND)
    for name in ("model.safetensors", "config.json"):
        assert (saved / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


def test_a_model_from_before_a_field_existed_has_its_neutral_value(saved: Path, monkeypatch):
    before = load_model(saved)[0].state_dict()
    monkeypatch.setattr(checkpoints, "Architecture", LaterArchitecture)
    monkeypatch.setattr(checkpoints, "TrainingOptions", LaterOptions)
    built = []
    monkeypatch.setattr(checkpoints, "build", lambda architecture: built.append(architecture) or build(SMALL))
    module, config = load_model(saved)
    assert built[0].glimpses == 1 and config["options"]["momentum"] == 0.0
    assert all(torch.equal(weight, before[name]) for name, weight in module.state_dict().items())


def test_what_differs_is_named(saved: Path):
    with pytest.raises(ModelError) as caught:
        load_model(saved, BOUND | {"answers": "xxx", "features": "vgg19 fc7 ddd"})
    assert "answers (trained with bbb, given xxx)" in str(caught.value)
    assert "features (trained with vgg16 fc7 ccc, given vgg19 fc7 ddd)" in str(caught.value)
    assert "vocabulary" not in str(caught.value)


def resave(folder: Path, change) -> None:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("fusion.bias"), r"fusion\.bias: missing"),
        (lambda t: t.update(extra=torch.zeros(2)), r"extra: \(2,\), expected none"),
        (lambda t: t.update({"fusion.bias": torch.zeros(3)}), r"fusion\.bias: \(3,\), expected \(16,\)"),
        (lambda t: t["fusion.bias"].fill_(float("nan")), "not finite float32"),
        (lambda t: t.update({"fusion.bias": torch.zeros(16, dtype=torch.float16)}), "not finite float32"),
    ],
)
def test_weights_that_do_not_fit_are_refused(saved: Path, change, message: str):
    resave(saved, change)
    with pytest.raises(ModelError, match=message):
        load_model(saved)


@pytest.mark.parametrize(
    "content",
    [b"", b"not a tensor file", struct.pack("<Q", 2**62) + b"{}", struct.pack("<Q", 2) + b"{]"],
    ids=["empty", "text", "huge header", "broken header"],
)
def test_damaged_weights_are_refused(saved: Path, content: bytes):
    (saved / "model.safetensors").write_bytes(content)
    with pytest.raises(ModelError, match="cannot be read"):
        load_model(saved)


def test_missing_files_are_refused(tmp_path: Path):
    with pytest.raises(ModelError, match=r"config\.json cannot be read"):
        load_model(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"model": "transformer"},
        {"hidden": 10**18},
        {"hidden": "10"},
        {"hidden": -1},
        {"features": "many"},
        {"features": None},
        {"features": [7, 7, 12]},
        {"unknown": 1},
    ],
    ids=str,
)
def test_configs_that_are_no_model_are_refused_before_memory_is_taken(saved: Path, change: dict[str, object]):
    path = saved / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config["architecture"] |= change
    path.write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(ModelError):
        load_model(saved)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"architecture": 1, "bound": {}}', "\x00"])
def test_broken_configs_are_refused(saved: Path, text: str):
    (saved / "config.json").write_text(text, encoding="utf-8")
    with pytest.raises(ModelError, match=r"config\.json"):
        load_model(saved)
