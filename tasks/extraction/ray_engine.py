"""Shards on a Ray cluster: an actor per GPU, or as many as the CPUs hold; living ones take over from lost ones."""

from __future__ import annotations

import logging
import signal
import socket
import textwrap
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

from data.base.errors import DataError, ModelError, refusal
from data.base.progress import Progress
from tasks.extraction.job import Arithmetic, Extraction
from tasks.extraction.ray_worker import THREADS, Offer, Worker
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
    kept_batch,
    refuse_numbers,
    unfit,
)
from tasks.extraction.shard_files import missing_shards

if TYPE_CHECKING:
    from ray.actor import ActorHandle

logger = logging.getLogger("luigi-interface")

PATIENCE = 120.0  # seconds without any actor that has a place
LOOK = 5.0  # seconds after which the nodes are looked at again, though nothing has ended
SAY = 30.0  # seconds between two lines of what is waited for


def run_ray(extraction: Extraction, address: str, progress: Progress) -> Arithmetic:
    """Do the missing shards in actors; `address` as ray.init takes it, nothing for this machine alone.

    The work folder, the pictures and the weights must lie where every node sees them under the same path.
    Raises DataError where no actor finds a place for PATIENCE seconds, or actors die again and again.
    """
    refuse_numbers(extraction.device)
    ray = _ray()
    started_here = not ray.is_initialized()
    if started_here:
        _connect(ray, address)
    try:
        return _Cluster(ray, extraction, progress).run()
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
    """Join the cluster at `address`, or start one here; DataError where nothing answers: Ray would try for minutes."""
    host, _, port = address.rpartition("/")[2].rpartition(":")
    ours = signal.getsignal(signal.SIGTERM)
    try:
        if host and port.isdigit():
            socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
        ray.init(address=address or None, log_to_driver=False, configure_logging=False)
    except (OSError, ValueError, RuntimeError) as error:  # Ray's ConnectionError is an OSError
        what = f"[compute] ray_address = {address}" if address else "Ray could not start here"
        hint = ". Does the cluster run (ray status), and is this its address?" if address else ""
        raise DataError(f"{what}: {_short(error)}{hint}") from None
    if ours and threading.current_thread() is threading.main_thread():
        signal.signal(
            signal.SIGTERM, ours
        )  # Ray has put its own there, which Luigi takes for a stage's failure


class _Lost(Exception):
    """An actor, its node or its memory is gone. The text is Ray's."""


class _Call(NamedTuple):
    """What an actor is doing: waiting for a place to start, preparing, or extracting a shard."""

    step: str
    actor: ActorHandle
    shard: int = -1


class _Cluster:
    """The actors, what each is doing, and what is left."""

    def __init__(self, ray: Any, extraction: Extraction, progress: Progress) -> None:
        self.ray, self.extraction, self.progress = ray, extraction, progress
        self.shared = ray.put(extraction)  # once, not once an actor
        self.request: Request | None = None  # the same for every actor
        self.calls: dict[Any, _Call] = {}
        self.ready: dict[ActorHandle, int] = {}  # prepared, with the shards that each wants at a time
        self.offers: list[Arithmetic] = []  # of those that were there when all agreed
        self.settings: Arithmetic | None = None  # that all have agreed on
        self.queue = Queue([])
        self.failures = 0  # to start an actor, in a row
        self.known: set[str] = set()  # nodes that were ever there
        self.placed_at = self.said_at = time.monotonic()
        self.said = ""
        self.done = 0  # pictures

    def run(self) -> Arithmetic:
        """Agree with the actors that have room now, then hand out shards; others join while they work."""
        try:
            while not self.ready or self._count("prepare"):
                self._follow()
            self.settings = settings = kept_batch(self.extraction, agree(self.offers))
            missing = missing_shards(self.extraction, settings)
            self.queue = Queue(missing)
            self.done = finished_pictures(self.extraction, missing)
            self._show()
            while self.queue or self._count("extract"):
                self._hand_out()
                self._follow()
            return settings
        finally:
            for actor in {*self.ready, *(call.actor for call in self.calls.values())}:
                self.ray.kill(actor)  # else its CPUs are freed only when nothing refers to this object

    def _show(self) -> None:
        self.progress(self.done, len(self.extraction.images.ids), "")

    def _count(self, step: str) -> int:
        return sum(call.step == step for call in self.calls.values())

    def _hand_out(self) -> None:
        """Give each actor as many shards as it wants, first to those that have the fewest."""
        load = Counter(call.actor for call in self.calls.values() if call.step == "extract")
        while self.queue and (free := [actor for actor, most in self.ready.items() if load[actor] < most]):
            actor, shard = min(free, key=load.__getitem__), self.queue.take()
            self.calls[actor.extract.remote(self.settings, shard)] = _Call("extract", actor, shard)
            load[actor] += 1

    def _follow(self) -> None:
        """Ask for the actors that fit, then wait for a call to end, for some seconds at most, and see to it."""
        nodes = self._nodes()
        self._ask(nodes)
        self._be_patient(nodes)
        if not self.calls:
            time.sleep(LOOK)
            return
        for ended in self.ray.wait(list(self.calls), timeout=LOOK)[0]:
            if (call := self.calls.pop(ended, None)) is None:
                continue  # of an actor that another call has shown to be lost
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
            self.failures = 0  # it may work on the new ones
        if not self.calls and not self.ready:
            self.request = actor_request(nodes, self.extraction.device, self.extraction.threads)
        assert self.request
        words = {"num_gpus": self.request.gpus, "num_cpus": self.request.cpus, "max_concurrency": THREADS}
        actor = self.ray.remote(**words)(Worker)
        while self.failures < ATTEMPTS and self._actors() < self._wanted(nodes):
            handle = actor.remote(self.shared)
            self.calls[handle.__ray_ready__.remote()] = _Call("start", handle)

    def _actors(self) -> int:
        return len(self.ready) + self._count("start") + self._count("prepare")

    def _wanted(self, nodes: list[Node]) -> int:
        assert self.request
        work = len(self.queue) + self._count("extract") if self.settings else self.extraction.shards()
        return min(sum(map(self.request.fitting, nodes)), work)

    def _be_patient(self, nodes: list[Node]) -> None:
        """Log now and then what is waited for; DataError where no actor has had a place for too long."""
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
        """What a call returned; raises our own errors as they are, _Lost where the actor is gone or too late."""
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
            self._join(call.actor, result)
        else:
            self.done += len(self.extraction.rows(call.shard))
            self._show()

    def _join(self, actor: ActorHandle, offer: Offer) -> None:
        """Take an actor that has prepared; _Lost where it comes late and can't keep the settings agreed on."""
        if self.settings and (reason := unfit(offer.settings, self.settings)):
            raise _Lost(reason)
        self.offers.append(offer.settings)
        self.ready[actor] = min(offer.shards, THREADS)
        self.failures = 0

    def _replace(self, call: _Call, reason: str) -> None:
        """Give an actor's shards to the others, and its place to a new one. DataError at the third time."""
        self.ray.kill(call.actor)  # it may still hold its place, or come back after a break of the network
        self.ready.pop(call.actor, None)
        if call.step == "extract":
            self.failures = 0  # its place is a good one
            lost = sorted([call.shard, *self._taken_from(call.actor)])
            if not self.queue.give_back(lost):
                raise DataError(self._hopeless(lost, reason))
            return
        self.failures += 1
        logger.warning("a Ray actor is left out: %s", reason)
        if self.failures >= ATTEMPTS and not self._actors():
            raise DataError(
                f"{ATTEMPTS} Ray actors in a row could not start. Finished shards are kept. The last: {reason}"
            )

    def _taken_from(self, actor: ActorHandle) -> list[int]:
        """Take back the shards that an actor still had to do."""
        calls = {ref: call for ref, call in self.calls.items() if call.actor == actor}
        for ref in calls:
            del self.calls[ref]
        return [call.shard for call in calls.values()]

    def _hopeless(self, shards: list[int], reason: str) -> str:
        names = self.extraction.images.names
        first, last = self.extraction.rows(shards[0])[0], self.extraction.rows(shards[-1])[-1]
        return (
            f"shards {shards[0]} to {shards[-1]} ({names[first]} to {names[last]}): the actor died {ATTEMPTS} times. "
            f"Finished shards are kept. Ray says: {reason}"
        )


def _expected(error: Any) -> Exception:
    """The failure that a task raised: our own error where it was one."""
    cause = error.cause
    if isinstance(cause, DataError | ModelError):
        return type(cause)(*cause.args)
    if isinstance(cause, OSError) and cause.filename:
        return DataError(f"{refusal(cause, cause.filename)}. Finished shards are kept.")
    return DataError("extraction failed unexpectedly on a Ray worker:", *str(error).split("\n"))


def _short(error: BaseException) -> str:
    """The last line of an error, where Ray says why; all of it in about three lines."""
    return textwrap.shorten((str(error) or type(error).__name__).splitlines()[-1], 300)
