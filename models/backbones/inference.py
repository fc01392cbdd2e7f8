"""Make a network cheaper to run without changing what it computes: fewer passes over the activations."""

from __future__ import annotations

from typing import Any

import torch
from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def fuse(module: nn.Module, device: torch.device, dtype: torch.dtype) -> nn.Module:
    """`module` (a traced network in evaluation mode) on `device` in `dtype`, for channels_last pictures.

    A batch normalisation is folded into the convolution before it, and on a CPU a ReLU becomes part of its
    convolution, and a GELU of its linear layer, so that each activation is written once. Outputs differ from the
    original's by rounding only.
    """
    assert isinstance(module.graph, fx.Graph)
    traced = fx.GraphModule(module, module.graph)
    _fold_batch_norms(traced)
    traced.to(device=device, dtype=dtype).to(memory_format=torch.channels_last)
    if device.type == "cpu" and _onednn_convolves(dtype):
        _join_relus(traced)
    if packs_linears(device, dtype):
        _pack_linears(traced)
    traced.graph.lint()
    traced.recompile()
    return traced.eval().requires_grad_(False)


def _onednn_convolves(dtype: torch.dtype) -> bool:
    """Not bfloat16 where the processor has no AVX-512: there torch's own convolution, which is slow, must do."""
    if not hasattr(torch.ops.mkldnn, "_convolution_pointwise"):
        return False
    return dtype != torch.bfloat16 or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def packs_linears(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether PackedLinear is used: in bfloat16, where a layer's weights are otherwise reordered for each batch."""
    return device.type == "cpu" and dtype == torch.bfloat16 and _onednn_convolves(dtype)


class PackedLinear(nn.Module):
    """A linear layer whose weights lie in the blocks that oneDNN multiplies, with the GELU that may follow.

    The bias is added and the GELU applied while a result is still in a register. gelu: its `approximate`, "" for no
    GELU. Of ViT-B/16's time and ConvNeXt's, this saves a seventh.
    """

    def __init__(self, linear: nn.Linear, gelu: str = "") -> None:
        super().__init__()
        self.packed = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach())
        self.bias, self.gelu = linear.bias, gelu

    @property
    def weight(self) -> torch.Tensor:
        """The plain weights, for the networks that multiply by them on their own."""
        return self.packed.to_dense()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        name = "gelu" if self.gelu else "none"
        return torch.ops.mkldnn._linear_pointwise(x, self.packed, self.bias, name, [], self.gelu)


class ConvReLU(nn.Module):
    """A convolution whose ReLU oneDNN applies while the result is still in a register.

    This saves reading and writing VGG-16's 54 MB of float32 activations a picture once more.
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.conv = conv

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        c = self.conv
        return torch.ops.mkldnn._convolution_pointwise(
            x, c.weight, c.bias, c.padding, c.stride, c.dilation, c.groups, "relu", [], ""
        )


def _fold_batch_norms(traced: fx.GraphModule) -> None:
    for node in list(traced.graph.nodes):
        conv = _convolution_before(traced, node)
        if conv is not None and isinstance(_module(traced, node), nn.BatchNorm2d):
            folded = fuse_conv_bn_eval(_module(traced, conv), _module(traced, node))
            _replace(traced, conv, node, folded)


def _join_relus(traced: fx.GraphModule) -> None:
    for node in list(traced.graph.nodes):
        conv = _convolution_before(traced, node)
        if conv is not None and _is_relu(traced, node):
            _replace(traced, conv, node, ConvReLU(_module(traced, conv)))


def _pack_linears(traced: fx.GraphModule) -> None:
    for node in list(traced.graph.nodes):
        linear = _module(traced, node)
        if type(linear) is not nn.Linear:
            continue
        after = next(iter(node.users)) if len(node.users) == 1 else None
        gelu = _module(traced, after) if after else None
        if after and type(gelu) is nn.GELU:
            _replace(traced, node, after, PackedLinear(linear, gelu.approximate))
        else:
            _put(traced, node, PackedLinear(linear))


def _is_relu(traced: fx.GraphModule, node: fx.Node) -> bool:
    functions = (torch.relu, torch.relu_, nn.functional.relu)
    return isinstance(_module(traced, node), nn.ReLU) or (
        node.op == "call_function" and node.target in functions
    )


def _module(traced: fx.GraphModule, node: fx.Node) -> Any:
    """The module that a node calls, or None."""
    return traced.get_submodule(str(node.target)) if node.op == "call_module" else None


def _convolution_before(traced: fx.GraphModule, node: fx.Node) -> fx.Node | None:
    """The node of the plain convolution that feeds `node` and nothing else."""
    before = node.args[0] if node.args else None
    if not isinstance(before, fx.Node) or len(before.users) != 1:
        return None
    conv = _module(traced, before)
    plain = type(conv) is nn.Conv2d and conv.padding_mode == "zeros" and not isinstance(conv.padding, str)
    return before if plain else None


def _put(traced: fx.GraphModule, node: fx.Node, module: nn.Module) -> None:
    """Let `node` call another module."""
    parent, _, name = str(node.target).rpartition(".")
    setattr(traced.get_submodule(parent), name, module)


def _replace(traced: fx.GraphModule, before: fx.Node, after: fx.Node, joined: nn.Module) -> None:
    """Let `joined` stand for `before` followed by `after`."""
    _put(traced, before, joined)
    after.replace_all_uses_with(before)
    traced.graph.erase_node(after)
