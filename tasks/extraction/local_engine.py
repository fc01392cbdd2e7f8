"""Shards in spawned processes of this machine, one a device."""

from __future__ import annotations

import multiprocessing
import os
import signal
import traceback
from collections.abc import Callable
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from data.base.errors import DataError, ModelError, ending, refusal
from data.base.progress import Progress
from tasks.extraction.job import Arithmetic, Extraction
from tasks.extraction.scheduling import agree, finished_pictures
from tasks.extraction.shard_files import missing_shards
from tasks.extraction.shards import extract_shards, prepare
from tasks.setup.process import die_with_parent


class _Child:
    """A spawned process that works on one device."""

    def __init__(self, extraction: Extraction, device: str) -> None:
        # A fork would inherit locks, threads and a touched GPU.
        context = multiprocessing.get_context("spawn")
        self.device = device or extraction.device
        self.pipe, far = context.Pipe()
        words = (far, extraction, device, os.getpid())
        self.process = context.Process(target=_work, args=words, daemon=True)  # an exit does not wait for it
        # Ctrl-C is for the parent, which then ends this one: blocked from the child's first moment. The tracker that
        # start() would start unblocks it.
        resource_tracker.ensure_running()
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            self.process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        far.close()  # so that the child's end closes with the child

    def receive(self) -> tuple[Any, ...]:
        """Its next message; an error of its own is raised here."""
        try:
            message: tuple[Any, ...] = self.pipe.recv()
        except EOFError:
            self.process.join()
            raise DataError(self._obituary()) from None
        if message[0] == "error":
            raise {"DataError": DataError, "ModelError": ModelError}[message[1]](message[2])
        return message

    def _obituary(self) -> str:
        code = self.process.exitcode or 0
        hint = (
            " Was memory short? A smaller [compute] batch_size needs less." if code == -signal.SIGKILL else ""
        )
        return (
            f"the process that extracts on {self.device} {ending(code)}.{hint} "
            "Finished shards are kept: run the same again."
        )

    def stop(self) -> None:
        self.process.kill()
        self.process.join()
        self.pipe.close()


def run_local(extraction: Extraction, progress: Progress, checking: Progress) -> Arithmetic:
    """One child says what devices there are; the rest follow, and each gets every n-th missing shard."""
    children = [_Child(extraction, "")]
    try:
        _, settings, others = children[0].receive()
        children += [_Child(extraction, device) for device in others]
        settings = agree([settings, *(child.receive()[1] for child in children[1:])])
        missing = missing_shards(extraction, settings, checking)
        for number, child in enumerate(children):
            child.pipe.send((settings, missing[number :: len(children)]))
        _follow(children, finished_pictures(extraction, missing), len(extraction.images.ids), progress)
    finally:
        for child in children:
            child.stop()
    return settings


def _follow(children: list[_Child], done: int, total: int, progress: Progress) -> None:
    """Count pictures until every child has ended."""
    working = {child.pipe: child for child in children}
    progress(done, total, "")
    while working:
        for pipe in wait(list(working)):
            what, *rest = working[pipe].receive()  # type: ignore[index]
            if what == "pictures":
                done += rest[0]
                progress(done, total, "")
            elif what == "end":
                del working[pipe]  # type: ignore[arg-type]


def _work(pipe: Connection, extraction: Extraction, device: str, parent: int) -> None:
    """The child's whole life."""
    die_with_parent(parent)
    multiprocessing.current_process().daemon = False  # else it might not start decoders for a GPU
    _reporting(pipe, extraction.work, lambda: _extract(pipe, extraction, device))


def _extract(pipe: Connection, extraction: Extraction, device: str) -> None:
    settings = prepare(extraction, device)
    pipe.send(("ready", settings, [] if device else _other_devices(extraction, settings)))
    settings, shards = pipe.recv()
    for _ in extract_shards(
        extraction, settings, shards, device, lambda pictures: pipe.send(("pictures", pictures))
    ):
        pass
    pipe.send(("end",))


def _other_devices(extraction: Extraction, settings: Arithmetic) -> list[str]:
    """The GPUs besides the first, unless one was asked for by number. A CPU is served by one process."""
    import torch

    if settings.device != "cuda" or ":" in extraction.device:
        return []
    return [f"cuda:{number}" for number in range(1, torch.cuda.device_count())]


def _reporting(pipe: Connection, work: Path, function: Callable[[], None]) -> None:
    """Call `function`; tell the other end why it failed."""
    try:
        function()
    except (DataError, ModelError) as error:
        kind = "DataError" if isinstance(error, DataError) else "ModelError"
        pipe.send(("error", kind, str(error)))
    except OSError as error:
        pipe.send(("error", "DataError", f"{refusal(error, work)}. Finished shards are kept."))
    except Exception:
        pipe.send(("error", "DataError", f"extraction failed unexpectedly:\n{traceback.format_exc()}"))
