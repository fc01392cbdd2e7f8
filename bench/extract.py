"""Pictures per second from JPEG to features: this project, a plain script and, if installed, OpenVINO.

    python -m bench.extract                        # VGG-16, 64 pictures a turn, five turns: some minutes
    python -m bench.extract --device cuda --count 8192
    python -m bench.extract --pictures FOLDER_OR_ZIP --precision bfloat16
    python -m bench.extract --backbone resnet50 --layer grid --count 512    # rows of 200 kB, in two shards
    python -m bench.extract --backbone timm:vit_base_patch16_224            # any backbone, any of its layers
    python -m bench.extract --memory               # resident memory at 500 and at 5,000 pictures
    pip install openvino                           # adds OpenVINO to the comparison

Every turn measures each competitor once, in a new random order, so that none always follows the same one. The median
over the turns and its range are reported. Weights are random:0: they do not change the speed.

* plain: Pillow, torchvision's Compose or timm's transform, h5py. On a CPU eager float32 in torch's default memory
  format, batches of 32; on a GPU autocast, batches of 128 from a DataLoader with a process a
  core, which starts before the turns.
* eager: torchvision's or timm's network alone, as it comes, in float32 in torch's default memory format.
* network: this project's network alone, on pixels decoded before.
* end to end: this project's shards, from the JPEG in the zip to the rows on disk; on a GPU the start of the processes
  that decode is within each turn, so with few pictures the figure means little (bench.gpu_check leaves it out).
* openvino: the same network in OpenVINO, on the same decoded pixels, in the precision that ours has; CPU only.
"""

from __future__ import annotations

import argparse
import dataclasses
import resource
import tempfile
import time
from pathlib import Path

from models.openmp import spin_briefly

spin_briefly()  # before torch, which reads at its import how long its threads spin

import torch
from torch import nn

from bench.extraction_ways import eager, end_to_end, make_extraction, network, plain
from bench.pictures import make_zip
from bench.plain_networks import normal, plain_network, view
from bench.turns import Rates, Turn, add_device, for_seconds, in_turns, ratios, spread
from data.pictures.image_sets import Images, open_images
from models.backbones.decoding import decode
from models.backbones.load import load_backbone, stored_shape
from models.backbones.names import default_layer
from models.devices import cpu_threads, pick_device, pick_precision, use_threads
from tasks.extraction.job import Extraction
from tasks.extraction.shards import extract_shards, prepare


def openvino(job: Extraction, pixels: torch.Tensor, batch: int, precision: str) -> Turn | None:
    """The peer: the network compiled by OpenVINO for this processor; None where it is missing, or beside a GPU."""
    if job.device != "cpu":
        return None
    try:
        import openvino as ov  # type: ignore[import-not-found]
    except ImportError:
        return None
    example = torch.zeros(batch, *pixels.shape[1:])
    model = ov.convert_model(
        plain_network(job.backbone, job.layers[0]), example_input=example, input=[list(example.shape)]
    )
    hints = {
        "INFERENCE_PRECISION_HINT": {"float32": "f32", "bfloat16": "bf16"}[precision],
        "INFERENCE_NUM_THREADS": cpu_threads(),
        "NUM_STREAMS": 1,
    }
    compiled = ov.Core().compile_model(model, "CPU", hints)

    def work() -> None:
        for part in pixels.split(batch):
            compiled([normal(job.backbone, part).numpy()])

    return for_seconds(work, len(pixels), 0)


def compare(arguments: argparse.Namespace, images: Images, folder: Path) -> None:
    """Turns of every competitor, interleaved, then the medians and the ratios that matter."""
    count = min(arguments.count, len(images)) // 16 * 16  # whole batches for everybody
    images = dataclasses.replace(images, length=count)
    device = pick_device(arguments.device)
    network_of = arguments.backbone, arguments.layer
    extraction = make_extraction(images, folder, str(device), arguments.precision, *network_of)
    settings = prepare(extraction)
    print(f"{settings.processor}, {settings.threads} threads, {settings.precision}, batch {settings.batch}")
    frame = view(arguments.backbone).frame
    pixels = torch.stack([decode(images.read(number), *frame) for number in range(count)])
    turns: dict[str, Turn | None] = {
        "plain": plain(images.read, count, folder / "plain.h5", device, *network_of),
        "eager": for_seconds(eager(*network_of, pixels, device), count, 0),
        "network": for_seconds(network(extraction, pixels, settings.batch), count, 0),
        "end to end": end_to_end(extraction),
        "openvino": openvino(extraction, pixels, settings.batch, settings.precision),
    }
    running = {name: turn for name, turn in turns.items() if turn is not None}
    in_turns(running, 1)  # warms up
    report(in_turns(running, arguments.turns, tell=show))
    print(f"least cosine to eager float32: {least_cosine(extraction, pixels):.6f}")


def show(rates: Rates) -> None:
    """Print the round that has just ended."""
    print("  ".join(f"{name} {measured[-1]:.2f}" for name, measured in rates.items()), flush=True)


def report(rates: Rates) -> None:
    """Medians with their range, and ratios taken within each turn."""
    for name, measured in rates.items():
        print(f"{name:12} {spread(measured):>6} pictures/s")
    pairs = (
        ("end to end", "plain"),
        ("network", "eager"),
        ("end to end", "network"),
        ("network", "openvino"),
    )
    for over, under in pairs:
        if over in rates and under in rates:
            print(f"{over} / {under}: {spread(ratios(rates[over], rates[under]))}")


def least_cosine(job: Extraction, pixels: torch.Tensor) -> float:
    """The least cosine between our features and the plain network's on the CPU, over some of the pictures."""
    some, device = pixels[:32], pick_device(job.device)
    precision = pick_precision(device, job.precision)
    ours = load_backbone(job.backbone, job.layers, job.weights, device, precision)(some).cpu()
    with torch.no_grad():
        plainly = plain_network(job.backbone, job.layers[0])(normal(job.backbone, some))
    return float(nn.functional.cosine_similarity(plainly.flatten(1), ours.flatten(1)).min())


def memory(folder: Path, device: str) -> None:
    """Resident memory after 500 and after 5,000 pictures, through a small network so that it takes minutes."""
    images = open_images(make_zip(folder / "pictures.zip", 5000, 160, 120))
    extraction = make_extraction(images, folder, device, "float32", "squeezenet1_1", "flatten")
    settings = prepare(extraction)
    shards = range(extraction.shards())
    done = 0
    for result in extract_shards(extraction, settings, shards):
        before, done = done, done + len(result.image_ids)
        if before < 500 <= done or done == len(images.ids):
            now = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
            most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
            print(
                f"{done:5} pictures: {now / 2**20:.0f} MiB resident, {most / 2**20:.0f} MiB at most",
                flush=True,
            )


def decoding(images: Images) -> None:
    """Decoding alone, one thread."""
    torch.set_num_threads(1)
    contents = [images.read(number) for number in range(min(64, len(images.ids)))]
    start = time.perf_counter()
    for data in contents:
        decode(data)
    print(f"decoding, one core: {len(contents) / (time.perf_counter() - start):.0f} pictures/s")
    use_threads(cpu_threads())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pictures", type=Path, help="a folder or zip; else made here")
    parser.add_argument("--count", type=int, default=64, help="pictures a turn, in sixteens")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--precision", default="auto", choices=["auto", "float32", "bfloat16"])
    parser.add_argument("--backbone", default="vgg16", help="any, as features takes it")
    parser.add_argument("--layer", default="", help="the backbone's first by default")
    parser.add_argument("--memory", action="store_true")
    add_device(parser)
    arguments = parser.parse_args()
    arguments.layer = arguments.layer or default_layer(arguments.backbone)
    stored_shape(arguments.backbone, arguments.layer)  # refuses an unknown layer
    device = pick_device(arguments.device)
    use_threads(cpu_threads())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if arguments.memory:
            memory(folder, str(device))
            return
        images = open_images(arguments.pictures or make_zip(folder / "pictures.zip", arguments.count))
        decoding(images)
        compare(arguments, images, folder)


if __name__ == "__main__":
    from bench.one_line import in_one_line

    in_one_line(main)
