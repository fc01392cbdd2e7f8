"""Networks that turn pictures into features: weights and transform together, cut off after the wanted layer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType

import torch
from torch import nn

from data.base.errors import ModelError
from models.backbones import torchvision_networks
from models.backbones.frames import Frame
from models.backbones.names import check_backbone, check_weights, find_layer, is_timm, settled_size
from models.devices import exact


@dataclass(frozen=True)
class Backbone:
    """A network in evaluation mode on its device, with the transform that its weights ask for.

    Called with uint8 pixels (B, 3, size, size), it returns float32 features (B, *shape) on its device. `layers` has the
    shape of each layer's features.
    """

    name: str
    layers: dict[str, tuple[int, ...]]
    frame: Frame
    device: torch.device
    precision: str
    transform: str
    module: nn.Module
    scale: torch.Tensor
    shift: torch.Tensor

    @property
    def size(self) -> int:
        """Rows and columns of pixels that it is shown."""
        return self.frame.size

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one picture's features: a layer's own; of several all their values in one row, layer after layer."""
        shapes = list(self.layers.values())
        return shapes[0] if len(shapes) == 1 else (sum(map(math.prod, shapes)),)

    @torch.inference_mode()
    def __call__(self, pixels: torch.Tensor) -> torch.Tensor:
        # Normalising here and not while decoding sends a quarter of the bytes to a GPU.
        normal = pixels.to(self.device, torch.float32, non_blocking=True) * self.scale + self.shift
        normal = normal.to(getattr(torch, self.precision), memory_format=torch.channels_last)
        with exact():
            features = [layer.float() for layer in self.module(normal)]
        return features[0] if len(features) == 1 else torch.cat([layer.flatten(1) for layer in features], 1)


def load_backbone(
    name: str,
    layers: str | Sequence[str],
    weights: str | Path,
    device: torch.device | str = "cpu",
    precision: str = "float32",
    size: int | None = None,
) -> Backbone:
    """Build backbone `name` up to a layer, or up to the last of several, none named twice.

    size: of the pictures that it is shown, None for its own.

    `weights` is random:SEED (torch.manual_seed(SEED), then the library's constructor without weights) or a
    .pth or .safetensors file; for a network's own weights give the path of the downloaded file.
    Raises ModelError for an unknown name or layer, a size that the network can't take, and for weights that the layers
    need and that have other shapes, are missing, or not finite.
    """
    device, weights = torch.device(device), str(weights)
    check_weights(weights)
    if weights == "pretrained":
        raise ModelError("weights: give the path of the downloaded file, not 'pretrained'.")
    library, layers = _library(name), [layers] if isinstance(layers, str) else layers
    shapes = {layer: stored_shape(name, layer, size) for layer in layers}
    module = library.network(name, layers, weights, size)
    view = library.view(name).at(size)
    mean, std = torch.tensor(view.mean), torch.tensor(view.std)
    return Backbone(
        name=name,
        layers=shapes,
        frame=view.frame,
        device=device,
        precision=precision,
        transform=str(view),
        module=library.ready(module, device, getattr(torch, precision)),
        scale=(1 / (255 * std)).view(1, 3, 1, 1).to(device),
        shift=(-mean / std).view(1, 3, 1, 1).to(device),
    )


@cache
def stored_shape(name: str, layer: str, size: int | None = None) -> tuple[int, ...]:
    """Shape of one picture's features; size: the picture's, None for the network's own.

    ModelError with the nearest names for an unknown backbone or layer, and for a size that the network can't take.
    """
    known, size = find_layer(name, layer), settled_size(name, size)
    if known and size is None:
        return known.shape
    library = _library(name)
    own = library.view(name).frame.size
    if size in (None, own):
        return _shape(library.empty(name, [layer], None), own)
    try:
        return _shape(library.empty(name, [layer], size), size)
    except (AssertionError, RuntimeError, ValueError, TypeError) as error:  # what networks raise for it
        raise ModelError(
            f"image size: {name} can't take pictures of {size} x {size}; its own are {own} x {own}."
        ) from error


def describe_transform(name: str, size: int | None = None) -> str:
    """How a picture is prepared for the network, in words: an attribute of every feature file."""
    return str(_library(name).view(name).at(size))


def _library(name: str) -> ModuleType:
    """The file that builds this network, with four functions: view, empty, network and ready.

    view: how it is shown a picture. empty: the network up to some layers on torch's meta device, which takes no time.
    network: the same with weights. ready: as fast as it goes on a device. What they build returns a list, the features
    of each layer as they are stored: (B, channels), or (B, rows, columns, channels), so that what belongs to a place
    lies together.
    """
    check_backbone(name)
    if not is_timm(name):
        return torchvision_networks
    from models.backbones import timm_networks

    return timm_networks


def _shape(module: nn.Module, size: int) -> tuple[int, ...]:
    """Shape of one picture's features of the first layer, found without storage or arithmetic."""
    with torch.inference_mode():
        features = module(torch.empty(1, 3, size, size, device="meta"))
    return tuple(features[0].shape[1:])
