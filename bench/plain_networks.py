"""The networks and transforms that extraction is compared with: torchvision's and timm's own, as they come."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from models.backbones.names import TIMM, find_layer, is_timm

if TYPE_CHECKING:
    import torch
    from torch import nn

    from models.backbones.frames import View


def plain_network(name: str = "vgg16", layer: str = "fc7") -> nn.Module:
    """The library's network as it comes, up to `layer`; grids are (B, rows, columns, channels), as they are stored."""
    import torch
    from torch import Tensor, nn

    class Stored(nn.Module):
        def __init__(self, module: nn.Module, read: Callable[[Any], Tensor]) -> None:
            super().__init__()
            self.module, self.read = module, read

        def forward(self, pictures: Tensor) -> Tensor:
            return self.read(self.module(pictures))

    torch.manual_seed(0)
    return Stored(*(_timms if is_timm(name) else _torchvisions)(name, layer)).eval()


def _torchvisions(name: str, layer: str) -> tuple[nn.Module, Callable[[Any], torch.Tensor]]:
    from torchvision.models import get_model
    from torchvision.models.feature_extraction import create_feature_extractor

    known = find_layer(name, layer)
    kind = known.read if known else ""

    def read(features: dict[str, torch.Tensor]) -> torch.Tensor:
        values = features["features"]
        if kind:
            return values[:, 0] if kind == "class" else _grid(values[:, 1:])
        return values.permute(0, 2, 3, 1) if values.ndim == 4 else values

    whole = get_model(name, weights=None).eval()
    return create_feature_extractor(whole, {known.node if known else layer: "features"}), read


def _timms(name: str, layer: str) -> tuple[nn.Module, Callable[[Any], torch.Tensor]]:
    import timm

    network: Any = timm.create_model(name.removeprefix(TIMM), num_classes=0).eval()
    if layer == "pooled":
        return network, lambda pooled: pooled
    network.forward = network.forward_features
    prefix, rows_first = getattr(network, "num_prefix_tokens", 0), network.output_fmt == "NHWC"

    def read(features: torch.Tensor) -> torch.Tensor:
        if features.ndim == 3:
            return _grid(features[:, prefix:])
        return features if rows_first else features.permute(0, 2, 3, 1)

    return network, read


def _grid(tokens: torch.Tensor) -> torch.Tensor:
    side = round(tokens.shape[1] ** 0.5)
    return tokens.reshape(len(tokens), side, side, -1)


def view(name: str) -> View:
    """The size, interpolation, mean and deviation that a network's weights were trained with."""
    if is_timm(name):
        from models.backbones import timm_networks

        return timm_networks.view(name)
    from models.backbones import torchvision_networks

    return torchvision_networks.view(name)


def plain_transform(name: str) -> Any:
    """Pillow's picture to normal float32: timm's own transform, or torchvision's Compose."""
    if is_timm(name):
        from timm import get_pretrained_cfg
        from timm.data import create_transform, resolve_data_config

        stated: Any = get_pretrained_cfg(name.removeprefix(TIMM))
        return create_transform(**resolve_data_config(pretrained_cfg=stated.to_dict()))
    from torchvision import transforms

    own = view(name)
    mode = transforms.InterpolationMode(own.frame.interpolation)
    return transforms.Compose(
        [
            transforms.Resize((own.frame.size, own.frame.size), mode),
            transforms.ToTensor(),
            transforms.Normalize(own.mean, own.std),
        ]
    )


def normal(name: str, pixels: torch.Tensor) -> torch.Tensor:
    """Decoded pixels (B, 3, size, size) uint8 as the network wants them, float32."""
    import torch

    own = view(name)
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (own.mean, own.std))
    return (pixels / 255 - mean) / std
