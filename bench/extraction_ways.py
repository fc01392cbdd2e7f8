"""Ways from pictures to features: this project's and a plain script. Each imports what it needs when it is made."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.plain_networks import normal, plain_network, plain_transform, view
from bench.turns import Steady, Turn
from tasks.extraction.job import Extraction

if TYPE_CHECKING:
    import torch

    from data.pictures.image_sets import Images

PLAIN_BATCH = {"cpu": 32, "cuda": 128}


def make_extraction(
    images: Images,
    folder: Path,
    device: str,
    precision: str,
    name: str = "vgg16",
    layer: str = "fc7",
    **how: int,
) -> Extraction:
    """The project's own job over `images`; `how`: batch and shard."""
    return Extraction(
        images, name, (layer,), "random:0", "random:0", folder / "work", device, precision, **how
    )


def network(extraction: Extraction, pixels: torch.Tensor, batch: int) -> Callable[[], None]:
    """Ours on decoded pixels that are on its device: once over all of them."""
    from models.backbones.load import load_backbone
    from models.devices import pick_device, pick_precision
    from models.memory import memory_kept

    device = pick_device(extraction.device)
    precision = pick_precision(device, extraction.precision)
    backbone = load_backbone(extraction.backbone, extraction.layers, extraction.weights, device, precision)
    pixels = pixels.to(device)

    def work() -> None:
        with memory_kept():
            for part in pixels.split(batch):
                backbone(part)
            finish(device)

    return work


def eager(name: str, layer: str, pixels: torch.Tensor, device: torch.device) -> Callable[[], None]:
    """The library's network as it comes, in float32 on decoded pixels: once over all of them, in the plain batch."""
    import torch

    module, batches = (
        plain_network(name, layer).to(device),
        normal(name, pixels).split(PLAIN_BATCH[device.type]),
    )

    def work() -> None:
        with torch.no_grad():
            for part in batches:
                module(part.to(device))
        finish(device)

    return work


def finish(device: torch.device) -> None:
    """Wait until a GPU has finished."""
    import torch

    if device.type == "cuda":
        torch.cuda.synchronize(device)


def end_to_end(extraction: Extraction) -> Turn:
    """Ours from the picture files to the disk, all shards; the backbone is loaded before."""
    from tasks.extraction.shards import extract_shards, prepare

    settings = prepare(extraction)

    def turn() -> float:
        began = time.perf_counter()
        for _ in extract_shards(extraction, settings, range(extraction.shards())):
            pass
        return len(extraction.images.ids) / (time.perf_counter() - began)

    return turn


def steadily(extraction: Extraction, seconds: float, started: list[float]) -> Turn:
    """Ours from the picture files to the disk, the same shards again and again for `seconds`.

    `started` gets the seconds until each turn's first batch, in which processes that decode for a GPU start.
    """
    from tasks.extraction.shards import extract_shards, prepare

    settings = prepare(extraction)

    def turn() -> float:
        steady = Steady(seconds)
        shards = steady.feed(range(extraction.shards()))
        for _ in extract_shards(extraction, settings, shards, on_batch=steady.add):
            pass
        started.append(steady.first())
        return steady.rate()

    return turn


def cores() -> int:
    """Cores that this process may use, hyperthreads included."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class PlainPictures:
    """What a DataLoader reads: a picture's number and its normal pixels."""

    def __init__(self, read: Callable[[int], bytes], name: str) -> None:
        self.read, self.transform = read, plain_transform(name)

    def __getitem__(self, number: int) -> tuple[int, torch.Tensor]:
        from PIL import Image

        picture = Image.open(io.BytesIO(self.read(number))).convert("RGB")
        return number, self.transform(picture)


class _Batches:
    """Numbers of pictures, batch after batch, as long as the stream is fed."""

    def __init__(self, count: int, size: int) -> None:
        self.lists = [list(range(count))[start : start + size] for start in range(0, count, size)]
        self.feed: Callable[[Iterable[list[int]]], Iterator[list[int]]] = iter

    def __iter__(self) -> Iterator[list[int]]:
        return self.feed(self.lists)


class Files:
    """Picture files by number, to be called; it pickles, as processes that read want it."""

    def __init__(self, paths: list[Path]) -> None:
        self.paths = paths

    def __call__(self, number: int) -> bytes:
        return self.paths[number].read_bytes()


def plain(
    read: Callable[[int], bytes],
    count: int,
    out: Path,
    device: torch.device,
    name: str = "vgg16",
    layer: str = "fc7",
    seconds: float = 0.0,
) -> Turn:
    """A script of an afternoon: Pillow, the library's transform, the network as it comes, h5py.

    On a CPU in float32; on a GPU under autocast, its pictures from a DataLoader with a process a core. A turn goes over
    the `count` pictures once, or, where `seconds` are given, again and again.
    """
    import h5py
    import torch

    module = plain_network(name, layer).to(device)
    batches = _Batches(count, PLAIN_BATCH[device.type])
    loader = _loader(PlainPictures(read, name), batches, device)
    size = view(name).frame.size
    with torch.no_grad():
        shape = module(torch.zeros(1, 3, size, size, device=device)).shape[1:]

    def turn() -> float:
        steady = Steady(seconds)
        batches.feed = steady.feed if seconds else iter
        on_gpu = device.type == "cuda"
        with h5py.File(out, "w") as file, torch.no_grad(), torch.autocast(device.type, enabled=on_gpu):
            rows = file.create_dataset("features", (count, *shape), "f2")
            for numbers, pictures in loader:
                features = module(pictures.to(device, non_blocking=True))
                rows[int(numbers[0]) : int(numbers[-1]) + 1] = features.float().cpu().numpy()
                steady.add(len(numbers))
        return steady.rate()

    return turn


def _loader(pictures: PlainPictures, batches: _Batches, device: torch.device) -> Any:
    from torch.utils.data import DataLoader

    if device.type == "cpu":
        return DataLoader(pictures, batch_sampler=batches)  # type: ignore[arg-type]
    return DataLoader(
        pictures,  # type: ignore[arg-type]
        batch_sampler=batches,  # type: ignore[arg-type]
        num_workers=max(1, cores() - 1),
        pin_memory=True,
        persistent_workers=True,
        multiprocessing_context="spawn",
    )
