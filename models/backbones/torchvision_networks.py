"""torchvision's classification networks, cut off after nodes of their graph."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import fx, nn
from torch.overrides import TorchFunctionMode
from torchvision import models as torchvision_models
from torchvision.models.feature_extraction import create_feature_extractor, get_graph_node_names

from data.base.errors import ModelError
from models.backbones.frames import Frame, View
from models.backbones.inference import fuse
from models.backbones.names import BACKBONES, find_layer, nearest
from models.backbones.weight_files import fill

_DENSENET = re.compile(r"(.*denselayer\d+\.(?:norm|conv))\.(\d.*)")

# Constructor arguments that torchvision sets when it loads these models' ImageNet weights and not otherwise.
_AS_TRAINED: dict[str, dict[str, Any]] = {
    "googlenet": {"transform_input": True, "init_weights": False},
    "inception_v3": {"transform_input": True, "init_weights": False},
}


def view(name: str) -> View:
    """As the weights' own preset has it, but for the margins: see View."""
    preset = _weights_enum(name).transforms()
    frame = Frame(int(preset.crop_size[0]), str(preset.interpolation.value))
    return View(frame, tuple(preset.mean), tuple(preset.std))


def empty(name: str, layers: Sequence[str], size: int | None) -> nn.Module:
    """The network up to some layers, without storage: see models.backbones.load."""
    return _cut(_whole(name), name, layers)


def network(name: str, layers: Sequence[str], weights: str, size: int | None) -> nn.Module:
    """The network up to some layers with its weights: see models.backbones.load. None needs to know the size."""
    kind, _, seed = weights.partition(":")
    if kind == "random" and seed.isdecimal():
        torch.manual_seed(int(seed))
        with warnings.catch_warnings():  # googlenet and inception announce a change of their initialisation
            warnings.simplefilter("ignore", FutureWarning)
            return _cut(torchvision_models.get_model(name, weights=None).eval(), name, layers)
    whole = _whole(name)
    cut = _cut(whole, name, layers)
    fill(cut.network, whole, f"{name} up to {' and '.join(layers)}", Path(weights), _todays_name)
    return cut


def ready(module: nn.Module, device: torch.device, dtype: torch.dtype) -> nn.Module:
    """Batch norms folded, ReLUs joined, on its device: see models.backbones.inference."""
    assert isinstance(module, Cut)
    return Cut(fuse(module.network, device, dtype), module.places)


class Cut(nn.Module):
    """A network up to some of its nodes; returns the features of each of `places`, a node and how it is read.

    They are as they are stored (see models.backbones.names.Layer).
    """

    def __init__(self, network: nn.Module, places: list[tuple[str, str]]) -> None:
        super().__init__()
        self.network, self.places = network, places

    def forward(self, pictures: torch.Tensor) -> list[torch.Tensor]:
        features = self.network(pictures)
        return [_as_stored(features[node], read) for node, read in self.places]


def _as_stored(features: Any, read: str) -> torch.Tensor:
    if not isinstance(features, torch.Tensor) or features.ndim < 2:
        raise ModelError("layer: this one does not yield one tensor a picture. Take a later one.")
    if read == "class":
        return features[:, 0]
    if read == "places":
        return as_grid(features[:, 1:])
    return features.permute(0, 2, 3, 1) if features.ndim == 4 else features


def as_grid(tokens: torch.Tensor) -> torch.Tensor:
    """Tokens (B, places, channels) of a square picture, row by row, as (B, rows, columns, channels)."""
    side = math.isqrt(tokens.shape[1])
    return tokens.unflatten(1, (side, side))


def _weights_enum(name: str) -> Any:
    """The member of torchvision's weights enum: the table's, or torchvision's default."""
    enum = torchvision_models.get_model_weights(name)
    return enum[BACKBONES[name].weights] if name in BACKBONES else enum.DEFAULT  # type: ignore[attr-defined]


def _whole(name: str) -> nn.Module:
    """The network without storage: no time goes into an initialisation that is overwritten."""
    # RegNet works out its own widths with tensors, which need values.
    with _NoStorage() if name.startswith("regnet") else torch.device("meta"):
        return torchvision_models.get_model(name, weights=None, **_AS_TRAINED.get(name, {})).eval()


class _NoStorage(TorchFunctionMode):
    """What layers make their parameters with gives tensors of the meta device."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        where = {"device": "meta"} if func in (torch.empty, torch.zeros, torch.ones) else {}
        return func(*args, **{**(kwargs or {}), **where})


def _todays_name(name: str) -> str:
    """DenseNet's published files have the names of an older torchvision: norm.1 for norm1."""
    return _DENSENET.sub(r"\1\2", name)


def _cut(model: nn.Module, name: str, layers: Sequence[str]) -> Cut:
    """The part of `model` that runs up to the last of some layers: what comes after is neither run nor kept."""
    nodes = get_graph_node_names(model, suppress_diff_warning=True)[1][1:]  # the first is the picture itself
    known = [find_layer(name, layer) for layer in layers]
    inside = [entry.node if entry else layer for entry, layer in zip(known, layers, strict=True)]
    last = [_last_of(node, nodes, name) for node in inside]
    network = create_feature_extractor(
        model,
        train_return_nodes={node: node for node in inside},
        eval_return_nodes={node: node for node in last},
        suppress_diff_warning=True,
    )
    network.eval().requires_grad_(False)
    if len(layers) > 1:
        _keep_outputs(network)
    return Cut(
        network, [(node, entry.read if entry else "") for node, entry in zip(last, known, strict=True)]
    )


def _keep_outputs(network: fx.GraphModule) -> None:
    """Copy what is returned before later nodes change it in place, as many ReLUs and sums do."""
    [output] = (node for node in network.graph.nodes if node.op == "output")
    for node in list(output.all_input_nodes):
        with network.graph.inserting_after(node):
            output.replace_input_with(node, network.graph.call_function(_copy, (node,)))
    network.recompile()


def _copy(features: Any) -> Any:
    return features.clone() if isinstance(features, torch.Tensor) else features


def _last_of(node: str, nodes: list[str], name: str) -> str:
    """The node itself, or the last one inside it."""
    inside = [other for other in nodes if other == node or other.startswith(f"{node}.")]
    if inside:
        return inside[-1]
    own = list(BACKBONES[name].layers) if name in BACKBONES else []
    raise ModelError(
        f"layer: {name} has no '{node}'. {nearest(node, own + nodes)} "
        f"All of them: python -m pipeline backbones {name}"
    )


def nodes(name: str) -> list[str]:
    """The names that --layer may have beside the table's, from the picture on."""
    return list(get_graph_node_names(_whole(name), suppress_diff_warning=True)[1][1:])
