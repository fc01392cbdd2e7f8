"""Shards in spawned processes of this machine, one a device."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import traceback
from collections.abc import Callable
from functools import partial
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from data.base.errors import DataError, ModelError, ending, refusal
from data.base.garbage import collect_rarely
from data.base.progress import Progress
from tasks.extraction.job import Arithmetic, Extraction
from tasks.extraction.scheduling import agree, finished_pictures, kept_batch
from tasks.extraction.shard_files import missing_shards
from tasks.extraction.shards import extract_shards, prepare
from tasks.setup.process import die_with_parent

logger = logging.getLogger("luigi-interface")


class _Child:
    """A spawned process that works on one device."""

    def __init__(self, extraction: Extraction, device: str) -> None:
        # A fork would inherit locks, threads and a touched GPU.
        context = multiprocessing.get_context("spawn")
        self.device = device or extraction.device
        self.pipe, far = context.Pipe()
        words = (far, extraction, device, os.getpid())
        self.process = context.Process(target=_work, args=words, daemon=True)  # an exit does not wait for it
        # Ctrl-C is for the parent, which then ends this one: blocked in the child from the start. The tracker that
        # start() would start unblocks it.
        resource_tracker.ensure_running()
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            self.process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        far.close()  # so that the child's end closes with the child

    def receive(self) -> tuple[Any, ...]:
        """Its next message; an error in the child is raised here."""
        try:
            message: tuple[Any, ...] = self.pipe.recv()
        except EOFError:
            self.process.join()
            raise DataError(self._obituary()) from None
        if message[0] == "error":
            raise {"DataError": DataError, "ModelError": ModelError}[message[1]](*message[2:])
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


def run_local(extraction: Extraction, progress: Progress) -> Arithmetic:
    """One child says what devices there are; the rest follow, and each gets every n-th missing shard."""
    children = [_Child(extraction, "")]
    try:
        _, settings, others, left_out = children[0].receive()
        if left_out:
            logger.warning(left_out)
        most = len(missing_shards(extraction, kept_batch(extraction, settings)))
        children += [_Child(extraction, device) for device in others[: max(0, most - 1)]]
        settings = agree([settings, *(child.receive()[1] for child in children[1:])])
        settings = kept_batch(extraction, settings)
        missing = missing_shards(extraction, settings)
        for number, child in enumerate(children):
            child.pipe.send((settings, missing[number :: len(children)], len(children)))
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
    collect_rarely()
    multiprocessing.current_process().daemon = False  # a daemon could not start decoders for a GPU
    _reporting(pipe, extraction.work, lambda: _extract(pipe, extraction, device))


def _extract(pipe: Connection, extraction: Extraction, device: str) -> None:
    settings = prepare(extraction, device)
    others, left_out = ([], "") if device else _other_devices(extraction, settings)
    pipe.send(("ready", settings, others, left_out))
    settings, shards, sharing = pipe.recv()
    heard = partial(_hear, pipe)
    for _ in extract_shards(extraction, settings, shards, device, heard, sharing) if shards else ():
        pass
    pipe.send(("end",))


def _hear(pipe: Connection, pictures: int) -> None:
    pipe.send(("pictures", pictures))


def _other_devices(extraction: Extraction, settings: Arithmetic) -> tuple[list[str], str]:
    """The GPUs besides the first, and a line about those that are left out. A CPU is served by one process."""
    from models.devices import other_gpus

    return other_gpus(extraction.device) if settings.device == "cuda" else ([], "")


def _reporting(pipe: Connection, work: Path, function: Callable[[], None]) -> None:
    """Call `function`; tell the other end why it failed."""
    try:
        function()
    except (DataError, ModelError) as error:
        kind = "DataError" if isinstance(error, DataError) else "ModelError"
        pipe.send(("error", kind, *error.args))
    except OSError as error:
        pipe.send(("error", "DataError", f"{refusal(error, work)}. Finished shards are kept."))
    except Exception:
        pipe.send(
            ("error", "DataError", "extraction failed unexpectedly:", *traceback.format_exc().split("\n"))
        )
