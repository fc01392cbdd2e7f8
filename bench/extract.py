"""Pictures per second from JPEG to fc7: this project, a plain script and, if installed, OpenVINO.

    python -m bench.extract                        # VGG-16, 64 pictures a turn, five turns: some minutes
    python -m bench.extract --pictures FOLDER_OR_ZIP --precision bfloat16
    python -m bench.extract --memory               # resident memory at 500 and at 5,000 pictures
    pip install openvino                           # adds OpenVINO to the comparison

Every turn measures each competitor once, in an order drawn anew, so that none always follows the same one;
reported are the median over the turns and its range. Weights are random:0: they do not change the speed.

* plain: Pillow, torchvision's Compose, eager float32 in torch's default memory format, batches of 32, h5py.
* network: this project's network alone, on pixels decoded before.
* end to end: this project's shards, from the JPEG in the zip to the rows on disk.
* openvino: the same network in OpenVINO, on the same decoded pixels, in the precision that ours has.
"""

from __future__ import annotations

import argparse
import dataclasses
import io
import random
import resource
import statistics
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

from models.openmp import spin_briefly

spin_briefly()  # before torch, which reads how long its threads spin when it is loaded

import h5py
import numpy as np
import torch
from PIL import Image
from torch import nn
from torchvision import transforms
from torchvision.models import vgg16

from data.pictures.image_sets import Images, open_images
from models.backbones.decoding import decode
from models.backbones.load import load_backbone
from models.devices import cpu_threads, pick_device, pick_precision, reproducible
from models.memory import memory_kept
from tasks.extraction.job import Extraction
from tasks.extraction.shards import extract_shards, prepare

Turn = Callable[[], None]


def photograph(number: int, width: int = 640, height: int = 480) -> bytes:
    """A JPEG that costs as much to decode as a COCO picture: soft noise on several scales, about 80 kB."""
    random = np.random.default_rng(number)
    canvas = np.zeros((height, width, 3), np.float32)
    for scale, weight in ((4, 40), (16, 60), (64, 90)):
        small = random.random((height // scale + 2, width // scale + 2, 3), dtype=np.float32)
        for channel in range(3):
            layer = Image.fromarray(small[..., channel]).resize((width, height), Image.Resampling.BICUBIC)
            canvas[..., channel] += weight * np.asarray(layer)
    buffer = io.BytesIO()
    Image.fromarray(canvas.clip(0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def make_zip(path: Path, count: int, width: int = 640, height: int = 480) -> Path:
    """`count` pictures, 64 of them different, stored in a zip as COCO's are."""
    contents = [photograph(number, width, height) for number in range(min(count, 64))]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for number in range(count):
            archive.writestr(f"pictures/{number:06}.jpg", contents[number % len(contents)])
    return path


def plain(images: Images, count: int, folder: Path) -> Turn:
    """What one writes in an afternoon."""
    network = eager_vgg16()
    mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    transform = transforms.Compose(
        [transforms.Resize((224, 224)), transforms.ToTensor(), transforms.Normalize(mean, std)]
    )

    def turn() -> None:
        with h5py.File(folder / "plain.h5", "w") as file, torch.no_grad():
            rows = file.create_dataset("features", (count, 4096), "f2")
            for start in range(0, count, 32):
                numbers = range(start, min(start + 32, count))
                pictures = [Image.open(io.BytesIO(images.read(number))).convert("RGB") for number in numbers]
                batch = torch.stack([transform(picture) for picture in pictures])
                rows[start : start + len(batch)] = network(batch).numpy()

    return turn


def eager_vgg16() -> nn.Module:
    """torchvision's VGG-16 up to fc7, as it comes."""
    torch.manual_seed(0)
    whole = vgg16(weights=None).eval()
    return nn.Sequential(whole.features, whole.avgpool, nn.Flatten(1), whole.classifier[:5])


def network(extraction: Extraction, pixels: torch.Tensor, batch: int) -> Turn:
    """Ours on pixels that are decoded already."""
    device = pick_device(extraction.device)
    precision = pick_precision(device, extraction.precision)
    backbone = load_backbone(extraction.backbone, extraction.layer, extraction.weights, device, precision)

    def turn() -> None:
        with memory_kept():
            for start in range(0, len(pixels), batch):
                backbone(pixels[start : start + batch]).cpu()

    return turn


def end_to_end(extraction: Extraction) -> Turn:
    """Ours from the zip to the disk; the backbone is loaded before."""
    settings = prepare(extraction)

    def turn() -> None:
        for _ in extract_shards(extraction, settings, range(extraction.shards())):
            pass

    return turn


def openvino(pixels: torch.Tensor, batch: int, precision: str) -> Turn | None:
    """The peer: VGG-16 compiled by OpenVINO for this processor; None where it is not installed."""
    try:
        import openvino as ov  # type: ignore[import-not-found]
    except ImportError:
        return None
    example = torch.zeros(batch, 3, 224, 224)
    model = ov.convert_model(eager_vgg16(), example_input=example, input=[list(example.shape)])
    hints = {
        "INFERENCE_PRECISION_HINT": {"float32": "f32", "bfloat16": "bf16"}[precision],
        "INFERENCE_NUM_THREADS": cpu_threads(),
        "NUM_STREAMS": 1,
    }
    compiled = ov.Core().compile_model(model, "CPU", hints)
    mean = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)

    def turn() -> None:
        for start in range(0, len(pixels), batch):
            normal = (pixels[start : start + batch].float() / 255 - mean) / std
            compiled([normal.numpy()])

    return turn


def compare(arguments: argparse.Namespace, images: Images, folder: Path) -> None:
    """Turns of every competitor, interleaved, then the medians and the ratios that matter."""
    count = min(arguments.count, len(images.ids)) // 16 * 16  # whole batches for everybody
    images = dataclasses.replace(images, ids=images.ids[:count], names=images.names[:count])
    extraction = make_extraction(images, folder, arguments.precision)
    settings = prepare(extraction)
    print(f"{settings.processor}, {settings.threads} threads, {settings.precision}, batch {settings.batch}")
    pixels = torch.stack([decode(images.read(number)) for number in range(count)])
    turns: dict[str, Turn | None] = {
        "plain": plain(images, count, folder),
        "network": network(extraction, pixels, settings.batch),
        "end to end": end_to_end(extraction),
        "openvino": openvino(pixels, settings.batch, settings.precision),
    }
    running = {name: turn for name, turn in turns.items() if turn is not None}
    rates: dict[str, list[float]] = {name: [] for name in running}
    for number in range(arguments.turns + 1):
        for name, turn in random.sample(list(running.items()), len(running)):
            start = time.perf_counter()
            turn()
            if number:  # the first warms up
                rates[name].append(count / (time.perf_counter() - start))
        if number:
            print("  ".join(f"{name} {found[-1]:.2f}" for name, found in rates.items()), flush=True)
    report(rates)
    print(f"least cosine to eager float32: {least_cosine(pixels, arguments.precision):.6f}")


def report(rates: dict[str, list[float]]) -> None:
    """Medians with their range, and ratios taken within each turn."""
    for name, found in rates.items():
        print(f"{name:12} {statistics.median(found):6.2f} pictures/s ({min(found):.2f} to {max(found):.2f})")
    for over, under in (("end to end", "plain"), ("end to end", "network"), ("network", "openvino")):
        if over in rates and under in rates:
            ratios = [one / other for one, other in zip(rates[over], rates[under], strict=True)]
            spread = f"({min(ratios):.2f} to {max(ratios):.2f})"
            print(f"{over} / {under}: {statistics.median(ratios):.2f} {spread}")


def least_cosine(pixels: torch.Tensor, precision: str) -> float:
    """How far ours may stray from the plain network, over some of the pictures."""
    some = pixels[:32]
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    normal = ((some / 255).permute(0, 2, 3, 1) - mean).div(std).permute(0, 3, 1, 2)
    device = pick_device("cpu")
    ours = load_backbone("vgg16", "fc7", "random:0", device, pick_precision(device, precision))
    with torch.no_grad():
        return float(nn.functional.cosine_similarity(eager_vgg16()(normal), ours(some)).min())


def make_extraction(images: Images, folder: Path, precision: str, name: str = "vgg16") -> Extraction:
    """The project's own job over `images`, on the CPU."""
    layer = "fc7" if name == "vgg16" else "flatten"
    return Extraction(images, name, layer, "random:0", "random:0", folder / "work", "cpu", precision)


def memory(folder: Path) -> None:
    """Resident memory after 500 and after 5,000 pictures, through a small network to take minutes."""
    images = open_images(make_zip(folder / "pictures.zip", 5000, 160, 120))
    extraction = make_extraction(images, folder, "float32", "squeezenet1_1")
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
    reproducible(cpu_threads())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pictures", type=Path, help="a folder or zip; else made here")
    parser.add_argument("--count", type=int, default=64, help="pictures a turn, in sixteens")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--precision", default="auto", choices=["auto", "float32", "bfloat16"])
    parser.add_argument("--memory", action="store_true")
    arguments = parser.parse_args()
    reproducible(cpu_threads())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if arguments.memory:
            memory(folder)
            return
        images = open_images(arguments.pictures or make_zip(folder / "pictures.zip", arguments.count))
        decoding(images)
        compare(arguments, images, folder)


if __name__ == "__main__":
    from bench.one_line import in_one_line

    in_one_line(main)
