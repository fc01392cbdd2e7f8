"""The table of backbones is true, and a cut network computes what torchvision's own would."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import Tensor, nn

from data.base.errors import ModelError
from data.download.local_copies import check_weights_file
from models.backbones.load import _cut, _empty, _shape, describe_transform, load_backbone, stored_shape
from models.backbones.names import (
    BACKBONES,
    TORCHVISION,
    check_backbone,
    check_weights,
    default_layer,
    find_layer,
)

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


def assert_same(found: Tensor, expected: Tensor) -> None:
    assert found.shape == expected.shape
    assert (found - expected).abs().max() <= 1e-4 * expected.abs().max()
    assert nn.functional.cosine_similarity(found.flatten(1), expected.flatten(1)).min() >= 0.99999


def test_every_layer_of_the_table_has_a_row_here() -> None:
    table = {(name, layer): entry for name, b in BACKBONES.items() for layer, entry in b.layers.items()}
    assert {key: (entry.shape, entry.parameters) for key, entry in table.items()} == ROWS


@pytest.mark.parametrize(("name", "layer"), ROWS)
def test_shapes_and_parameters_are_those_of_torchvision(name: str, layer: str) -> None:
    known = find_layer(name, layer)
    assert known is not None
    network = _cut(_empty(name), name, known.node)
    assert _shape(network, 224) == known.shape
    assert sum(parameter.numel() for parameter in network.parameters()) == known.parameters


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
    found = load_backbone("vgg16", "fc7", "random:0", precision="bfloat16")(images)
    assert found.dtype == torch.float32
    assert nn.functional.cosine_similarity(found, expected).min() >= 0.999


def resnet_grid(net: nn.Module, x: Tensor) -> Tensor:
    x = net.maxpool(net.relu(net.bn1(net.conv1(x))))
    return net.layer4(net.layer3(net.layer2(net.layer1(x))))


CASES: list[tuple[str, str, Callable[[nn.Module, Tensor], Tensor]]] = [
    ("resnet50", "pooled", lambda net, x: resnet_grid(net, x).mean((2, 3))),
    ("resnet50", "grid", lambda net, x: resnet_grid(net, x).permute(0, 2, 3, 1)),
    ("mobilenet_v3_small", "flatten", lambda net, x: net.avgpool(net.features(x)).flatten(1)),
    ("swin_t", "flatten", lambda net, x: net.avgpool(net.permute(net.norm(net.features(x)))).flatten(1)),
    ("alexnet", "classifier.5", lambda net, x: net.classifier[:6](net.avgpool(net.features(x)).flatten(1))),
]


@torch.inference_mode()
@pytest.mark.parametrize(("name", "layer", "plain"), CASES, ids=[f"{c[0]}-{c[1]}" for c in CASES])
def test_other_networks_equal_their_plain_forward_pass(
    name: str, layer: str, plain: Callable[[nn.Module, Tensor], Tensor]
) -> None:
    backbone = load_backbone(name, layer, "random:3")
    torch.manual_seed(3)
    network = torchvision.models.get_model(name, weights=None).eval()
    images = pixels(1).repeat(1, 1, 2, 2)[:, :, : backbone.size, : backbone.size]
    expected = plain(network, normalised(images))
    assert_same(backbone(images), expected)
    assert backbone.shape == tuple(expected.shape[1:]) == stored_shape(name, layer)


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
    with pytest.raises(ModelError, match=r"'vgg16'.*resnet152"):
        check_backbone("vvg16")
    with pytest.raises(ModelError, match=r"Did you mean 'fc7'.*features\.29"):
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
