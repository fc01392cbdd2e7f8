"""Encoded pictures in, float16 features out: decoding runs ahead of the network, batches have one size."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from data.base.errors import ModelError
from models.backbones.decode_ahead import Decoded, Decoder, Processes, Threads
from models.backbones.names import BATCH
from models.memory import memory_kept

if TYPE_CHECKING:
    from models.backbones.load import Backbone

HALF_MAX = torch.finfo(torch.float16).max


@dataclass(frozen=True)
class Rows:
    """Features (n, *shape) float16, a row a picture; `bad` gives the reason of those that failed, by row.

    A failed picture's row is zeros: it keeps its place so that no other row depends on it.
    """

    features: NDArray[np.float16]
    bad: dict[int, str]


def extract(backbone: Backbone, pictures: Sequence[bytes], batch: int = 0) -> Rows:
    """Features of encoded pictures, in their order; `batch` 0 takes what suits the backbone's device."""
    if not pictures:
        return Rows(np.zeros((0, *backbone.shape), np.float16), {})
    decoder = Decoder(pictures.__getitem__, backbone.frame, batch or BATCH[backbone.device.type])
    return next(extract_groups(backbone, Threads(decoder), [range(len(pictures))]))


def extract_groups(
    backbone: Backbone,
    decode: Threads | Processes,
    groups: Iterable[Sequence[int]],
    on_batch: Callable[[int], None] = lambda pictures: None,
) -> Iterator[Rows]:
    """Rows of each group of picture indices, in turn; none may be empty.

    While one group is computed the next is already asked for and decoded. Batches never cross from one group to the
    next and short ones are filled up to the decoder's, so a group's bits depend on the group alone. `on_batch` gets
    the number of pictures in each.
    Raises ModelError where features are not finite or beyond float16, memory (/dev/shm for processes) runs out, or a
    process dies.
    """
    lengths: deque[int] = deque()
    batch = decode.decoder.batch

    def cut() -> Iterator[list[int]]:
        for group in groups:
            lengths.append(len(group))
            for start in range(0, len(group), batch):
                yield list(group[start : start + batch])

    decoded = decode(cut())
    features = np.zeros((0, *backbone.shape), np.float16)
    bad: dict[int, str] = {}
    done = 0
    with memory_kept():
        for rows, failed in _computed(backbone, decoded):
            if done == 0:
                features, bad = np.empty((lengths[0], *backbone.shape), np.float16), {}
            features[done : done + len(rows)] = rows
            bad |= {done + slot: reason for slot, reason in failed.items()}
            done += len(rows)
            on_batch(len(rows))
            if done == lengths[0]:
                lengths.popleft()
                done = 0
                yield Rows(features, bad)


def fit_batch(backbone: Backbone, wanted: int) -> int:
    """`wanted`, halved until the device has room for such a batch. Call it once, before the first picture."""
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


def _computed(
    backbone: Backbone, decoded: Iterator[Decoded]
) -> Iterator[tuple[NDArray[np.float16], dict[int, str]]]:
    """Features of each decoded batch. One is always outstanding, so that a GPU never waits for the next."""
    device = backbone.device
    stream = torch.cuda.Stream(device) if device.type == "cuda" else None
    waiting: deque[tuple[Decoded, _Received]] = deque()
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
    pixels.record_stream(computing)  # else its memory could be reused for the next copy too soon
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


def _checked(batch: Decoded, received: _Received) -> tuple[NDArray[np.float16], dict[int, str]]:
    """The batch's rows without padding; ModelError for features that do not fit float16."""
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
