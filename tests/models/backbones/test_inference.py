"""What makes networks faster changes nothing but rounding."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from models.backbones.inference import PackedLinear, packs_linears
from models.backbones.load import load_backbone

CPU = torch.device("cpu")
NATIVE = pytest.mark.skipif(
    not packs_linears(CPU, torch.bfloat16), reason="this processor has no AVX-512 for oneDNN's bfloat16"
)


def test_linears_are_packed_in_bfloat16_on_a_cpu_alone() -> None:
    assert not packs_linears(CPU, torch.float32) and not packs_linears(torch.device("cuda"), torch.bfloat16)


@NATIVE
@torch.inference_mode()
@pytest.mark.parametrize("gelu", ["", "none", "tanh"])
@pytest.mark.parametrize("bias", [True, False])
def test_a_packed_linear_is_the_linear_with_its_gelu(gelu: str, bias: bool) -> None:
    torch.manual_seed(1)
    linear = nn.Linear(40, 24, bias=bias, dtype=torch.bfloat16)
    packed, x = PackedLinear(linear, gelu), torch.randn(3, 7, 40, dtype=torch.bfloat16)
    assert torch.equal(packed.weight, linear.weight)
    assert gelu or torch.equal(packed(x), linear(x))
    exact = linear.float()(x.float())
    exact = nn.functional.gelu(exact, approximate=gelu) if gelu else exact
    assert torch.allclose(packed(x).float(), exact, rtol=2**-8, atol=1e-3)
    assert torch.equal(packed(x.transpose(0, 1)), packed(x).transpose(0, 1))


@NATIVE
def test_the_linear_layers_of_a_network_are_packed_with_their_gelus() -> None:
    network = load_backbone("convnext_tiny", "classifier.1", "random:0", precision="bfloat16").module
    packed = [module for module in network.modules() if isinstance(module, PackedLinear)]
    left = [module for module in network.modules() if isinstance(module, nn.Linear | nn.GELU)]
    assert (len(packed), sum(bool(module.gelu) for module in packed)) == (36, 18)
    assert [type(module) for module in left] == [nn.GELU] * 18  # no node calls these
