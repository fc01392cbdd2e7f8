"""Rules for handing out shards, without Ray: what holds for all, what fits a cluster, which actor gets which."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, replace

from data.base.errors import DataError, ModelError
from models.backbones.names import BATCH
from tasks.extraction.job import Arithmetic, Extraction
from tasks.extraction.shard_files import begun_settings

ATTEMPTS = (
    3  # at the same thing where an actor dies: a machine may be lost twice, a picture that kills always does
)
NAMED = 8  # nodes in a message: nobody reads a thousand


def agree(proposed: list[Arithmetic]) -> Arithmetic:
    """Settings for all who take part: the smallest batch. ModelError where processors or versions differ."""
    batch = min(settings.batch for settings in proposed)
    same = {replace(settings, batch=batch) for settings in proposed}
    if len(same) > 1:
        raise ModelError(
            "the processors that take part would not give the same bits (use machines of one kind, set [compute] "
            "device, precision and threads, and of several GPUs leave some out with CUDA_VISIBLE_DEVICES): "
            + "; ".join(sorted(map(str, same)))
        )
    return same.pop()


def kept_batch(extraction: Extraction, settings: Arithmetic) -> Arithmetic:
    """`settings` with the batch of unfinished work, where it was the GPU's free memory that decided the batch.

    How much is free changes from run to run, and rows of different batches are never merged. ModelError where that
    work's batch has no room now.
    """
    wanted = min(extraction.batch or BATCH["cuda"], extraction.shard)
    if settings.device != "cuda" or settings.batch == extraction.batch:
        return settings
    begun = begun_settings(extraction.work)
    alike = [
        earlier
        for earlier in begun
        if replace(earlier, batch=settings.batch) == settings and earlier.batch <= wanted
    ]
    if not alike or (kept := max(alike, key=begun.__getitem__)).batch == settings.batch:
        return settings
    if kept.batch > settings.batch:
        raise ModelError(
            f"the GPU has room for batches of {settings.batch} pictures now, and the finished shards were made in "
            f"batches of {kept.batch}. End what else uses it, or set [compute] batch_size = {settings.batch} to do "
            "them again."
        )
    return kept


def finished_pictures(extraction: Extraction, missing: list[int]) -> int:
    """Pictures in the shards that are done already."""
    return len(extraction.images.ids) - sum(len(extraction.rows(shard)) for shard in missing)


def unfit(own: Arithmetic, agreed: Arithmetic) -> str:
    """Why an actor that comes late can't work under `agreed`; '' where it can. Its own batch may be larger."""
    if replace(own, batch=agreed.batch) != agreed:
        return f"it would give other bits: it works under {own}, the others under {agreed}"
    if own.batch < agreed.batch:
        return f"it has room for batches of {own.batch}, the others work with {agreed.batch}"
    return ""


@dataclass(frozen=True)
class Node:
    """A living machine of a cluster: what it has, and what of that is free."""

    id: str
    name: str
    cpus: float
    gpus: float
    free_cpus: float
    free_gpus: float


@dataclass(frozen=True)
class Request:
    """What one actor asks for; it has to come from one node."""

    cpus: int
    gpus: int = 0

    def __str__(self) -> str:
        cpus = f"{self.cpus} CPU" + "s" * (self.cpus > 1)
        return f"{self.gpus} GPU and {cpus}" if self.gpus else cpus

    def fitting(self, node: Node) -> int:
        """How many such actors an empty node holds."""
        by_cpus = int(node.cpus // self.cpus)
        return min(by_cpus, int(node.gpus // self.gpus)) if self.gpus else by_cpus


def refuse_numbers(device: str) -> None:
    """DataError for cuda:1 and the like, which mean nothing to a cluster."""
    if ":" in device:
        raise DataError(
            f"[compute] device = {device}: Ray gives each actor its GPU. Set device = cuda; to leave some out, set "
            "CUDA_VISIBLE_DEVICES where ray start is typed."
        )


def actor_request(nodes: list[Node], device: str, threads: int) -> Request:
    """A GPU with a CPU where there are GPUs or one is asked for; else `threads` CPUs, 0: all of the smallest node.

    Where no node has as many CPUs as threads are wanted, all of the largest: Ray would wait for more for ever.
    """
    if device.startswith("cuda") or (device != "cpu" and any(node.gpus >= 1 for node in nodes)):
        return Request(cpus=1, gpus=1)
    cpus = [int(node.cpus) for node in nodes if node.cpus >= 1]
    return Request(min(threads or min(cpus, default=1), max(cpus, default=1)))


def free_of(nodes: list[Node], request: Request) -> str:
    """'10.0.0.1 1 of 3 CPUs, 10.0.0.2 0 of 3 CPUs'; with GPUs where they are asked for.

    Nodes that can't hold an actor are listed only where there is no other.
    """
    nodes = [node for node in nodes if request.fitting(node)] or nodes
    told = [
        f"{node.name} {node.free_cpus:g} of {node.cpus:g} CPUs"
        + (f" and {node.free_gpus:g} of {node.gpus:g} GPUs" if request.gpus else "")
        for node in nodes[:NAMED]
    ]
    more = [f"{len(nodes) - NAMED} more nodes"] if len(nodes) > NAMED else []
    return ", ".join(told + more) or "no node"


def advice(nodes: list[Node], request: Request) -> str:
    """What to do when no actor finds a place."""
    largest = max((int(node.free_cpus) for node in nodes), default=0)
    fewer = request.gpus == 0 and 1 <= largest < request.cpus
    return (f"Set [compute] threads = {largest}, end" if fewer else "End") + (
        " what else uses the cluster, or add a node"
    )


class Queue:
    """Shards that are not done. What is given back comes next."""

    def __init__(self, shards: list[int]) -> None:
        self.waiting = deque(shards)
        self.lost: Counter[int] = Counter()

    def __len__(self) -> int:
        return len(self.waiting)

    def take(self) -> int:
        """The next one."""
        return self.waiting.popleft()

    def give_back(self, shards: list[int]) -> bool:
        """Put back what was lost with an actor. False, and it is not, where one has been lost ATTEMPTS times."""
        self.lost.update(shards)
        if max(self.lost[shard] for shard in shards) >= ATTEMPTS:
            return False
        self.waiting.extendleft(reversed(shards))
        return True
