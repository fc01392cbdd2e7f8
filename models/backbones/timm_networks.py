"""timm's networks: any of them, by its own transform, as one vector or as a grid of places."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import timm
import torch
from timm.data import resolve_data_config
from timm.layers import Mlp
from timm.layers.activations import GELU, GELUTanh
from torch import nn

from data.base.errors import ModelError
from models.backbones.frames import INTERPOLATIONS, Frame, View
from models.backbones.inference import PackedLinear, packs_linears
from models.backbones.names import TIMM, TIMM_LAYERS, nearest
from models.backbones.torchvision_networks import as_grid
from models.backbones.weight_files import fill


def names() -> list[str]:
    """All that timm knows, with the tags of their weights, without `timm:`."""
    return sorted({*timm.list_models(), *timm.list_pretrained()})


def configuration(name: str) -> dict[str, Any]:
    """timm's configuration of a network: its weights' address and licence, input_size, mean, std, interpolation, ..."""
    _check(name)
    pretrained = timm.get_pretrained_cfg(name.removeprefix(TIMM))
    return pretrained.to_dict() if pretrained is not None else {}


def view(name: str) -> View:
    """As timm's own configuration has it, but for the margins: see View."""
    _check(name)
    stated = resolve_data_config(pretrained_cfg=configuration(name))
    size = int(stated["input_size"][-1])
    if stated["interpolation"] not in INTERPOLATIONS:
        raise ModelError(
            f"backbone: {name} wants pictures resized by {stated['interpolation']}, not known here"
        )
    return View(Frame(size, stated["interpolation"]), tuple(stated["mean"]), tuple(stated["std"]))


def empty(name: str, layers: Sequence[str], size: int | None) -> nn.Module:
    """The network up to some layers, without storage: see models.backbones.load."""
    with torch.device("meta"):
        return Cut(_made(name), name, layers).at(size)


def network(name: str, layers: Sequence[str], weights: str, size: int | None) -> nn.Module:
    """The network up to some layers with its weights, its position codes made for `size` by timm."""
    kind, _, seed = weights.partition(":")
    random = kind == "random" and seed.isdecimal()
    if random:
        torch.manual_seed(int(seed))
    # With storage in any case: what a network works out by itself (indices, position codes) is in no file of weights.
    cut = Cut(_made(name), name, layers)
    if not random:
        with torch.device("meta"):
            whole = timm.create_model(name.removeprefix(TIMM)).eval()
        fill(cut.network, whole, f"{name} up to {' and '.join(layers)}", Path(weights))
    return cut.at(size)


def ready(module: nn.Module, device: torch.device, dtype: torch.dtype) -> nn.Module:
    """On its device, for channels_last pictures; see PackedLinear."""
    module.to(device=device, dtype=dtype).to(memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
    if packs_linears(device, dtype):
        for part in list(module.modules()):
            _pack(part)
    return module


def _pack(part: nn.Module) -> None:
    """Pack the linear layers right below a part of a network; the first of timm's Mlp takes its GELU along."""
    gelu = _gelu(part.act) if type(part) is Mlp else ""
    for name, child in part.named_children():
        if type(child) is nn.Linear:
            setattr(part, name, PackedLinear(child, gelu if name == "fc1" else ""))
    if gelu and isinstance(part.fc1, PackedLinear):
        part.act = nn.Identity()


def _gelu(activation: Any) -> str:
    """A GELU's `approximate`; "" for what is none, or may be more than one."""
    if type(activation) is nn.GELU:
        return activation.approximate
    return {GELU: "none", GELUTanh: "tanh"}.get(type(activation), "")


class Cut(nn.Module):
    """A network without its classifier; `pooled` is (B, channels), `grid` (B, rows, columns, channels)."""

    def __init__(self, network: Any, name: str, layers: Sequence[str]) -> None:
        super().__init__()
        for layer in layers:
            if layer not in TIMM_LAYERS:
                raise ModelError(
                    f"layer: {name} has no '{layer}'; a network of timm has {', '.join(TIMM_LAYERS)}"
                )
        self.network, self.name, self.layers = network, name, list(layers)

    def at(self, size: int | None) -> Cut:
        """Ready for pictures of another size; most networks take any, those with position codes have to be told."""
        if size and hasattr(self.network, "set_input_size"):
            self.network.set_input_size((size, size))
        return self.requires_grad_(False)

    def forward(self, pictures: torch.Tensor) -> list[torch.Tensor]:
        if self.layers == ["pooled"]:
            return [self.network(pictures)]
        features = self.network.forward_features(pictures)
        found = {"grid": self._grid(features)}
        if "pooled" in self.layers:
            found["grid"] = found["grid"].clone()  # should the rest of the network work in place
            found["pooled"] = self._pooled(features, pictures)
        return [found[layer] for layer in self.layers]

    def _grid(self, features: Any) -> torch.Tensor:
        if not isinstance(features, torch.Tensor) or features.ndim not in (3, 4):
            raise ModelError(
                f"layer: {self.name} has no grid: it does not end in places. Take --layer pooled."
            )
        if features.ndim == 4:
            rows_first = getattr(self.network, "output_fmt", "NCHW") == "NHWC"
            return features if rows_first else features.permute(0, 2, 3, 1)
        tokens = features[:, getattr(self.network, "num_prefix_tokens", 0) :]
        return as_grid(tokens)

    def _pooled(self, features: torch.Tensor, pictures: torch.Tensor) -> torch.Tensor:
        """What the network makes of its last places. A few of timm's keep that step to themselves and run again."""
        head = getattr(self.network, "forward_head", None)
        pooled: torch.Tensor = head(features) if head else self.network(pictures)
        return pooled


def _made(name: str) -> nn.Module:
    """The network without its classifier, as timm initialises it."""
    _check(name)
    made: nn.Module = timm.create_model(name.removeprefix(TIMM), pretrained=False, num_classes=0).eval()
    return made


def _check(name: str) -> None:
    bare = name.removeprefix(TIMM)
    if timm.is_model(bare) and (("." not in bare) or bare in timm.list_pretrained()):
        return
    raise ModelError(
        f"backbone: timm has no '{bare}'. {nearest(bare, names())} All of them: python -m pipeline backbones 'timm:*'"
    )
