"""timm's networks give what timm's own forward passes give, by its own transform, at other sizes, and from files."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from data.base.errors import ModelError
from models.backbones.decoding import decode
from models.backbones.load import describe_transform, load_backbone, stored_shape

timm = pytest.importorskip("timm", reason="timm is not installed: pip install -e '.[timm]'")

pytestmark = pytest.mark.slow  # an extra, which the default tests do without

# A small network of each kind: convolutions, a class token, none, two of them, rows before channels.
SMALL = {
    "timm:resnet18": (224, (512,), (7, 7, 512)),
    "timm:vit_tiny_patch16_224": (224, (192,), (14, 14, 192)),
    "timm:vit_small_patch14_reg4_dinov2": (518, (384,), (37, 37, 384)),
    "timm:deit_tiny_distilled_patch16_224": (224, (192,), (14, 14, 192)),
    "timm:swin_tiny_patch4_window7_224": (224, (768,), (7, 7, 768)),
    "timm:xcit_nano_12_p16_224": (224, (128,), (14, 14, 128)),
}


def picture(size: int = 224) -> Tensor:
    """(2, 3, size, size) uint8, smooth, and different from one picture to the next."""
    noise = torch.rand((2, 3, 9, 9), generator=torch.Generator().manual_seed(4))
    smooth = torch.nn.functional.interpolate(noise, size=(size, size), mode="bicubic").clamp(0, 1)
    return (smooth * 255).to(torch.uint8)


def plain(name: str, images: Tensor, **options: Any) -> tuple[Tensor, Tensor]:
    """`pooled` and `grid` by timm alone: forward, and forward_intermediates, which puts places into rows itself."""
    torch.manual_seed(3)
    network = timm.create_model(name.removeprefix("timm:"), num_classes=0, **options).eval()
    config = timm.data.resolve_model_data_config(network)
    mean, std = (torch.tensor(config[key]).view(1, 3, 1, 1) for key in ("mean", "std"))
    with torch.inference_mode():
        normal = (images / 255 - mean) / std
        last = network.forward_intermediates(normal, indices=1, norm=True, intermediates_only=True)[0]
        return network(normal), last.permute(0, 2, 3, 1)


def assert_same(features: Tensor, expected: Tensor) -> None:
    """Close; and still where what all pictures have in common is taken off, which random weights make large."""
    assert features.shape == expected.shape
    for part in (lambda x: x, lambda x: x - x.mean(0)):
        cosine = torch.nn.functional.cosine_similarity(part(features).flatten(1), part(expected).flatten(1))
        assert cosine.min() > 0.9999


@pytest.mark.parametrize(
    "name", ["timm:resnet18", "timm:vit_tiny_patch16_224", "timm:swin_tiny_patch4_window7_224"]
)
def test_features_are_timms_own(name: str) -> None:
    pooled, grid = plain(name, picture())
    assert_same(load_backbone(name, "pooled", "random:3")(picture()), pooled)
    if "swin" in name or "resnet" in name:  # whose last places forward_features norms, or has no norm for
        grid = timm_features(name, picture())
    assert_same(load_backbone(name, "grid", "random:3")(picture()), grid)


@pytest.mark.parametrize(
    "name", ["timm:resnet18", "timm:vit_tiny_patch16_224", "timm:swin_tiny_patch4_window7_224"]
)
def test_pooled_and_grid_in_one_pass_are_those_of_each_alone(name: str) -> None:
    backbone = load_backbone(name, ["grid", "pooled"], "random:3")
    counts: list[int] = []
    first = next(module for module in backbone.module.modules() if isinstance(module, torch.nn.Conv2d))
    first.register_forward_hook(lambda *_: counts.append(1))
    alone = [load_backbone(name, layer, "random:3")(picture()).flatten(1) for layer in ("grid", "pooled")]
    assert torch.equal(backbone(picture()), torch.cat(alone, 1)) and len(counts) == 1


@pytest.mark.parametrize(
    "name", ["timm:vit_tiny_patch16_224", "timm:swin_tiny_patch4_window7_224", "timm:swinv2_cr_tiny_ns_224"]
)
def test_bfloat16_keeps_the_direction(name: str) -> None:
    """With linear layers packed, of which swinv2 multiplies by some on its own."""
    expected, _ = plain(name, picture())
    features = load_backbone(name, "pooled", "random:3", precision="bfloat16")(picture())
    assert torch.nn.functional.cosine_similarity(features, expected).min() >= 0.999


def timm_features(name: str, images: Tensor) -> Tensor:
    torch.manual_seed(3)
    network = timm.create_model(name.removeprefix("timm:"), num_classes=0).eval()
    mean, std = (torch.tensor(network.pretrained_cfg[key]).view(1, 3, 1, 1) for key in ("mean", "std"))
    with torch.inference_mode():
        features = network.forward_features((images / 255 - mean) / std)
    return features if "swin" in name else features.permute(0, 2, 3, 1)


@pytest.mark.parametrize("name", SMALL)
def test_shapes_at_its_own_size_and_at_another(name: str) -> None:
    size, pooled, grid = SMALL[name]
    assert (stored_shape(name, "pooled"), stored_shape(name, "grid")) == (pooled, grid)
    assert f"resized to {size}x{size} " in describe_transform(name)
    stride = size // grid[0]
    assert stored_shape(name, "grid", 8 * stride * 2) == (16, 16, grid[-1]) or "swin" in name
    if "swin" in name:
        assert stored_shape(name, "grid", 448) == (14, 14, 768)


def test_another_size_is_timms_own_with_its_position_codes_interpolated() -> None:
    name = "timm:vit_tiny_patch16_224"
    torch.manual_seed(3)
    network = timm.create_model("vit_tiny_patch16_224", num_classes=0)
    codes = timm.layers.resample_abs_pos_embed(network.pos_embed, new_size=(20, 20), num_prefix_tokens=1)
    backbone = load_backbone(name, "grid", "random:3", size=320)
    assert torch.allclose(backbone.module.network.pos_embed, codes, atol=1e-6)
    assert backbone(picture(320)).shape == (2, 20, 20, 192) and "320x320" in backbone.transform


def test_its_transform_is_timms_own_within_one_level() -> None:
    """timm cuts margins off; of a picture resized to its own size there is nothing to cut."""
    noise = np.random.default_rng(1).integers(0, 256, (300, 300, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, "PNG")
    config = timm.data.resolve_data_config(
        pretrained_cfg=timm.get_pretrained_cfg("vit_base_patch16_clip_224.openai").to_dict()
    )
    assert (config["interpolation"], config["mean"][0]) == ("bicubic", 0.48145466)
    text = describe_transform("timm:vit_base_patch16_clip_224.openai")
    assert "antialiased bicubic" in text and "mean (0.481455, " in text and "std (0.26863, " in text
    whole = timm.data.create_transform(**{**config, "crop_pct": 1.0, "crop_mode": "squash"}, normalize=False)
    expected = whole(Image.fromarray(noise)).to(torch.int16)
    assert (decode(file.getvalue(), 224, "bicubic").to(torch.int16) - expected).abs().max() <= 1


@pytest.mark.parametrize("name", ["swin_tiny_patch4_window7_224", "eva02_tiny_patch14_224", "resnet18"])
def test_what_no_file_of_weights_holds_is_worked_out(tmp_path: Path, name: str) -> None:
    """Swin's indices and EVA's rotary codes are no part of a state dict."""
    torch.manual_seed(3)
    state = timm.create_model(name).state_dict()
    save_file({key: tensor.contiguous() for key, tensor in state.items()}, tmp_path / "model.safetensors")
    backbone = load_backbone(f"timm:{name}", "grid", tmp_path / "model.safetensors")
    network = timm.create_model(name, num_classes=0).eval()
    network.load_state_dict({key: state[key] for key in network.state_dict()})
    stated = timm.data.resolve_model_data_config(network)
    mean, std = (torch.tensor(stated[key]).view(1, 3, 1, 1) for key in ("mean", "std"))
    with torch.inference_mode():
        images = picture(backbone.size)
        expected = network.forward_features((images / 255 - mean) / std)
    if expected.ndim == 3:
        expected = expected[:, network.num_prefix_tokens :].unflatten(1, backbone.shape[:2])
    elif name == "resnet18":
        expected = expected.permute(0, 2, 3, 1)
    assert_same(backbone(images), expected)


@pytest.mark.parametrize("ending", ["safetensors", "pth"])
def test_weights_from_a_file(tmp_path: Path, ending: str) -> None:
    """As timm publishes them, with their classifier."""
    name, path = "timm:vit_tiny_patch16_224", tmp_path / f"model.{ending}"
    torch.manual_seed(9)
    network = timm.create_model("vit_tiny_patch16_224").eval()
    (save_file if ending == "safetensors" else torch.save)(network.state_dict(), path)
    network.reset_classifier(0)
    backbone = load_backbone(name, "pooled", path)
    mean = std = 0.5
    with torch.inference_mode():
        assert_same(backbone(picture()), network((picture() / 255 - mean) / std))
    assert load_backbone(name, "grid", path, size=320)(picture(320)).shape == (2, 20, 20, 192)
    with pytest.raises(
        ModelError, match=r"not the weights of timm:vit_small_patch16_224 up to grid: cls_token is"
    ):
        load_backbone("timm:vit_small_patch16_224", "grid", path)


@pytest.mark.parametrize(
    ("name", "layer", "size", "said"),
    [
        ("timm:vit_tiny_patch16_242", "grid", None, "Did you mean 'vit_tiny_patch16_224'"),
        ("timm:resnet18.bogus", "grid", None, "timm has no 'resnet18.bogus'"),
        ("timm:resnet18", "fc7", None, "has no 'fc7'; a network of timm has pooled, grid"),
        ("timm:crossvit_9_240", "grid", None, "has no grid"),
        ("timm:mixer_b16_224", "grid", 448, "can't take pictures of 448 x 448; its own are 224 x 224"),
        ("timm:vit_tiny_patch16_224", "grid", 5, "can't take pictures of 5 x 5"),
    ],
)
def test_what_timm_does_not_have_is_said_in_one_line(
    name: str, layer: str, size: int | None, said: str
) -> None:
    with pytest.raises(ModelError, match=said):
        stored_shape(name, layer, size)
