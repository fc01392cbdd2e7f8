"""A network of each of torchvision's families gives what torchvision's own forward pass gives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor, nn

from models.backbones.load import load_backbone, stored_shape
from models.backbones.torchvision_networks import view

Take = Callable[[Any], nn.Module]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def pictures(size: int) -> Tensor:
    """(3, 3, size, size) uint8, smooth, and each with another colour and pattern."""
    noise = torch.rand((3, 3, 9, 9), generator=torch.Generator().manual_seed(4))
    smooth = nn.functional.interpolate(noise, size=(size, size), mode="bicubic").clamp(0, 1)
    return (smooth * 255).to(torch.uint8)


def assert_same(features: Tensor, expected: Tensor) -> None:
    """Close; and still where what all pictures have in common is taken off, which random weights make large."""
    assert features.shape == expected.shape
    assert (features - expected).abs().max() <= 1e-4 * expected.abs().max()
    for least, part in ((0.9999, lambda x: x), (0.95, lambda x: x - x.mean(0))):
        cosine = nn.functional.cosine_similarity(part(features).flatten(1), part(expected).flatten(1), eps=0)
        assert cosine.min() >= least


def given_to(network: nn.Module, module: nn.Module, images: Tensor) -> Tensor:
    """What a module is given in a forward pass of the whole network."""
    seen: list[Tensor] = []
    hook = module.register_forward_pre_hook(lambda _, given: seen.append(given[0].clone()))
    network(images)
    hook.remove()
    return seen[0]


def classifier(network: Any) -> nn.Module:
    return network.classifier


def first(network: Any) -> nn.Module:
    return network.classifier[0]


def last(network: Any) -> nn.Module:
    return network.classifier[-1]


def fc(network: Any) -> nn.Module:
    return network.fc


# Network, layer, pixels a side, and the module of torchvision's that is given this layer.
FAMILIES: list[tuple[str, str, int, Take]] = [
    ("alexnet", "classifier.5", 96, last),
    ("densenet121", "flatten", 64, classifier),
    ("efficientnet_b0", "flatten", 64, first),
    ("googlenet", "flatten", 96, lambda net: net.dropout),
    ("mnasnet0_5", "mean", 64, first),
    ("mobilenet_v2", "flatten", 64, first),
    ("mobilenet_v3_small", "flatten", 64, first),
    ("regnet_x_400mf", "flatten", 64, fc),
    ("regnet_y_400mf", "trunk_output", 64, lambda net: net.avgpool),
    ("resnet18", "flatten", 96, fc),
    ("resnet50", "grid", 96, lambda net: net.avgpool),
    ("shufflenet_v2_x0_5", "mean", 64, fc),
    ("squeezenet1_1", "features", 64, first),
    ("swin_t", "flatten", 96, lambda net: net.head),
]
SLOW: list[tuple[str, str, int | None, Take]] = [
    ("convnext_base", "pooled", None, last),
    ("convnext_tiny", "features", 96, lambda net: net.avgpool),
    ("efficientnet_v2_s", "features", 96, lambda net: net.avgpool),
    ("inception_v3", "flatten", None, fc),
    ("maxvit_t", "classifier.4", None, last),
    ("resnet50", "pooled", None, fc),
    ("resnext50_32x4d", "flatten", None, fc),
    ("swin_v2_b", "pooled", None, lambda net: net.head),
    ("vgg11_bn", "classifier.4", None, last),
    ("wide_resnet50_2", "flatten", None, fc),
]


def check(name: str, layer: str, size: int | None, take: Take) -> None:
    backbone = load_backbone(name, layer, "random:3", size=size)
    torch.manual_seed(3)
    network = torchvision.models.get_model(name, weights=None).eval()
    own = view(name)
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (own.mean, own.std))
    images = pictures(size or own.frame.size)
    with torch.inference_mode():
        expected = given_to(network, take(network), (images / 255 - mean) / std)
        expected = expected.permute(0, 2, 3, 1) if expected.ndim == 4 else expected
        assert_same(backbone(images), expected)
    assert backbone.shape == tuple(expected.shape[1:]) == stored_shape(name, layer, size)


@pytest.mark.filterwarnings("ignore:The default weight initialization:FutureWarning")
@pytest.mark.parametrize(
    ("name", "layer", "size", "take"), FAMILIES, ids=[f"{c[0]}-{c[1]}" for c in FAMILIES]
)
def test_a_network_of_each_family_is_torchvisions_own(name: str, layer: str, size: int, take: Take) -> None:
    check(name, layer, size, take)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The default weight initialization:FutureWarning")
@pytest.mark.parametrize(("name", "layer", "size", "take"), SLOW, ids=[f"{c[0]}-{c[1]}" for c in SLOW])
def test_larger_networks_are_torchvisions_own(name: str, layer: str, size: int | None, take: Take) -> None:
    check(name, layer, size, take)


@torch.inference_mode()
def test_a_vit_is_torchvisions_own_by_its_class_token_and_its_places() -> None:
    backbone = load_backbone("vit_b_16", ["pooled", "grid"], "random:3")
    torch.manual_seed(3)
    network = torchvision.models.vit_b_16(weights=None).eval()
    images = pictures(224)
    mean, std = (
        torch.tensor(values).view(1, 3, 1, 1) for values in (view("vit_b_16").mean, view("vit_b_16").std)
    )
    places = network.conv_proj((images / 255 - mean) / std).flatten(2).transpose(1, 2)
    tokens = network.encoder(torch.cat([network.class_token.expand(3, -1, -1), places], 1))
    pooled, grid = backbone(images).tensor_split([768], 1)
    assert backbone.layers == {"pooled": (768,), "grid": (14, 14, 768)}
    assert_same(pooled, tokens[:, 0])
    assert_same(grid.unflatten(1, (196, 768)), tokens[:, 1:])
