"""Shards on a Ray cluster: an actor a GPU, or as many as the CPUs hold; lost ones are replaced."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from data.errors import DataError
from data.progress import Progress
from models.errors import ModelError
from tasks.shards import Extraction, Settings, extract_shards, is_finished, missing_shards, prepare

if TYPE_CHECKING:
    from ray.actor import ActorHandle

GPU_SHARDS = 64  # handed out at a time: with fewer, starting the decoders would cost more than the work
ATTEMPTS = 3  # at a handful whose actor died: a machine may be lost twice, a picture that kills always does


def run_ray(extraction: Extraction, address: str, progress: Progress) -> Settings:
    """Do the missing shards in actors; `address` as ray.init takes it, nothing for this machine alone.

    The work folder, the pictures and the weights must lie where every node sees them under the same path.
    """
    ray = _ray()
    started_here = not ray.is_initialized()
    if started_here:
        ray.init(address=address or None, log_to_driver=False, configure_logging=False)
    try:
        return _Cluster(ray, extraction).run(progress)
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


class Worker:
    """What an actor is: one process with a loaded backbone."""

    def __init__(self, extraction: Extraction) -> None:
        self.extraction = extraction

    def prepare(self) -> Settings:
        return prepare(self.extraction)

    def extract(self, settings: Settings, shards: list[int]) -> None:
        """Do those of `shards` that are not done: after a loss, some of them are."""
        left = [shard for shard in shards if not is_finished(self.extraction, settings, shard)]
        for _ in extract_shards(self.extraction, settings, left):
            pass


class _Cluster:
    """The actors, what each is doing, and what is left."""

    def __init__(self, ray: Any, extraction: Extraction) -> None:
        self.ray, self.extraction = ray, extraction
        self.shared = ray.put(extraction)  # once, not once an actor
        self.attempts: dict[int, int] = {}
        self.on_gpu = extraction.device != "cpu" and self._resource("GPU") >= 1

    def run(self, progress: Progress) -> Settings:
        """Prepare the actors, hand out shards, replace what is lost."""
        from tasks.engines import agree, finished_pictures

        actors = [self._actor() for _ in range(self._number())]
        settings = agree(self._get([actor.prepare.remote() for actor in actors]))
        missing = missing_shards(self.extraction, settings)
        size = GPU_SHARDS if self.on_gpu else 1
        left = deque(missing[first : first + size] for first in range(0, len(missing), size))
        total = len(self.extraction.images.ids)
        done = finished_pictures(self.extraction, missing)
        progress(done, total, "")
        working: dict[Any, tuple[ActorHandle, list[int]]] = {}
        while left or working:
            while actors and left:
                actor, shards = actors.pop(), left.popleft()
                working[actor.extract.remote(settings, shards)] = (actor, shards)
            for finished in self.ray.wait(list(working))[0]:
                actor, shards = working.pop(finished)
                if self._is_done(finished, shards):
                    done += sum(len(self.extraction.rows(shard)) for shard in shards)
                    progress(done, total, "")
                else:
                    left.append(shards)
                    actor = self._actor()
                actors.append(actor)
        return settings

    def _is_done(self, finished: Any, shards: list[int]) -> bool:
        """False where the actor is lost and another is to try again."""
        try:
            self.ray.get(finished)
            return True
        except self.ray.exceptions.RayTaskError as error:
            raise _expected(error) from None
        except self.ray.exceptions.RayError as error:  # the actor, its node or its memory is gone
            self.attempts[shards[0]] = self.attempts.get(shards[0], 0) + 1
            if self.attempts[shards[0]] < ATTEMPTS:
                return False
            names = self.extraction.images.names
            first, last = self.extraction.rows(shards[0])[0], self.extraction.rows(shards[-1])[-1]
            raise DataError(
                f"shards {shards[0]} to {shards[-1]} ({names[first]} to {names[last]}): the actor died "
                f"{ATTEMPTS} times. Finished shards are kept. Ray says: {str(error).splitlines()[0]}"
            ) from None

    def _get(self, waiting: list[Any]) -> list[Settings]:
        try:
            found: list[Settings] = self.ray.get(waiting)
        except self.ray.exceptions.RayTaskError as error:
            raise _expected(error) from None
        except self.ray.exceptions.RayError as error:
            raise DataError(f"Ray could not start the actors: {str(error).splitlines()[0]}") from None
        return found

    def _actor(self) -> ActorHandle:
        cpus = 1 if self.on_gpu else self._cores()
        return self.ray.remote(num_gpus=int(self.on_gpu), num_cpus=cpus)(Worker).remote(self.shared)

    def _number(self) -> int:
        """As many actors as the cluster holds, but never more than there are shards."""
        room = int(self._resource("GPU")) if self.on_gpu else int(self._resource("CPU")) // self._cores()
        return max(1, min(room, self.extraction.shards()))

    def _cores(self) -> int:
        """What one actor on CPUs takes: [compute] threads, else all that the smallest node has."""
        nodes = [node["Resources"].get("CPU", 0) for node in self.ray.nodes() if node["Alive"]]
        smallest = max(1, int(min((n for n in nodes if n), default=1)))
        return min(self.extraction.threads or smallest, smallest)  # Ray would wait for ever for more

    def _resource(self, name: str) -> float:
        return float(self.ray.cluster_resources().get(name, 0))


def _expected(error: Any) -> Exception:
    """The failure that a task raised, as ours where it was ours."""
    cause = error.cause
    if isinstance(cause, DataError | ModelError):
        return type(cause)(str(cause))
    return DataError(f"extraction failed unexpectedly on a Ray worker:\n{error}")
