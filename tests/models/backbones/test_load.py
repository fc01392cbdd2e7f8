"""The table of backbones is true, and a cut network computes what torchvision's own would."""

from __future__ import annotations

import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import Tensor, nn

from data.base.errors import ModelError
from data.download.local_copies import check_weights_file
from models.backbones.load import _shape, describe_transform, load_backbone, stored_shape
from models.backbones.names import (
    BACKBONES,
    BICUBIC,
    SMALLEST,
    TORCHVISION,
    check_backbone,
    check_weights,
    default_layer,
    find_layer,
    interpolation,
    settled_size,
)
from models.backbones.torchvision_networks import empty, view

MEAN, STD = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])

# One row a layer: what is stored for a picture, and the parameters that run up to there.
ROWS = {
    ("vgg16", "fc7"): ((4096,), 134_260_544),
    ("vgg16", "fc6"): ((4096,), 117_479_232),
    ("vgg16", "conv5_3"): ((14, 14, 512), 14_714_688),
    ("vgg16", "pool5"): ((7, 7, 512), 14_714_688),
    ("vgg19", "fc7"): ((4096,), 139_570_240),
    ("vgg19", "fc6"): ((4096,), 122_788_928),
    ("vgg19", "conv5_4"): ((14, 14, 512), 20_024_384),
    ("vgg19", "pool5"): ((7, 7, 512), 20_024_384),
    ("resnet152", "pooled"): ((2048,), 58_143_808),
    ("resnet152", "grid"): ((7, 7, 2048), 58_143_808),
    ("resnet50", "pooled"): ((2048,), 23_508_032),
    ("resnet50", "grid"): ((7, 7, 2048), 23_508_032),
    ("resnext101_32x8d", "pooled"): ((2048,), 86_742_336),
    ("resnext101_32x8d", "grid"): ((7, 7, 2048), 86_742_336),
    ("convnext_base", "pooled"): ((1024,), 87_566_464),
    ("convnext_base", "grid"): ((7, 7, 1024), 87_564_416),
    ("resnext101_64x4d", "pooled"): ((2048,), 81_406_272),
    ("resnext101_64x4d", "grid"): ((7, 7, 2048), 81_406_272),
    ("convnext_large", "pooled"): ((1536,), 196_230_336),
    ("convnext_large", "grid"): ((7, 7, 1536), 196_227_264),
    ("efficientnet_v2_l", "pooled"): ((1280,), 117_234_272),
    ("efficientnet_v2_l", "grid"): ((15, 15, 1280), 117_234_272),
    ("regnet_y_16gf", "pooled"): ((3024,), 80_565_140),
    ("regnet_y_16gf", "grid"): ((12, 12, 3024), 80_565_140),
    ("swin_v2_b", "pooled"): ((1024,), 86_905_848),
    ("swin_v2_b", "grid"): ((8, 8, 1024), 86_905_848),
    ("vit_b_16", "pooled"): ((768,), 85_798_656),
    ("vit_b_16", "grid"): ((14, 14, 768), 85_798_656),
    ("vit_l_16", "pooled"): ((1024,), 303_301_632),
    ("vit_l_16", "grid"): ((14, 14, 1024), 303_301_632),
}


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def pixels(pictures: int = 2) -> Tensor:
    generator = torch.Generator().manual_seed(7)
    return torch.randint(0, 256, (pictures, 3, 224, 224), dtype=torch.uint8, generator=generator)


def normalised(images: Tensor) -> Tensor:
    """As torchvision's presets do it."""
    return ((images / 255).permute(0, 2, 3, 1) - MEAN).div(STD).permute(0, 3, 1, 2)


def assert_same(actual: Tensor, expected: Tensor) -> None:
    assert actual.shape == expected.shape
    assert (actual - expected).abs().max() <= 1e-4 * expected.abs().max()
    assert nn.functional.cosine_similarity(actual.flatten(1), expected.flatten(1)).min() >= 0.99999


def test_every_layer_of_the_table_has_a_row_here() -> None:
    table = {(name, layer): entry for name, b in BACKBONES.items() for layer, entry in b.layers.items()}
    assert {key: (entry.shape, entry.parameters) for key, entry in table.items()} == ROWS


@pytest.mark.parametrize(("name", "layer"), ROWS)
def test_shapes_and_parameters_are_those_of_torchvision(name: str, layer: str) -> None:
    known = find_layer(name, layer)
    assert known is not None
    network, size = empty(name, [layer], None), BACKBONES[name].size
    assert _shape(network, size) == known.shape
    *places, channels = known.shape
    if BACKBONES[name].other_sizes:
        assert _shape(network, 2 * size) == (*(2 * length for length in places), channels)
        assert _shape(network, SMALLEST)[-1] == channels
    assert sum(parameter.numel() for parameter in network.parameters()) == known.parameters


@torch.inference_mode()
@pytest.mark.parametrize(("size", "shape"), [(448, (14, 14, 2048)), (300, (10, 10, 2048))])
def test_a_grid_of_another_size_is_the_networks_own(size: int, shape: tuple[int, ...]) -> None:
    backbone = load_backbone("resnet50", "grid", "random:3", size=size)
    images = torch.randint(0, 256, (1, 3, size, size), dtype=torch.uint8)
    torch.manual_seed(3)
    network = torchvision.models.resnet50(weights=None).eval()
    assert_same(backbone(images), resnet_grid(network, normalised(images)).permute(0, 2, 3, 1))
    assert (backbone.size, backbone.shape) == (size, shape)
    assert stored_shape("resnet50", "grid", size) == shape
    assert backbone.transform == describe_transform("resnet50").replace("224x224", f"{size}x{size}")


def test_size_and_interpolation_are_those_of_the_weights() -> None:
    for name in TORCHVISION:
        own = view(name).frame
        assert own.interpolation == interpolation(name)
        assert name not in BACKBONES or own.size == BACKBONES[name].size
    assert TORCHVISION - set(BACKBONES) >= BICUBIC


def test_a_networks_own_size_is_no_other_size() -> None:
    assert settled_size("vgg16", None) is settled_size("vgg16", 224) is settled_size("swin_v2_b", 256) is None
    assert stored_shape("vit_b_16", "encoder.ln", 224) == stored_shape("vit_b_16", "encoder.ln")


@pytest.mark.parametrize(
    ("name", "layer", "size"), [("vit_b_16", "encoder.ln", 448), ("vgg11", "features", 16)]
)
def test_a_size_that_a_network_cannot_take_is_refused(name: str, layer: str, size: int) -> None:
    with pytest.raises(
        ModelError, match=rf"{name} can't take pictures of {size} x {size}; its own are 224 x 224"
    ):
        stored_shape(name, layer, size)


def test_a_picture_too_small_for_the_table_is_refused() -> None:
    with pytest.raises(ModelError, match="vgg16 takes pictures of 32 x 32 and more, not 31 x 31"):
        stored_shape("vgg16", "pool5", 31)


def test_names_are_all_of_torchvision() -> None:
    assert set(torchvision.models.list_models(module=torchvision.models)) == TORCHVISION
    assert set(BACKBONES) <= TORCHVISION


@pytest.fixture(scope="module")
def vgg16() -> nn.Module:
    torch.manual_seed(0)
    return torchvision.models.vgg16(weights=None).eval()


@torch.inference_mode()
def test_vgg16_fc7_equals_a_plain_forward_pass(vgg16: nn.Module) -> None:
    images = pixels()
    expected = vgg16.classifier[:5](torch.flatten(vgg16.avgpool(vgg16.features(normalised(images))), 1))
    assert_same(load_backbone("vgg16", "fc7", "random:0")(images), expected)


@torch.inference_mode()
def test_vgg16_bfloat16_keeps_the_direction(vgg16: nn.Module) -> None:
    images = pixels(1)
    expected = vgg16.classifier[:5](torch.flatten(vgg16.avgpool(vgg16.features(normalised(images))), 1))
    features = load_backbone("vgg16", "fc7", "random:0", precision="bfloat16")(images)
    assert features.dtype == torch.float32
    assert nn.functional.cosine_similarity(features, expected).min() >= 0.999


def resnet_grid(net: nn.Module, x: Tensor) -> Tensor:
    x = net.maxpool(net.relu(net.bn1(net.conv1(x))))
    return net.layer4(net.layer3(net.layer2(net.layer1(x))))


@pytest.mark.parametrize(
    ("name", "layers"),
    [
        ("resnet18", ["layer3.1.bn2", "layer3.1.add", "layer4.1.relu_1", "layer4", "flatten"]),
        ("alexnet", ["features.10", "features.11", "classifier.1", "classifier.2"]),
        ("mobilenet_v3_small", ["classifier.0", "features.5", "features.5.add"]),
    ],
)  # many ReLUs work in place
def test_of_several_layers_each_is_what_it_is_alone(name: str, layers: list[str]) -> None:
    """Bit for bit, one layer's values after the other's."""
    images = pixels()[:, :, :64, :64]
    joined = load_backbone(name, layers, "random:3", size=64)
    alone = [load_backbone(name, layer, "random:3", size=64) for layer in layers]
    assert list(joined.layers.values()) == [backbone.shape for backbone in alone]
    expected = torch.cat([backbone(images).flatten(1) for backbone in alone], 1)
    assert torch.equal(joined(images), expected) and joined.shape == tuple(expected.shape[1:])


def test_after_a_layer_that_is_no_longer_fused_later_ones_differ_by_rounding() -> None:
    images = pixels()[:, :, :64, :64]
    joined = load_backbone("resnet18", ["layer3.1.conv2", "flatten"], "random:3", size=64)
    first, last = joined(images).tensor_split([16 * 256], 1)
    assert torch.equal(
        first, load_backbone("resnet18", "layer3.1.conv2", "random:3", size=64)(images).flatten(1)
    )
    assert_same(last, load_backbone("resnet18", "flatten", "random:3", size=64)(images))


def test_two_layers_of_one_node_are_both_there() -> None:
    """A ViT's class token and its places; a missing one of several is named."""
    backbone = load_backbone("vit_b_32", ["encoder.ln", "encoder"], "random:3")
    first, second = backbone(pixels(1)).chunk(2, 1)
    assert torch.equal(first, second) and backbone.layers == {"encoder.ln": (50, 768), "encoder": (50, 768)}
    with pytest.raises(ModelError, match=r"resnet18 has no 'flaten'\. Did you mean 'flatten'"):
        load_backbone("resnet18", ["layer4", "flaten"], "random:3")


def test_weights_from_files_give_the_same_features(tmp_path: Path) -> None:
    torch.manual_seed(5)
    state = torchvision.models.resnet18(weights=None).state_dict()
    torch.save(state, tmp_path / "weights.pth")
    torch.save(
        state, tmp_path / "old.pth", _use_new_zipfile_serialization=False
    )  # as VGG's published files are
    save_file(state, tmp_path / "weights.safetensors")
    expected = load_backbone("resnet18", "flatten", "random:5")(pixels(1))
    for path in (tmp_path / "weights.pth", tmp_path / "old.pth", tmp_path / "weights.safetensors"):
        check_weights_file(path)
        assert torch.equal(load_backbone("resnet18", "flatten", path)(pixels(1)), expected)


def prefixed(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {prefix + name: tensor for name, tensor in state.items()}


HEAD = {"fc.weight": torch.ones(10, 512), "fc.bias": torch.ones(10)}
AS_PEOPLE_HAVE_THEM: dict[str, tuple[Callable[[dict[str, Tensor]], Any], str]] = {
    "parallel": (lambda state: prefixed(state, "module."), "module. precedes each name"),
    "compiled": (
        lambda state: prefixed(state, "_orig_mod.module."),
        "_orig_mod.module. precedes each name",
    ),
    "nested": (
        lambda state: {"epoch": 3, "state_dict": state, "optimizer": {"m": {0: 1}}},
        "its state_dict is used",
    ),
    "twice": (
        lambda state: {"model": {"state_dict": prefixed(state, "a.")}},
        "its model.state_dict is used; a. ",
    ),
    "with an average": (lambda state: {"ema": prefixed(HEAD, "x"), "model": state}, "its model is used"),
    "among numbers": (lambda state: {"arch": "resnet18", "epoch": 3, **state}, ""),
    "other classes": (lambda state: state | HEAD, "not needed: fc.weight is 10 x 512, expected 1000 x 512"),
    "no classifier": (
        lambda state: without(state, "fc."),
        "not needed: fc.weight is missing; fc.bias is missing",
    ),
    "one more head": (
        lambda state: state | {"fc2.weight": torch.ones(2)},
        "1 others are left aside, such as fc2",
    ),
    "no counters": (lambda state: without(state, "num_batches_tracked"), ""),
    "as published": (lambda state: state, ""),
}


def without(state: dict[str, Tensor], part: str) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in state.items() if part not in name}


@pytest.mark.parametrize("form", AS_PEOPLE_HAVE_THEM)
@pytest.mark.parametrize("ending", ["pth", "safetensors"])
def test_weights_as_people_have_them(
    tmp_path: Path, form: str, ending: str, caplog: pytest.LogCaptureFixture
) -> None:
    torch.manual_seed(5)
    make, said = AS_PEOPLE_HAVE_THEM[form]
    path, content = (
        tmp_path / f"weights.{ending}",
        make(torchvision.models.resnet18(weights=None).state_dict()),
    )
    if ending == "pth":
        torch.save(content, path)
    elif all(isinstance(tensor, Tensor) for tensor in content.values()):
        save_file(content, path)
    else:
        pytest.skip("safetensors nests nothing")
    expected = load_backbone("resnet18", "flatten", "random:5")(pixels(1))
    assert torch.equal(load_backbone("resnet18", "flatten", path)(pixels(1)), expected)
    assert (said in caplog.text) if said else not caplog.records


def test_weights_that_do_not_fit_are_answered_with_three_names(tmp_path: Path) -> None:
    state, path = torchvision.models.resnet18(weights=None).state_dict(), tmp_path / "weights.pth"
    other = dict(state)
    for name in ("bn1.bias", "layer1.0.conv1.weight", "layer1.0.bn1.weight", "layer4.1.bn2.bias"):
        other[name] = torch.ones(3)
    three = (
        r"not the weights of resnet18 up to flatten: bn1.bias is 3, expected 64; layer1.0.conv1.weight is 3, expected "
        r"64 x 64 x 3 x 3; layer1.0.bn1.weight is 3, expected 64 and 1 more. It has 122 tensors, such as module.conv1"
    )
    cases = [
        (prefixed(other, "module."), "resnet18", "flatten", three),
        (
            state | HEAD,
            "resnet18",
            "fc",
            "fc.weight is 10 x 512, expected 1000 x 512",
        ),  # the layer that is wanted
        (state, "vgg16", "pool5", "weights of vgg16 up to pool5: features.0.weight is missing"),
        ({"a\x1b[31m\n": torch.ones(1)}, "resnet18", "flatten", r"1 tensors, such as a\\u001b\[31m\\n"),
    ]
    for content, name, layer, said in cases:
        torch.save(content, path)
        with pytest.raises(ModelError, match=said):
            load_backbone(name, layer, path)


def test_weights_that_fit_twice_are_not_guessed(tmp_path: Path) -> None:
    state = torchvision.models.resnet18(weights=None).state_dict()
    torch.save(prefixed(state, "encoder_q.") | prefixed(state, "encoder_k."), tmp_path / "moco.pth")
    with pytest.raises(
        ModelError, match=r"more than once, below encoder_[qk]\. and encoder_[qk]\.; save those"
    ):
        load_backbone("resnet18", "flatten", tmp_path / "moco.pth")


@pytest.mark.parametrize("form", ["zip", "old", "safetensors", "many files"])
def test_a_million_names_are_refused_before_they_are_read(
    tmp_path: Path, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / ("weights.safetensors" if form == "safetensors" else "weights.pth")
    if form == "safetensors":
        path.write_bytes((100 << 20).to_bytes(8, "little") + b"{")
        os.truncate(path, 101 << 20)
    elif form == "many files":
        with zipfile.ZipFile(path, "w") as file:
            for number in range(60_000):
                file.writestr(f"weights/data/{number}", b"")
    else:
        tensor = torch.ones(1)  # all share one storage, so that the file is small
        many = {f"{'layer' * 30}.{number}.weight": tensor for number in range(110_000)}
        torch.save(many, path, _use_new_zipfile_serialization=form == "zip")
    monkeypatch.setattr(torch, "load", None)
    with pytest.raises(ModelError, match="holds more than 50,000 tensors"):
        load_backbone("resnet18", "flatten", path)


class Bomb:
    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return (_explode, ("boom",))


def _explode(text: str) -> None:
    Path(text).write_text("a pickle was executed")


@pytest.mark.parametrize("damage", ["pickle", "text", "shape", "missing", "nan", "absent", "list"])
def test_files_that_are_not_the_weights_are_refused(
    tmp_path: Path, damage: str, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "weights.pth"
    state = torchvision.models.resnet18(weights=None).state_dict()
    if damage == "pickle":
        path.write_bytes(pickle.dumps(Bomb()))
    elif damage == "text":
        path.write_text("<html>404</html>")
    elif damage == "list":
        torch.save([1, 2, 3], path)
    elif damage != "absent":
        state["conv1.weight"] = torch.zeros(1) if damage == "shape" else state["conv1.weight"] / 0
        if damage == "missing":
            del state["conv1.weight"]
        torch.save(state, path)
    with pytest.raises(ModelError, match="weights") as caught:
        load_backbone("resnet18", "flatten", path)
    assert len(str(caught.value).splitlines()) == 1 and not recwarn.list
    assert not (tmp_path / "boom").exists()


def test_mistyped_names_are_answered_with_the_nearest_and_all() -> None:
    with pytest.raises(ModelError, match=r"'vgg16'.*resnet152.*python -m pipeline backbones"):
        check_backbone("vvg16")
    with pytest.raises(
        ModelError, match=r"Did you mean 'fc7'\? All of them: python -m pipeline backbones vgg16"
    ):
        load_backbone("vgg16", "fc77", "random:0")
    with pytest.raises(ModelError, match="Did you mean 'flatten'"):
        stored_shape("resnet18", "flaten")
    with pytest.raises(ModelError, match="no default layer"):
        default_layer("resnet18")
    assert default_layer("vgg16") == "fc7"


@pytest.mark.parametrize("weights", ["", "imagenet", "random", "random:", "random:x", "model.pickle"])
def test_weights_flag_is_checked(weights: str) -> None:
    with pytest.raises(ModelError, match="pretrained"):
        check_weights(weights)


def test_the_transform_is_told_in_words() -> None:
    text = describe_transform("vgg16")
    assert "224x224" in text and "0.485" in text and "0.225" in text
