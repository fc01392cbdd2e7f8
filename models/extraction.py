"""Encoded pictures in, float16 features out: decoding runs ahead of the network, batches have one size."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from models.errors import ModelError
from models.memory import memory_kept
from models.pictures import PictureError, decode

if TYPE_CHECKING:  # workers that only decode import this module: torchvision's models would cost them 2 s
    from models.backbones import Backbone

Read = Callable[[int], bytes]
"""The encoded picture of an index; raises PictureError where there is none."""

AHEAD = 2  # batches that each decoding process has ready: enough to hide a slow disk

HALF_MAX = torch.finfo(torch.float16).max


@dataclass(frozen=True)
class Rows:
    """Features (n, *shape) float16, a row a picture; `bad` gives the reason of those that failed, by row.

    A failed picture's row is zeros: it keeps its place so that no other row depends on it.
    """

    features: NDArray[np.float16]
    bad: dict[int, str]


class _Decoded(NamedTuple):
    pixels: torch.Tensor  # (batch, 3, size, size) uint8, zeros beyond `count` and where a picture failed
    bad: dict[int, str]
    indices: list[int]


def extract(backbone: Backbone, pictures: Sequence[bytes], batch: int = 0) -> Rows:
    """Features of encoded pictures, in their order; `batch` 0 takes what suits the backbone's device."""
    if not pictures:
        return Rows(np.zeros((0, *backbone.shape), np.float16), {})
    whole = [range(len(pictures))]
    return next(
        extract_groups(backbone, pictures.__getitem__, whole, batch or default_batch(backbone.device))
    )


def extract_groups(
    backbone: Backbone,
    read: Read,
    groups: Iterable[Sequence[int]],
    batch: int,
    workers: int = 0,
    on_batch: Callable[[int], None] = lambda pictures: None,
    on_start: Callable[[], None] | None = None,
) -> Iterator[Rows]:
    """Rows of each group of picture indices, in turn; none may be empty.

    While one group is computed the next is already asked for and decoded: by threads, or by `workers`
    processes, each of which calls `on_start` first (it and `read` must pickle). Batches never cross from one
    group to the next and short ones are filled up to `batch`, so a group's bits depend on the group alone.
    `on_batch` hears each one's pictures.
    Raises ModelError where features are not finite or beyond float16, or memory runs out.
    """
    lengths: deque[int] = deque()

    def cut() -> Iterator[list[int]]:
        for group in groups:
            lengths.append(len(group))
            for start in range(0, len(group), batch):
                yield list(group[start : start + batch])

    load = _Loader(read, backbone.size, batch)
    decoded = _by_processes(load, cut(), workers, on_start) if workers else _by_threads(load, cut())
    features = np.zeros((0, *backbone.shape), np.float16)
    bad: dict[int, str] = {}
    done = 0
    with memory_kept():
        for rows, failed in _computed(backbone, decoded):
            if done == 0:
                features, bad = np.zeros((lengths[0], *backbone.shape), np.float16), {}
            features[done : done + len(rows)] = rows
            bad |= {done + slot: reason for slot, reason in failed.items()}
            done += len(rows)
            on_batch(len(rows))
            if done == lengths[0]:
                lengths.popleft()
                done = 0
                yield Rows(features, bad)


def default_batch(device: torch.device) -> int:
    """Pictures at a time: a CPU gains nothing beyond 16, a GPU wants more to be busy."""
    return 16 if device.type == "cpu" else 128


def fit_batch(backbone: Backbone, wanted: int) -> int:
    """`wanted`, halved until the device has room for such a batch. Ask once, before the first picture."""
    batch = wanted
    while batch:
        try:
            backbone(torch.zeros((batch, 3, backbone.size, backbone.size), dtype=torch.uint8))
            return batch
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()
            batch //= 2
    raise ModelError(
        f"{backbone.device} has no room for one picture in {backbone.name}. End what else uses it, or set "
        "[compute] device = cpu in luigi.cfg."
    )


class _Loader(Dataset[Any]):
    """Reads and decodes one batch; a plain function but for the name that torch's DataLoader looks for."""

    def __init__(self, read: Read, size: int, batch: int) -> None:
        self.read, self.size, self.batch = read, size, batch

    def __getitems__(self, indices: list[int]) -> _Decoded:
        pixels = torch.zeros((self.batch, 3, self.size, self.size), dtype=torch.uint8)
        bad: dict[int, str] = {}
        for slot, index in enumerate(indices):
            try:
                pixels[slot] = decode(self.read(index), self.size)
            except PictureError as error:
                bad[slot] = str(error)
        return _Decoded(pixels, bad, indices)


def _by_threads(load: _Loader, batches: Iterator[list[int]]) -> Iterator[_Decoded]:
    """A thread for every second core: they wait while they are ahead, so the network keeps its cores.

    One would do on a laptop (VGG-16 takes 30 to 100 times what decoding does), and hold up a server of 64 cores.
    """
    waiting: deque[Any] = deque()
    threads = max(1, torch.get_num_threads() // 2)
    with ThreadPoolExecutor(threads, initializer=_one_thread) as pool:
        try:
            for indices in batches:
                waiting.append(pool.submit(load.__getitems__, indices))
                if len(waiting) > threads + 1:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


def _by_processes(
    load: _Loader, batches: Iterator[list[int]], workers: int, on_start: Callable[[], None] | None
) -> Iterator[_Decoded]:
    """Worker processes for a GPU, which outruns any one core; their batches arrive in pinned memory."""
    loader = DataLoader(
        load,
        batch_sampler=_Once(batches),
        num_workers=workers,
        collate_fn=_as_it_is,
        pin_memory=torch.cuda.is_available(),
        prefetch_factor=AHEAD,
        worker_init_fn=partial(_start_worker, on_start),
        multiprocessing_context="spawn",  # a fork would inherit the parent's GPU and its locks
    )
    try:
        yield from loader
    except RuntimeError as error:
        if not str(error).startswith("DataLoader worker"):
            raise
        raise ModelError(
            f"a process that decodes pictures has died ({error}). It hands its batches over in /dev/shm; where that "
            "is small (docker's is 64 MB) give it more: docker run --shm-size=2g. Finished shards are kept."
        ) from error


class _Once(list[list[int]]):
    """Batches that are made while they are asked for; DataLoader wants to see a list."""

    def __init__(self, batches: Iterator[list[int]]) -> None:
        super().__init__()
        self.batches = batches

    def __iter__(self) -> Iterator[list[int]]:
        return self.batches


def _as_it_is(decoded: Any) -> Any:
    return decoded


def _one_thread() -> None:
    torch.set_num_threads(1)


def _start_worker(on_start: Callable[[], None] | None, worker: int) -> None:
    if on_start is not None:
        on_start()
    _one_thread()


def _computed(
    backbone: Backbone, decoded: Iterator[_Decoded]
) -> Iterator[tuple[NDArray[np.float16], dict[int, str]]]:
    """Features of each decoded batch. One is always outstanding, so that a GPU never waits for its next."""
    device = backbone.device
    stream = torch.cuda.Stream(device) if device.type == "cuda" else None
    waiting: deque[tuple[_Decoded, _Received]] = deque()
    for batch in decoded:
        try:
            features = backbone(_sent(batch.pixels, device, stream))
        except torch.OutOfMemoryError as error:
            raise ModelError(
                f"{device} ran out of memory in a batch of {len(batch.pixels)}, which it had room for."
                f" Set [compute] batch_size = {max(1, len(batch.pixels) // 2)} in luigi.cfg, or end what else"
                " uses it."
            ) from error
        waiting.append((batch, _received(features)))
        if len(waiting) > 1:
            yield _checked(*waiting.popleft())
    while waiting:
        yield _checked(*waiting.popleft())


class _Received(NamedTuple):
    half: torch.Tensor
    fits: torch.Tensor
    done: torch.cuda.Event | None


def _sent(pixels: torch.Tensor, device: torch.device, stream: torch.cuda.Stream | None) -> torch.Tensor:
    """Pixels on the device, copied on a stream of their own while the batch before is computed."""
    if stream is None:
        return pixels
    computing = torch.cuda.current_stream(device)
    with torch.cuda.stream(stream):
        pixels = pixels.to(device, non_blocking=True)
    computing.wait_stream(stream)
    pixels.record_stream(computing)  # else its memory could be given to the next copy too soon
    return pixels


def _received(features: torch.Tensor) -> _Received:
    """float16 rows on their way to the host, and which of them float16 can hold (NaN and infinity can't)."""
    fits = features.flatten(1).abs().amax(1) <= HALF_MAX
    half = features.to(torch.float16)
    if features.device.type == "cpu":
        return _Received(half, fits, None)
    host = [
        torch.empty(t.shape, dtype=t.dtype, pin_memory=True).copy_(t, non_blocking=True) for t in (half, fits)
    ]
    done = torch.cuda.Event()
    done.record(torch.cuda.current_stream(features.device))
    return _Received(host[0], host[1], done)


def _checked(batch: _Decoded, received: _Received) -> tuple[NDArray[np.float16], dict[int, str]]:
    """The batch's own rows, without its filling; ModelError for features that do not fit float16."""
    if received.done is not None:
        received.done.synchronize()
    rows = received.half.numpy()[: len(batch.indices)]
    for slot, index in enumerate(batch.indices):
        if slot not in batch.bad and not received.fits[slot]:
            raise ModelError(
                f"picture {index}: its features are not finite, or beyond float16's {HALF_MAX:,.0f}. "
                "Are these the weights of this backbone? Untrained ones (random:SEED) of a very deep network, such as "
                "resnet152, grow so: resnet50 and vgg16 do not."
            )
    if batch.bad:
        rows = rows.copy()
        rows[list(batch.bad)] = 0
    return rows, batch.bad
