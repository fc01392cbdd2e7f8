"""Rules of handing out shards, without a word of Ray: what holds for all, what fits a cluster, who gets which."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, replace

from data.base.errors import ModelError
from tasks.extraction.job import Arithmetic, Extraction

ATTEMPTS = (
    3  # at the same thing where an actor dies: a machine may be lost twice, a picture that kills always does
)
NAMED = 8  # nodes in a message: of a thousand nobody reads more


def agree(found: list[Arithmetic]) -> Arithmetic:
    """Settings for all who take part: the smallest batch. ModelError where processors or versions differ."""
    batch = min(settings.batch for settings in found)
    same = {replace(settings, batch=batch) for settings in found}
    if len(same) > 1:
        raise ModelError(
            "the processors that take part would not give the same bits (use machines of one kind and set "
            "[compute] device, precision and threads): " + "; ".join(sorted(map(str, same)))
        )
    return same.pop()


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
    """A living machine of a cluster: what it has, and what of it nobody holds."""

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
        """How many such actors a node holds, whoever else is on it."""
        by_cpus = int(node.cpus // self.cpus)
        return min(by_cpus, int(node.gpus // self.gpus)) if self.gpus else by_cpus


def actor_request(nodes: list[Node], device: str, threads: int) -> Request:
    """A GPU with a CPU where there are GPUs or one is asked for; else `threads` CPUs, 0: all of the smallest node.

    Where no node has as many CPUs as there are to be threads, all of the largest: Ray would wait for ever for more.
    """
    if device.startswith("cuda") or (device != "cpu" and any(node.gpus >= 1 for node in nodes)):
        return Request(cpus=1, gpus=1)
    cpus = [int(node.cpus) for node in nodes if node.cpus >= 1]
    return Request(min(threads or min(cpus, default=1), max(cpus, default=1)))


def free_of(nodes: list[Node], request: Request) -> str:
    """'10.0.0.1 1 of 3 CPUs, 10.0.0.2 0 of 3 CPUs'; with GPUs where they are asked for.

    Nodes that never hold an actor are told of where there is no other.
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
    """What mends it that no actor finds a place."""
    largest = max((int(node.free_cpus) for node in nodes), default=0)
    fewer = request.gpus == 0 and 1 <= largest < request.cpus
    return (f"Set [compute] threads = {largest}, end" if fewer else "End") + (
        " what else uses the cluster, or add a node"
    )


class Queue:
    """Shards that are not done, a handful at a time. One that is given back comes next."""

    def __init__(self, shards: list[int], size: int) -> None:
        self.waiting = deque(shards[first : first + size] for first in range(0, len(shards), size))
        self.lost: Counter[int] = Counter()

    def __len__(self) -> int:
        return len(self.waiting)

    def take(self) -> list[int]:
        """The next handful."""
        return self.waiting.popleft()

    def give_back(self, shards: list[int]) -> bool:
        """Put back what was lost with an actor. False, and it is not, where it has been lost ATTEMPTS times."""
        self.lost[shards[0]] += 1
        if self.lost[shards[0]] >= ATTEMPTS:
            return False
        self.waiting.appendleft(shards)
        return True
