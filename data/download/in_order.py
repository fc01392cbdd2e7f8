"""Work that several threads do ahead, its results taken in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TypeVar

_Work = TypeVar("_Work")
_Done = TypeVar("_Done")


def in_order(
    work: Iterable[_Work],
    do: Callable[[_Work], _Done],
    cost: Callable[[_Work], int],
    *,
    threads: int,
    ahead: int,
    idle: Callable[[], None],
    stop: Callable[[], None],
) -> Generator[_Done, None, None]:
    """`do` of each piece of work. At most `ahead` of cost, but one piece in any case, is under way: a kill loses that.

    `idle` is called every half second of waiting, `stop` at the end: it has to end what is still under way.
    """
    pending: deque[tuple[int, Future[_Done]]] = deque()
    pool = ThreadPoolExecutor(threads)
    try:
        for piece in work:
            while pending and sum(costs for costs, _ in pending) + cost(piece) > ahead:
                yield _first(pending, idle)
            pending.append((cost(piece), pool.submit(do, piece)))
        while pending:
            yield _first(pending, idle)
    finally:
        stop()
        pool.shutdown(cancel_futures=True)


def _first(pending: deque[tuple[int, Future[_Done]]], idle: Callable[[], None]) -> _Done:
    _, future = pending.popleft()
    while not wait([future], timeout=0.5).done:
        idle()
    return future.result()
