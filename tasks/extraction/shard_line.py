"""Shards that are requested one by one and done in one stream, so that decoding never stops between them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any


class ShardLine:
    """A thread that does shards in the order in which other threads request them; each waits for its own.

    `extract` does shards in turn and yields when one is done. It is called again where nothing was left to do.
    """

    def __init__(self, extract: Callable[[Iterable[int]], Iterator[Any]]) -> None:
        self.extract = extract
        self.requests: SimpleQueue[tuple[int, Future[None]]] = SimpleQueue()
        Thread(target=self._work, name="shards", daemon=True).start()

    def do(self, shard: int) -> None:
        """Return when the shard is done; raises what ended the stream that it was in."""
        done: Future[None] = Future()
        self.requests.put((shard, done))
        done.result()

    def _work(self) -> None:
        while True:
            self._stream(*self.requests.get())

    def _stream(self, shard: int, done: Future[None]) -> None:
        doing = deque([done])
        try:
            for _ in self.extract(self._known(shard, doing)):
                doing.popleft().set_result(None)
        except Exception as error:
            for left in doing:
                left.set_exception(error)

    def _known(self, shard: int, doing: deque[Future[None]]) -> Iterator[int]:
        """A shard, and then those that have been requested by the time that there is room for more."""
        yield shard
        while True:
            try:
                shard, done = self.requests.get_nowait()
            except Empty:
                return
            doing.append(done)
            yield shard
