"""Pictures decoded ahead of the network: by threads beside a CPU, by processes for a GPU."""

from __future__ import annotations

import errno
import logging
import multiprocessing
import os
import signal
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from multiprocessing.process import BaseProcess
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch.utils.data import DataLoader, Dataset

from data.base.errors import ModelError, ending
from models.backbones.decoding import PictureError, decode
from models.backbones.frames import Frame

Read = Callable[[int], bytes]
"""The encoded picture of an index. PictureError where that is at fault; any other error ends the extraction."""

AHEAD = 2  # batches that each decoding process has ready: enough to hide a slow disk
SHARED = Path("/dev/shm")  # where decoding processes leave their batches: Linux's memory as files
SPARE = 1 << 20  # bytes of it for the locks of queues
MORE_ROOM = "docker run --shm-size=1g (or --ipc=host), elsewhere mount -o remount,size=1g /dev/shm"

logger = logging.getLogger(__name__)


class Decoded(NamedTuple):
    """pixels: (batch, 3, size, size) uint8, zeros beyond `indices` and where a picture failed; bad: why, by row."""

    pixels: torch.Tensor
    bad: dict[int, str]
    indices: list[int]


class Decoder:
    """Reads and decodes one batch."""

    def __init__(self, read: Read, frame: Frame, batch: int) -> None:
        self.read, self.frame, self.batch = read, frame, batch

    def __call__(self, indices: list[int]) -> Decoded:
        pixels = torch.zeros((self.batch, 3, self.frame.size, self.frame.size), dtype=torch.uint8)
        bad: dict[int, str] = {}
        for slot, index in enumerate(indices):
            try:
                pixels[slot] = decode(self.read(index), *self.frame)
            except PictureError as error:
                bad[slot] = str(error)
        return Decoded(pixels, bad, indices)

    def bytes(self) -> int:
        """Of a batch's pixels."""
        return self.batch * 3 * self.frame.size**2


class Threads:
    """Decode for a CPU in threads, one for every second core: they wait while they are ahead, so the network keeps its
    cores.

    One thread is enough on a laptop (VGG-16 takes 30 to 100 times what decoding does), and too slow for 64 cores.
    """

    def __init__(self, decoder: Decoder) -> None:
        self.decoder = decoder

    def __call__(self, batches: Iterator[list[int]]) -> Iterator[Decoded]:
        """Batches of picture indices, decoded, in their order."""
        waiting: deque[Any] = deque()
        threads = max(1, torch.get_num_threads() // 2)
        with ThreadPoolExecutor(threads, initializer=_one_thread) as pool:
            try:
                for indices in batches:
                    waiting.append(pool.submit(self.decoder, indices))
                    if len(waiting) > threads + 1:
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            finally:
                pool.shutdown(cancel_futures=True)

    def stop(self) -> None:
        """Nothing to do: its threads end with each stream of batches."""


class Processes:
    """Decode for a GPU, which outruns any one core, in processes; their batches arrive in pinned memory.

    They start with the first batch, wait between one stream of batches and the next, and end with `stop`. `on_start` is
    called in each; `sharing` says how many GPUs' processes leave their batches in SHARED.
    """

    def __init__(
        self, decoder: Decoder, workers: int, on_start: Callable[[], None] | None = None, sharing: int = 1
    ) -> None:
        self.decoder, self.workers, self.on_start, self.sharing = decoder, workers, on_start, sharing
        self.batches = _Given()
        self.loader: DataLoader[Any] | None = None
        self.started: set[BaseProcess] = set()

    def __call__(self, batches: Iterator[list[int]]) -> Iterator[Decoded]:
        """Batches of picture indices, decoded, in their order.

        Raises ModelError where SHARED has no room for them, at the start or later, and where a process dies.
        """
        self.batches.given = batches
        try:
            for batch in self._begin():
                if isinstance(batch, ModelError):
                    raise batch
                yield batch.unpack() if isinstance(batch, _Packed) else batch
        except (RuntimeError, OSError, EOFError) as error:
            dead = [process.exitcode for process in self.started if process.exitcode is not None]
            if not dead:
                raise
            raise ModelError(_obituary(dead[0])) from error

    def stop(self) -> None:
        """End the processes."""
        self.loader = None  # DataLoader ends them when it is collected

    def _begin(self) -> Iterator[Any]:
        if self.loader is not None:
            return iter(self.loader)
        workers, ahead = _fit(self.workers, self.decoder, self.sharing)
        self.loader = DataLoader(
            _Remote(self.decoder),
            batch_sampler=self.batches,
            num_workers=workers,
            collate_fn=_as_it_is,
            pin_memory=torch.cuda.is_available(),
            prefetch_factor=ahead,
            worker_init_fn=partial(_start_worker, self.on_start),
            multiprocessing_context="spawn",  # a fork would inherit the parent's GPU and its locks
            persistent_workers=True,
        )
        iterator, self.started = _started(self.loader, self.decoder)
        return iterator


def _fit(workers: int, decoder: Decoder, sharing: int) -> tuple[int, int]:
    """How many processes, and how many batches each may have ready: SHARED must hold these and the current one."""
    room = _room(sharing)
    if room is None:
        return workers, AHEAD
    batches = room // decoder.bytes() - 1
    if batches < 1:
        smaller = room * decoder.batch // (2 * decoder.bytes())
        advice = f"; or set [compute] batch_size = {smaller} in luigi.cfg" if smaller else ""
        raise ModelError(f"{_no_room(decoder, 'two must fit')}{advice}.")
    fitting = min(workers, batches)
    if fitting < workers:
        logger.warning(
            f"{SHARED} has room for {batches + 1} batches: {fitting} of {workers} processes decode. "
            f"More room: {MORE_ROOM}"
        )
    return fitting, min(AHEAD, batches // fitting)


def _room(sharing: int) -> int | None:
    """Bytes of SHARED for this process, one of `sharing` that use it; None where nothing limits them."""
    if not SHARED.is_dir() or not (disk := os.statvfs(SHARED)).f_blocks:
        return None
    return max(0, min(disk.f_bavail, disk.f_blocks // sharing) * disk.f_frsize - SPARE)


def _no_room(decoder: Decoder, what: str) -> str:
    disk = os.statvfs(SHARED)
    free, size = disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize
    return (
        f"{SHARED}, where decoded pictures are handed over, has {free:,} of {size:,} bytes free; a batch of "
        f"{decoder.batch} pictures takes {decoder.bytes():,}, and {what}. Give it more: {MORE_ROOM}"
    )


class _Packed:
    """A batch on its way from a decoding process, in shared memory that is allocated when this is made.

    A queue would allocate it in a thread, drop the batch if that fails, and leave the parent waiting.
    """

    def __init__(self, decoded: Decoded) -> None:
        self.content = bytes(ForkingPickler.dumps(decoded))

    def pin_memory(self) -> Decoded:
        """Called by DataLoader, in the parent."""
        decoded: Decoded = ForkingPickler.loads(self.content)
        return decoded._replace(pixels=decoded.pixels.pin_memory())

    def unpack(self) -> Decoded:
        """A copy: the shared memory is given back at once."""
        decoded: Decoded = ForkingPickler.loads(self.content)
        return decoded._replace(pixels=decoded.pixels.clone())


class _Remote(Dataset[Any]):
    """What a decoding process does; the method's name is the one that DataLoader looks for."""

    def __init__(self, decoder: Decoder) -> None:
        self.decoder = decoder

    def __getitems__(self, indices: list[int]) -> _Packed | ModelError:
        """A batch, or the error that ends the extraction: raised, it would arrive as a traceback."""
        try:
            return self._pack(self.decoder(indices))
        except ModelError as error:
            return error

    def _pack(self, decoded: Decoded) -> _Packed:
        try:
            return _Packed(decoded)
        except (RuntimeError, OSError) as error:
            why = str(error).splitlines()[0]
            message = f"a decoding process can't hand over its batch: {why}"
            if os.strerror(errno.ENOSPC) in why:
                message = _no_room(self.decoder, f"was refused ({why})")
            elif "AF_UNIX" in why:  # the handles of shared memory go through a socket in TMPDIR
                message += f"; set TMPDIR to a shorter path than {tempfile.gettempdir()}"
            raise ModelError(f"{message}. Finished shards are kept.") from error


class _Given(list[list[int]]):
    """Batches that are made on demand; DataLoader expects a list."""

    given: Iterator[list[int]] = iter(())

    def __iter__(self) -> Iterator[list[int]]:
        return self.given


def _as_it_is(decoded: Any) -> Any:
    return decoded


def _one_thread() -> None:
    torch.set_num_threads(1)


def _start_worker(on_start: Callable[[], None] | None, worker: int) -> None:
    if on_start is not None:
        on_start()
    _one_thread()


def _started(loader: DataLoader[Any], decoder: Decoder) -> tuple[Iterator[Any], set[BaseProcess]]:
    """The loader's batches, and its processes.

    torch would raise their death in a signal handler, in the middle of whatever runs. Without that the loader notices
    within seconds, where it waits for the next batch.
    """
    others, handler = set(multiprocessing.active_children()), signal.getsignal(signal.SIGCHLD)
    try:
        iterator = iter(loader)
    except OSError as error:  # the locks of its queues lie in SHARED too
        raise ModelError(f"{_no_room(decoder, f'its queue was refused ({error.strerror})')}.") from error
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGCHLD, handler or signal.SIG_DFL)
    return iterator, set(multiprocessing.active_children()) - others


def _obituary(exitcode: int) -> str:
    hints = {
        -signal.SIGKILL: " Was memory short? A smaller [compute] batch_size needs less.",
        -signal.SIGBUS: f" Is {SHARED} full? Give it more: {MORE_ROOM}.",
    }
    return (
        f"a process that decodes pictures {ending(exitcode)}.{hints.get(exitcode, '')} "
        "Finished shards are kept: run the same again."
    )
