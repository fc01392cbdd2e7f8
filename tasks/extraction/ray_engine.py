"""Shards on a Ray cluster: an actor a GPU, or as many as the CPUs hold; those that live do what lost ones leave."""

from __future__ import annotations

import logging
import socket
import textwrap
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from data.base.errors import DataError, ModelError
from data.base.progress import Progress
from models.openmp import spin_briefly
from tasks.extraction.job import Arithmetic, Extraction
from tasks.extraction.scheduling import (
    ATTEMPTS,
    Node,
    Queue,
    Request,
    actor_request,
    advice,
    agree,
    finished_pictures,
    free_of,
    unfit,
)
from tasks.extraction.shard_files import is_finished, missing_shards
from tasks.extraction.shards import extract_shards, prepare

if TYPE_CHECKING:
    from ray.actor import ActorHandle

logger = logging.getLogger("luigi-interface")

GPU_SHARDS = 64  # handed out at a time: with fewer, starting the decoders would cost more than the work
PATIENCE = 120.0  # seconds without any actor that has a place
LOOK = 5.0  # seconds after which the nodes are looked at again, though nothing has ended
SAY = 30.0  # seconds between two lines of what is waited for


def run_ray(extraction: Extraction, address: str, progress: Progress, checking: Progress) -> Arithmetic:
    """Do the missing shards in actors; `address` as ray.init takes it, nothing for this machine alone.

    The work folder, the pictures and the weights must lie where every node sees them under the same path.
    Raises DataError where no actor finds a place for PATIENCE seconds, or actors die again and again.
    """
    ray = _ray()
    started_here = not ray.is_initialized()
    if started_here:
        _connect(ray, address)
    try:
        return _Cluster(ray, extraction, progress).run(checking)
    except ray.exceptions.RayError as error:
        raise DataError(f"Ray failed, finished shards are kept: {_short(error)}") from None
    finally:
        if started_here:
            ray.shutdown()


def _ray() -> Any:
    try:
        import ray
    except ImportError as error:
        raise DataError(
            "[compute] engine = ray: Ray is not installed. Type: pip install -e '.[ray]', or use local."
        ) from error
    return ray


def _connect(ray: Any, address: str) -> None:
    """Join the cluster at `address`, or start one here; DataError where nobody answers: Ray would try for minutes."""
    host, _, port = address.rpartition("/")[2].rpartition(":")
    try:
        if host and port.isdigit():
            socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
        ray.init(address=address or None, log_to_driver=False, configure_logging=False)
    except (OSError, ValueError, RuntimeError) as error:  # Ray's ConnectionError is an OSError
        what = f"[compute] ray_address = {address}" if address else "Ray could not start here"
        hint = ". Does the cluster run (ray status), and is this its address?" if address else ""
        raise DataError(f"{what}: {_short(error)}{hint}") from None


class Worker:
    """What an actor is: one process with a loaded backbone."""

    def __init__(self, extraction: Extraction) -> None:
        spin_briefly()
        self.extraction = extraction

    def prepare(self) -> Arithmetic:
        return prepare(self.extraction)

    def extract(self, settings: Arithmetic, shards: list[int]) -> None:
        """Do those of `shards` that are not done: after a loss, some of them are."""
        left = [shard for shard in shards if not is_finished(self.extraction, settings, shard)]
        for _ in extract_shards(self.extraction, settings, left):
            pass


class _Lost(Exception):
    """An actor, its node or its memory is gone. The text is Ray's."""


class _Call(NamedTuple):
    """What an actor is at: to find a place and start, to prepare, or to extract shards."""

    step: str
    actor: ActorHandle
    shards: list[int]


class _Cluster:
    """The actors, what each is doing, and what is left."""

    def __init__(self, ray: Any, extraction: Extraction, progress: Progress) -> None:
        self.ray, self.extraction, self.progress = ray, extraction, progress
        self.shared = ray.put(extraction)  # once, not once an actor
        self.request: Request | None = None  # the same for every actor
        self.calls: dict[Any, _Call] = {}
        self.ready: list[ActorHandle] = []  # prepared, and without work
        self.offers: list[Arithmetic] = []  # of those that were there when all agreed
        self.settings: Arithmetic | None = None  # that all have agreed on
        self.queue = Queue([], 1)
        self.failures = 0  # to start an actor, in a row
        self.known: set[str] = set()  # nodes that were ever there
        self.placed_at = self.said_at = time.monotonic()
        self.said = ""
        self.done = 0  # pictures

    def run(self, checking: Progress) -> Arithmetic:
        """Agree with the actors that have room now, then hand out shards; others join while they work."""
        try:
            while not self.ready or self._count("prepare"):
                self._follow()
            self.settings = settings = agree(self.offers)
            missing = missing_shards(self.extraction, settings, checking)
            self.queue = Queue(missing, GPU_SHARDS if self.request and self.request.gpus else 1)
            self.done = finished_pictures(self.extraction, missing)
            self._show()
            while self.queue or self._count("extract"):
                self._hand_out()
                self._follow()
            return settings
        finally:
            for actor in [*self.ready, *(call.actor for call in self.calls.values())]:
                self.ray.kill(actor)  # else its CPUs are free only when nobody holds this object any more

    def _show(self) -> None:
        self.progress(self.done, len(self.extraction.images.ids), "")

    def _count(self, step: str) -> int:
        return sum(call.step == step for call in self.calls.values())

    def _hand_out(self) -> None:
        while self.ready and self.queue:
            actor, shards = self.ready.pop(), self.queue.take()
            self.calls[actor.extract.remote(self.settings, shards)] = _Call("extract", actor, shards)

    def _follow(self) -> None:
        """Ask for the actors that fit, then wait for a call to end, for some seconds at most, and see to it."""
        nodes = self._nodes()
        self._ask(nodes)
        self._be_patient(nodes)
        if not self.calls:
            time.sleep(LOOK)
            return
        for ended in self.ray.wait(list(self.calls), timeout=LOOK)[0]:
            call = self.calls.pop(ended)
            try:
                self._go_on(call, self._result(call, ended))
            except _Lost as lost:
                self._replace(call, str(lost))

    def _nodes(self) -> list[Node]:
        from ray._private.state import available_resources_per_node

        free = available_resources_per_node()
        return [
            Node(
                node["NodeID"],
                node["NodeName"],
                *(node["Resources"].get(kind, 0) for kind in ("CPU", "GPU")),
                *(free.get(node["NodeID"], {}).get(kind, 0) for kind in ("CPU", "GPU")),
            )
            for node in self.ray.nodes()
            if node["Alive"]
        ]

    def _ask(self, nodes: list[Node]) -> None:
        """Ask for as many actors as the nodes hold and there is work for: Ray starts each when it has a place."""
        if new := {node.id for node in nodes} - self.known:
            self.known |= new
            self.failures = 0  # on them it may go better
        if not self.calls and not self.ready:
            self.request = actor_request(nodes, self.extraction.device, self.extraction.threads)
        assert self.request
        actor = self.ray.remote(num_gpus=self.request.gpus, num_cpus=self.request.cpus)(Worker)
        while self.failures < ATTEMPTS and self._actors() < self._wanted(nodes):
            handle = actor.remote(self.shared)
            self.calls[handle.__ray_ready__.remote()] = _Call("start", handle, [])

    def _actors(self) -> int:
        return len(self.calls) + len(self.ready)

    def _wanted(self, nodes: list[Node]) -> int:
        assert self.request
        work = len(self.queue) + self._count("extract") if self.settings else self.extraction.shards()
        return min(sum(map(self.request.fitting, nodes)), work)

    def _be_patient(self, nodes: list[Node]) -> None:
        """Say now and then what is waited for; DataError where no actor has had a place for too long."""
        assert self.request
        now, placed = time.monotonic(), self._actors() - self._count("start")
        if placed:
            self.placed_at = now
        text = f"each asks for {self.request} on one node; free: {free_of(nodes, self.request)}"
        if now - self.placed_at > PATIENCE:
            raise DataError(
                f"no Ray actor has had a place for {PATIENCE:g} s: {text}. {advice(nodes, self.request)}, and run "
                "the same again. Finished shards are kept."
            )
        wanted = max(1, self._wanted(nodes))
        text = f"waiting for {wanted - placed} of {wanted} Ray actors: {text}"
        if placed < wanted and now - self.said_at > SAY and (not placed or text != self.said):
            self.said_at, self.said = now, text
            logger.warning(text)

    def _result(self, call: _Call, ended: Any) -> Any:
        """What a call gave; an error of our own as it was. _Lost where the actor is gone, or too late to matter."""
        try:
            return self.ray.get(ended)
        except self.ray.exceptions.RayTaskError as error:
            if self.settings and call.step == "prepare":
                raise _Lost(str(_expected(error))) from None
            raise _expected(error) from None
        except self.ray.exceptions.RayError as error:
            raise _Lost(_short(error)) from None

    def _go_on(self, call: _Call, result: Any) -> None:
        """Let an actor do the next thing after it has found a place, prepared, or done its shards."""
        if call.step == "start":
            self.calls[call.actor.prepare.remote()] = call._replace(step="prepare")
            return
        if call.step == "prepare":
            self._join(result)
        else:
            self.done += sum(len(self.extraction.rows(shard)) for shard in call.shards)
            self._show()
        self.ready.append(call.actor)

    def _join(self, own: Arithmetic) -> None:
        """Take the settings of an actor that has prepared; _Lost where it comes late and can't keep those agreed on."""
        if self.settings and (reason := unfit(own, self.settings)):
            raise _Lost(reason)
        self.offers.append(own)
        self.failures = 0

    def _replace(self, call: _Call, reason: str) -> None:
        """Leave what an actor did to the others, and its place to a new one. DataError at the third time."""
        self.ray.kill(call.actor)  # it may still hold its place, or come back after a break of the network
        if call.step == "extract":
            self.failures = 0  # its place is a good one
            if not self.queue.give_back(call.shards):
                raise DataError(self._hopeless(call.shards, reason))
            return
        self.failures += 1
        logger.warning("a Ray actor is left out: %s", reason)
        if self.failures >= ATTEMPTS and not self._actors():
            raise DataError(
                f"{ATTEMPTS} Ray actors in a row could not start. Finished shards are kept. The last: {reason}"
            )

    def _hopeless(self, shards: list[int], reason: str) -> str:
        names = self.extraction.images.names
        first, last = self.extraction.rows(shards[0])[0], self.extraction.rows(shards[-1])[-1]
        return (
            f"shards {shards[0]} to {shards[-1]} ({names[first]} to {names[last]}): the actor died {ATTEMPTS} times. "
            f"Finished shards are kept. Ray says: {reason}"
        )


def _expected(error: Any) -> Exception:
    """The failure that a task raised, as ours where it was ours."""
    cause = error.cause
    if isinstance(cause, DataError | ModelError):
        return type(cause)(str(cause))
    return DataError(f"extraction failed unexpectedly on a Ray worker:\n{error}")


def _short(error: BaseException) -> str:
    """The last line of an error, where Ray says why; all of it in about three lines."""
    return textwrap.shorten((str(error) or type(error).__name__).splitlines()[-1], 300)
