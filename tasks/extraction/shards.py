"""The unit of extraction that every engine runs: some hundred pictures, from their bytes to rows on disk.

Plain functions over data/ and models/ that pickle and know nothing of Luigi. torch is imported when they run.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from functools import lru_cache, partial
from typing import TYPE_CHECKING

from data.base.errors import ContentError, DataError, ModelError
from tasks.extraction.job import Arithmetic, Extraction
from tasks.extraction.shard_files import ShardResult, write_shard
from tasks.setup.process import die_with_parent

if TYPE_CHECKING:
    from data.pictures.image_sets import Images
    from models.backbones.decode_ahead import Processes, Threads
    from models.backbones.frames import Frame
    from models.backbones.load import Backbone

WAITING = 1  # computed shards that wait to be written; a 7 x 7 x 2048 grid's has 51 MB


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
    sharing: int = 1,
) -> Iterator[ShardResult]:
    """Do shards in turn, each on the disk when it is yielded; `sharing` processes of this run are on this machine."""
    with closing(Extractor(extraction, settings, device, sharing)) as extractor:
        yield from extractor.extract(shards, on_batch)


class Extractor:
    """A process's part of an extraction: a loaded backbone, and decoders that live as long as this does."""

    def __init__(
        self, extraction: Extraction, settings: Arithmetic, device: str = "", sharing: int = 1
    ) -> None:
        from tasks.extraction.unfinished import lay_out

        backbone, own = _worker(*_choices(extraction, device))
        if replace(own, batch=settings.batch) != settings:
            raise ModelError(
                f"this process would give other bits: it works under {own}, wanted is {settings}."
            )
        self.extraction, self.settings, self.backbone = extraction, settings, backbone
        self.decode = _decoding(extraction, settings, backbone.frame, sharing)
        transform, weights = backbone.transform, extraction.weights_id
        self.about = {"backbone": backbone.name, "transform": transform, "weights": weights}
        self.files = [
            lay_out(extraction, settings, layer, shape, self.about)
            for layer, shape in backbone.layers.items()
        ]

    def extract(
        self, shards: Iterable[int], on_batch: Callable[[int], None] = lambda pictures: None
    ) -> Iterator[ShardResult]:
        """Do shards in turn, each on the disk when it is yielded.

        While one is computed the next one's pictures are decoded, and the one before is hashed and written. An error of
        writing comes with the next shard, whatever it is.
        """
        from models.backbones.extraction import extract_groups

        pending: deque[int] = deque()
        written: deque[Future[ShardResult]] = deque()

        def groups() -> Iterator[range]:
            for shard in shards:
                pending.append(shard)
                yield self.extraction.rows(shard)

        with ThreadPoolExecutor(1, "writer") as writer:
            for rows in extract_groups(self.backbone, self.decode, groups(), on_batch):
                write = partial(write_shard, self.extraction, self.settings, pending.popleft(), self.files)
                written.append(writer.submit(write, rows.features, rows.bad, self.about))
                del rows, write  # else the rows would stay in memory until the next shard is computed
                while written and (len(written) > WAITING or written[0].done()):
                    yield written.popleft().result()
            while written:
                yield written.popleft().result()

    def close(self) -> None:
        """End the decoders."""
        self.decode.stop()


class _Reader:
    """images.read that reports a bad picture as such; where the storage fails, the run ends."""

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


def _decoding(
    extraction: Extraction, settings: Arithmetic, frame: Frame, sharing: int
) -> Threads | Processes:
    """Decoding for one device: its processes do not outlive this one."""
    from models.backbones.decode_ahead import Decoder, Processes, Threads

    decoder = Decoder(_Reader(extraction.images), frame, settings.batch)
    workers = _decoders(settings.device, extraction.threads, sharing)
    on_start = partial(die_with_parent, os.getpid())
    return Processes(decoder, workers, on_start, sharing) if workers else Threads(decoder)


def _decoders(device: str, threads: int, sharing: int) -> int:
    """Processes that decode for one GPU: `threads`; 0 means its share of the cores, without the one that drives it.

    None for a CPU.
    """
    from models.devices import logical_cores

    return 0 if device == "cpu" else threads or max(1, logical_cores() // sharing - 1)


def shards_ahead(extraction: Extraction, settings: Arithmetic, sharing: int) -> int:
    """How many shards an Extractor must know of, so that its decoders have enough to do while it computes one."""
    from models.backbones.decode_ahead import AHEAD

    workers = _decoders(settings.device, extraction.threads, sharing)
    return 2 + workers * AHEAD * settings.batch // extraction.shard


def _choices(
    extraction: Extraction, device: str
) -> tuple[str, tuple[str, ...], int | None, str, str, str, int, int, int]:
    """What decides the worker; usable as a cache's key."""
    e = extraction
    return (
        e.backbone,
        e.layers,
        e.image_size,
        e.weights,
        device or e.device,
        e.precision,
        e.threads,
        e.batch,
        e.shard,
    )


@lru_cache(maxsize=1)
def _worker(
    name: str,
    layers: tuple[str, ...],
    size: int | None,
    weights: str,
    where: str,
    precision: str,
    threads: int,
    batch: int,
    shard: int,
) -> tuple[Backbone, Arithmetic]:
    """This process's backbone, loaded once, and the settings in force."""
    import torch
    import torchvision

    from models.backbones.extraction import fit_batch
    from models.backbones.load import load_backbone
    from models.backbones.names import BATCH
    from models.devices import cpu_threads, pick_device, pick_precision, processor_name, use_threads

    device = pick_device(where)
    if device.type == "cuda":
        torch.cuda.set_device(device)  # else pinned memory would also take room on the first GPU
    threads = threads or cpu_threads()
    use_threads(threads)
    backbone = load_backbone(name, layers, weights, device, pick_precision(device, precision), size)
    batch = min(batch or BATCH[device.type], shard)
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
        cudnn=0 if on_cpu else torch.backends.cudnn.version() or 0,
    )
    return backbone, settings
