"""The unit of extraction that every engine runs: some hundred pictures, from their bytes to rows on disk.

Plain functions over data/ and models/ that pickle and know nothing of Luigi. torch is imported when they run.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import lru_cache, partial
from typing import TYPE_CHECKING

from data.base.errors import ContentError, DataError, ModelError
from tasks.extraction.job import Arithmetic, Extraction
from tasks.extraction.shard_files import (
    ShardResult,
    write_shard,
)
from tasks.setup.process import die_with_parent

if TYPE_CHECKING:
    from data.pictures.image_sets import Images
    from models.backbones.load import Backbone


def prepare(extraction: Extraction, device: str = "") -> Arithmetic:
    """Load the backbone in this process and say under which settings it works.

    `device` takes the place of the extraction's, for one process a GPU.
    """
    return _worker(*_choices(extraction, device))[1]


def extract_shards(
    extraction: Extraction,
    settings: Arithmetic,
    shards: Iterable[int],
    device: str = "",
    on_batch: Callable[[int], None] = lambda pictures: None,
) -> Iterator[ShardResult]:
    """Do shards in turn, each written when it is yielded; meanwhile the next one's pictures are decoded."""
    from models.backbones.extraction import extract_groups

    backbone, own = _worker(*_choices(extraction, device))
    if replace(own, batch=settings.batch) != settings:
        raise ModelError(f"this process would give other bits: it works under {own}, wanted is {settings}.")
    asked: deque[int] = deque()

    def groups() -> Iterator[range]:
        for shard in shards:
            asked.append(shard)
            yield extraction.rows(shard)

    read = _Reader(extraction.images)
    workers = _decoders(settings.device)
    on_start = partial(die_with_parent, os.getpid())  # its decoders do not outlive this process
    for rows in extract_groups(backbone, read, groups(), settings.batch, workers, on_batch, on_start):
        about = {"backbone": backbone.name, "layer": backbone.layer, "transform": backbone.transform}
        yield write_shard(extraction, settings, asked.popleft(), rows.features, rows.bad, about)


class _Reader:
    """images.read with a picture's own faults as such; where the storage fails, the run ends."""

    def __init__(self, images: Images) -> None:
        self.images = images

    def __call__(self, row: int) -> bytes:
        from models.backbones.decoding import PictureError

        try:
            return self.images.read(row)
        except ContentError as error:
            raise PictureError(str(error)) from error
        except DataError as error:
            raise ModelError(f"{error}. Finished shards are kept.") from error


def _decoders(device: str) -> int:
    """Processes that decode for one GPU: its share of the cores, less the one that drives it. None for a CPU."""
    from models.devices import cpu_threads, gpus_here

    return 0 if device == "cpu" else max(1, cpu_threads() // gpus_here() - 1)


def _choices(extraction: Extraction, device: str) -> tuple[str, str, str, str, str, int, int, int]:
    """What decides the worker, and can be a cache's key."""
    e = extraction
    return e.backbone, e.layer, e.weights, device or e.device, e.precision, e.threads, e.batch, e.shard


@lru_cache(maxsize=1)
def _worker(
    name: str, layer: str, weights: str, where: str, precision: str, threads: int, batch: int, shard: int
) -> tuple[Backbone, Arithmetic]:
    """This process's backbone, loaded once, and the settings in force."""
    import torch
    import torchvision

    from models.backbones.extraction import default_batch, fit_batch
    from models.backbones.load import load_backbone
    from models.devices import cpu_threads, pick_device, pick_precision, processor_name, reproducible

    device = pick_device(where)
    if device.type == "cuda":
        torch.cuda.set_device(device)  # else pinned memory would take room on the first GPU, too
    threads = threads or cpu_threads()
    reproducible(threads)
    backbone = load_backbone(name, layer, weights, device, pick_precision(device, precision))
    batch = min(batch or default_batch(device), shard)
    on_cpu = device.type == "cpu"
    settings = Arithmetic(
        device=device.type,
        processor=processor_name(device),
        precision=backbone.precision,
        batch=batch if on_cpu else fit_batch(backbone, batch),
        threads=threads if on_cpu else 0,
        shard=shard,
        torch=str(torch.__version__),  # torch's own subclass of str would import torch where it is unpickled
        torchvision=str(torchvision.__version__),
    )
    return backbone, settings
