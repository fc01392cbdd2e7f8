"""A Ray actor: one process that does the shards it is given."""

from __future__ import annotations

import threading
from typing import NamedTuple

from data.base.garbage import collect_rarely
from models.openmp import spin_briefly
from tasks.extraction.job import Arithmetic, Extraction
from tasks.extraction.shard_files import is_finished
from tasks.extraction.shard_line import ShardLine
from tasks.extraction.shards import Extractor, prepare, shards_ahead

THREADS = 64  # of an actor: shards that it can have at a time, most of which wait for their turn


class Offer(NamedTuple):
    """An actor's answer when it is ready: the settings that it works under, and how many shards it wants at a time
    so that its decoders always have the next ones to do."""

    settings: Arithmetic
    shards: int


class Worker:
    """One process with a loaded backbone, and decoders that live as long as it does.

    Its methods run in threads, as many as it wants shards at a time.
    """

    def __init__(self, extraction: Extraction) -> None:
        spin_briefly()
        collect_rarely()
        self.extraction = extraction
        self.line: ShardLine | None = None
        self.lock = threading.Lock()

    def prepare(self) -> Offer:
        settings = prepare(self.extraction)
        return Offer(settings, shards_ahead(self.extraction, settings, self._sharing()))

    def extract(self, settings: Arithmetic, shard: int) -> None:
        """Do a shard if it is not done: after a loss, it may be."""
        if is_finished(self.extraction, settings, shard):
            return
        with self.lock:
            if self.line is None:
                extractor = Extractor(self.extraction, settings, sharing=self._sharing())
                self.line = ShardLine(extractor.extract)
        self.line.do(shard)

    def _sharing(self) -> int:
        """How many actors of this run may be on this node: where there are GPUs, each has one."""
        import ray

        here = ray.get_runtime_context().get_node_id()
        gpus = [node["Resources"].get("GPU", 0) for node in ray.nodes() if node["NodeID"] == here]
        return max(1, min(int(sum(gpus)), self.extraction.shards()))
