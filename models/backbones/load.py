"""Networks that turn pictures into features: weights and transform as one, cut off after the layer wanted."""

from __future__ import annotations

import re
import warnings
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torchvision import models as torchvision_models
from torchvision.models.feature_extraction import create_feature_extractor, get_graph_node_names

from data.base.errors import ModelError
from models.backbones.inference import fuse
from models.backbones.names import BACKBONES, check_backbone, check_weights, find_layer, nearest

_DENSENET = re.compile(r"(.*denselayer\d+\.(?:norm|conv))\.(\d.*)")

# Constructor arguments that torchvision sets when it loads these models' ImageNet weights and not otherwise.
_AS_TRAINED: dict[str, dict[str, Any]] = {
    "googlenet": {"transform_input": True, "init_weights": False},
    "inception_v3": {"transform_input": True, "init_weights": False},
}


@dataclass(frozen=True)
class Backbone:
    """A network in evaluation mode on its device, with the transform that its weights ask for.

    Called with uint8 pixels (B, 3, size, size), it returns float32 features (B, *shape) on its device.
    """

    name: str
    layer: str
    shape: tuple[int, ...]
    size: int
    device: torch.device
    precision: str
    transform: str
    module: nn.Module
    scale: torch.Tensor
    shift: torch.Tensor

    @torch.inference_mode()
    def __call__(self, pixels: torch.Tensor) -> torch.Tensor:
        # Normalising here and not while decoding sends a quarter of the bytes to a GPU.
        normal = pixels.to(self.device, torch.float32, non_blocking=True) * self.scale + self.shift
        normal = normal.to(getattr(torch, self.precision), memory_format=torch.channels_last)
        return _stored(self.module(normal)["features"]).float()


def load_backbone(
    name: str,
    layer: str,
    weights: str | Path,
    device: torch.device | str = "cpu",
    precision: str = "float32",
) -> Backbone:
    """Build backbone `name` up to `layer`.

    `weights` is random:SEED (torch.manual_seed(SEED), then torchvision's constructor with weights=None) or a
    .pth or .safetensors file; for ImageNet's own weights give the path of the downloaded file.
    Raises ModelError for an unknown name or layer, and for weights of other shapes, missing, or not finite.
    """
    device = torch.device(device)
    shape = stored_shape(name, layer)
    module = _cut(_weighted(name, str(weights)), name, _node(name, layer))
    mean, std = _normalisation(name)
    return Backbone(
        name=name,
        layer=layer,
        shape=shape,
        size=_size(name),
        device=device,
        precision=precision,
        transform=describe_transform(name),
        module=fuse(module, device, getattr(torch, precision)),
        scale=(1 / (255 * std)).view(1, 3, 1, 1).to(device),
        shift=(-mean / std).view(1, 3, 1, 1).to(device),
    )


def stored_shape(name: str, layer: str) -> tuple[int, ...]:
    """Shape of one picture's features; ModelError with the valid names for an unknown backbone or layer."""
    known = find_layer(name, layer)
    if known:
        return known.shape
    return _shape(_cut(_empty(name), name, _node(name, layer)), _size(name))


def describe_transform(name: str) -> str:
    """The road from a picture to the network in words: an attribute of every feature file."""
    mean, std = (", ".join(f"{value:g}" for value in values) for values in _normalisation(name))
    size = _size(name)
    return (
        f"upright RGB (transparency over white), the whole picture resized to {size}x{size} "
        f"(antialiased bilinear on uint8), /255, minus mean ({mean}), divided by std ({std})"
    )


def _weights_enum(name: str) -> Any:
    """The member of torchvision's weights enum: the table's, or torchvision's default."""
    check_backbone(name)
    enum = torchvision_models.get_model_weights(name)
    return enum[BACKBONES[name].weights] if name in BACKBONES else enum.DEFAULT  # type: ignore[attr-defined]


def _size(name: str) -> int:
    return int(_weights_enum(name).transforms().crop_size[0])


def _normalisation(name: str) -> tuple[torch.Tensor, torch.Tensor]:
    transform = _weights_enum(name).transforms()
    return torch.tensor(transform.mean), torch.tensor(transform.std)


def _weighted(name: str, weights: str) -> nn.Module:
    """The whole network with its weights, in evaluation mode."""
    check_weights(weights)
    if weights == "pretrained":
        raise ModelError("weights: give the path of the downloaded file, not 'pretrained'.")
    kind, _, seed = weights.partition(":")
    if kind == "random" and seed.isdigit():
        torch.manual_seed(int(seed))
        with warnings.catch_warnings():  # googlenet and inception announce a change of their initialisation
            warnings.simplefilter("ignore", FutureWarning)
            return torchvision_models.get_model(name, weights=None).eval()
    return _filled(_empty(name), name, Path(weights)).eval()


def _empty(name: str) -> nn.Module:
    """The network without storage: no time goes into an initialisation that is overwritten."""
    with torch.device("meta"):
        return torchvision_models.get_model(name, weights=None, **_AS_TRAINED.get(name, {})).eval()


def _filled(model: nn.Module, name: str, path: Path) -> nn.Module:
    """`model` with the tensors of a file, each of the right name and shape, all finite."""
    state = read_state(path)
    if name.startswith(
        "densenet"
    ):  # its published file has the names of an older torchvision: norm.1 for norm1
        state = {_DENSENET.sub(r"\1\2", key): value for key, value in state.items()}
    try:
        model.load_state_dict(state, strict=True, assign=True)
    except RuntimeError as error:
        details = " ".join(str(error).split("\n\t")[1:4]) or str(error)
        raise ModelError(f"{path}: these are not the weights of {name}. {details}") from error
    for key, value in model.state_dict().items():
        if value.is_floating_point() and not value.isfinite().all():
            raise ModelError(
                f"{path}: tensor {key} holds values that are not finite. Use another file of weights."
            )
    return model


def read_state(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a .pth or .safetensors file; code in it never runs. ModelError for anything else."""
    from safetensors.torch import load_file

    if not path.is_file():
        raise ModelError(f"weights: no file {path}.")
    try:
        if path.suffix == ".safetensors":
            state = load_file(path)
        else:
            # Files as before torch 1.6, such as VGG's published ones, are no zips, which can't be mapped.
            mapped = zipfile.is_zipfile(path)
            with warnings.catch_warnings():  # of what is refused in one line
                warnings.simplefilter("ignore", UserWarning)
                state = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except Exception as error:  # whatever a damaged or hostile file makes the readers raise
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ModelError(
            f"{path}: not a file of tensors ({reason}). Expected a state dict in .pth (read with "
            "weights_only=True) or .safetensors."
        ) from error
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise ModelError(f"{path}: expected a state dict, that is names with tensors.")
    return state


def _node(name: str, layer: str) -> str:
    """torchvision's name of a layer."""
    known = find_layer(name, layer)
    return known.node if known else layer


def _cut(model: nn.Module, name: str, node: str) -> nn.Module:
    """The part of `model` that runs up to `node`: what comes after is neither run nor kept."""
    nodes = get_graph_node_names(model)[1][1:]  # the first is the picture itself
    if node not in nodes and not any(other.startswith(f"{node}.") for other in nodes):
        own = list(BACKBONES[name].layers) if name in BACKBONES else []
        raise ModelError(
            f"layer: {name} has no '{node}'. {nearest(node, own + nodes)} Valid: {', '.join(own + nodes)}."
        )
    return create_feature_extractor(model, {node: "features"}).eval().requires_grad_(False)


def _shape(module: nn.Module, size: int) -> tuple[int, ...]:
    """Shape of one picture's features, found without storage or arithmetic."""
    with torch.inference_mode():
        found = module(torch.empty(1, 3, size, size, device="meta"))["features"]
    if not isinstance(found, torch.Tensor) or found.ndim < 2:
        raise ModelError("layer: this one does not yield one tensor a picture. Take a later one.")
    return tuple(_stored(found).shape[1:])


def _stored(features: torch.Tensor) -> torch.Tensor:
    """Grids (B, channels, rows, columns) become (B, rows, columns, channels): a region lies together."""
    return features.permute(0, 2, 3, 1) if features.ndim == 4 else features
