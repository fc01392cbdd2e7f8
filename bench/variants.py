"""VGG-16's network alone, as this project runs it and in the ways that were tried instead.

    python -m bench.variants                    # 32 pictures a turn, five turns, float32: some ten minutes
    python -m bench.variants --turns 3 --only "batches of 32"
    python -m bench.variants --device cuda --count 1024

Each way takes turns with ours, in its own process, because some settings are read once. It reports the rate's median
and the ratio to ours in the same turn, median and range. Weights are random:0. A way that this torch or processor
can't do says so and is left out; on a GPU those for a CPU are not tried.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext

from models.openmp import spin_briefly

spin_briefly()  # before torch, which reads how long its threads spin when it is loaded

import torch
from torch import nn

from bench.extraction_ways import finish
from bench.plain_networks import plain_network
from bench.turns import add_device
from models.backbones.inference import ConvReLU
from models.backbones.load import load_backbone
from models.devices import cpu_threads, pick_device, pick_precision, processor_name, use_threads
from models.memory import memory_kept

Network = Callable[[torch.Tensor], torch.Tensor]
BATCH = {"cpu": 16, "cuda": 128}


def ours(device: str, precision: str) -> Network:
    """channels_last, ReLUs inside their convolutions, freed memory kept."""
    return load_backbone("vgg16", "fc7", "random:0", device, precision)


def without_fusion(device: str, precision: str) -> Network:
    return _eager(device, precision, torch.channels_last)


def default_memory_format(device: str, precision: str) -> Network:
    return _eager(device, precision, torch.contiguous_format)


def _eager(device: str, precision: str, memory_format: torch.memory_format) -> Network:
    module = plain_network().to(device, getattr(torch, precision)).to(memory_format=memory_format)  # type: ignore[call-overload]
    return lambda pixels: module(_normal(pixels, precision).contiguous(memory_format=memory_format))


def packed_weights(device: str, precision: str) -> Network:
    """Weights reordered once into the blocks that oneDNN's convolutions and products want."""
    backbone = load_backbone("vgg16", "fc7", "random:0", device, precision)
    size = 224
    for module in backbone.module.modules():
        if isinstance(module, nn.MaxPool2d):
            size //= 2
        if isinstance(module, ConvReLU):
            conv = module.conv
            shape = [BATCH["cpu"], conv.in_channels, size, size]
            packed = torch.ops.mkldnn._reorder_convolution_weight(
                conv.weight.data, conv.padding, conv.stride, conv.dilation, conv.groups, shape
            )
            conv.weight = nn.Parameter(packed, requires_grad=False)
    return backbone


def compiled(device: str, precision: str) -> Network:
    """torch.compile with freezing: inductor packs weights and fuses by itself."""
    import torch._inductor.config as inductor

    inductor.freezing = True
    module = torch.compile(_eager_module(device, precision))
    return lambda pixels: module(_normal(pixels, precision).contiguous(memory_format=torch.channels_last))


def jit_frozen(device: str, precision: str) -> Network:
    """TorchScript, frozen and optimised for inference: oneDNN's own memory format between its convolutions."""
    example = _normal(torch.zeros(BATCH[device], 3, 224, 224, dtype=torch.uint8, device=device), precision)
    module = torch.jit.optimize_for_inference(
        torch.jit.trace(_eager_module(device, precision), example).eval()
    )
    return lambda pixels: module(_normal(pixels, precision))


def _eager_module(device: str, precision: str) -> nn.Module:
    module: nn.Module = (
        plain_network().to(device, getattr(torch, precision)).to(memory_format=torch.channels_last)
    )  # type: ignore[call-overload]
    return module.requires_grad_(False)


def _normal(pixels: torch.Tensor, precision: str) -> torch.Tensor:
    return (pixels.float() / 255 - 0.45).div(0.225).to(getattr(torch, precision))


def flushed(device: str, precision: str) -> Network:
    torch.set_flush_denormal(True)
    return ours(device, precision)


# Each way: how the network is built, pictures a batch (0: as many as suit the device), and environment variables that
# are read at the start.
WAYS: dict[str, tuple[Callable[[str, str], Network], int, dict[str, str]]] = {
    "ours": (ours, 0, {}),
    "without operator fusion": (without_fusion, 0, {}),
    "default memory format, no fusion": (default_memory_format, 0, {}),
    "convolution weights packed once": (packed_weights, 0, {}),
    "torch.compile with freezing": (compiled, 0, {}),
    "TorchScript, frozen": (jit_frozen, 0, {}),
    "batches of 4": (ours, 4, {}),
    "batches of 8": (ours, 8, {}),
    "batches of 32": (ours, 32, {}),
    "threads pinned to cores": (ours, 0, {"OMP_PROC_BIND": "close", "OMP_PLACES": "cores"}),
    # A millisecond at most: a process that spins for ever would slow ours in the turns between.
    "threads that spin while they wait": (ours, 0, {"GOMP_SPINCOUNT": "300000"}),
    "oneDNN limited to AVX2": (ours, 0, {"ONEDNN_MAX_CPU_ISA": "AVX2"}),
    "denormals flushed to zero": (flushed, 0, {}),
    "huge pages for memory": (ours, 0, {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}),
    "freed memory given back": (ours, 0, {}),
}
CPU_ALONE = {
    "convolution weights packed once",
    "threads pinned to cores",
    "threads that spin while they wait",
    "oneDNN limited to AVX2",
    "denormals flushed to zero",
    "huge pages for memory",
    "freed memory given back",
}


def work(name: str, count: int, device: str, precision: str) -> None:
    """Measure one way each time a line comes in; the first, which warms up, is not reported."""
    build, batch, _ = WAYS[name]
    batch = batch or BATCH[device]
    use_threads(cpu_threads())
    pixels = torch.randint(
        0, 256, (count, 3, 224, 224), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    ).to(device)
    kept = memory_kept() if name != "freed memory given back" else nullcontext()
    with torch.inference_mode(), kept:
        network = build(device, precision)
        network(pixels[:batch])
        print("ready", flush=True)
        for _ in sys.stdin:
            start = time.perf_counter()
            for first in range(0, count, batch):
                network(pixels[first : first + batch])
            finish(pixels.device)
            print(count / (time.perf_counter() - start), flush=True)


def start(name: str, arguments: argparse.Namespace) -> subprocess.Popen[str] | None:
    """A process that is ready to be measured, or None, with the reason printed."""
    words = [sys.executable, "-m", "bench.variants", "--worker", name]
    words += ["--count", str(arguments.count), "--precision", arguments.precision]
    words += ["--device", arguments.device]
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        words, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=os.environ | WAYS[name][2]
    )
    assert process.stdout and process.stderr
    if process.stdout.readline() == "ready\n":
        return process
    print(f"{name}: not here: {process.stderr.read().strip().splitlines()[-1][:200]}", flush=True)
    return None


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=32, help="pictures a turn, in thirty-twos")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--precision", default="auto", choices=["auto", "float32", "bfloat16"])
    parser.add_argument("--only", nargs="*", choices=list(WAYS), metavar="WAY", help="default: all that fit")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    add_device(parser)
    arguments = parser.parse_args()
    device = pick_device(arguments.device)
    arguments.device, arguments.precision = device.type, pick_precision(device, arguments.precision)
    if arguments.worker:
        work(arguments.worker, arguments.count, arguments.device, arguments.precision)
        return
    fitting = [name for name in WAYS if device.type == "cpu" or name not in CPU_ALONE]
    own = start("ours", arguments)
    assert own is not None
    print(f"{processor_name(device)}, {cpu_threads()} threads, {arguments.precision}")
    for name in arguments.only or fitting:
        if name != "ours" and (other := start(name, arguments)):
            pairs = [(measure(own), measure(other)) for _ in range(arguments.turns)]
            other.communicate()
            report(name, pairs)
    own.communicate()


def measure(process: subprocess.Popen[str]) -> float:
    """Pictures a second of one turn."""
    assert process.stdin and process.stdout
    print(file=process.stdin, flush=True)
    return float(process.stdout.readline())


def report(name: str, pairs: list[tuple[float, float]]) -> None:
    ratios = sorted(other / own for own, other in pairs)
    rate = statistics.median(other for _, other in pairs)
    ratio = f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
    print(f"{name:36} {rate:6.2f} pictures/s  {ratio} of ours", flush=True)


if __name__ == "__main__":
    from bench.one_line import in_one_line

    in_one_line(main)
