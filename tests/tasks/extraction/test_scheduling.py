"""How many actors fit a cluster, and who gets which shards."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.base.errors import ModelError
from tasks.extraction.job import Arithmetic
from tasks.extraction.scheduling import Node, Queue, Request, actor_request, advice, agree, free_of, unfit

OWN = Arithmetic("cuda", "a GPU", "float32", 128, 0, 256, "2.6", "0.21")


def node(cpus: float, gpus: float = 0, free: float | None = None, name: str = "n") -> Node:
    return Node(name, name, cpus, gpus, cpus if free is None else free, gpus)


quarters = st.integers(0, 40).map(lambda quarter: quarter / 4)


@given(quarters, quarters, st.integers(1, 9), st.integers(0, 1))
def test_as_many_actors_fit_a_node_as_can_be_taken_off_it(
    cpus: float, gpus: float, asked: int, gpu: int
) -> None:
    taken, left = 0, (cpus, gpus)
    while left[0] >= asked and left[1] >= gpu:
        taken, left = taken + 1, (left[0] - asked, left[1] - gpu)
    assert Request(asked, gpu).fitting(node(cpus, gpus)) == taken


def test_actors_are_counted_a_node() -> None:
    request = Request(2)
    assert sum(map(request.fitting, [node(3), node(3)])) == 2  # not 6 / 2
    assert sum(map(Request(1, 1).fitting, [node(4, 8), node(8, 4), node(0, 8), node(8)])) == 8


@pytest.mark.parametrize(
    ("nodes", "device", "threads", "request_"),
    [
        ([node(3), node(3)], "auto", 2, Request(2)),
        ([node(16), node(4), node(0)], "auto", 0, Request(4)),  # a head without CPUs takes no part
        ([node(0.5), node(4.5)], "cpu", 0, Request(4)),
        ([node(2), node(3)], "cpu", 8, Request(3)),  # 8 threads on 3 CPUs, rather than never
        ([node(2, 0), node(8, 4)], "auto", 2, Request(1, 1)),
        ([node(8, 4)], "cpu", 2, Request(2)),
        ([node(8)], "cuda", 0, Request(1, 1)),  # a node with one may join
        ([], "auto", 0, Request(1)),
        ([node(0)], "cpu", 4, Request(1)),
    ],
)
def test_what_an_actor_asks_for(nodes: list[Node], device: str, threads: int, request_: Request) -> None:
    assert actor_request(nodes, device, threads) == request_


@given(st.lists(quarters.map(node), max_size=5), st.integers(0, 12))
def test_where_a_node_has_a_cpu_an_actor_fits(nodes: list[Node], threads: int) -> None:
    request = actor_request(nodes, "auto", threads)
    fits = [each for each in nodes if request.fitting(each)]
    assert bool(fits) == any(each.cpus >= 1 for each in nodes)
    if not threads:
        assert fits == [each for each in nodes if each.cpus >= 1]


def test_what_is_free_and_what_mends_it_are_told() -> None:
    nodes = [node(3, free=1, name="A"), node(3, free=0, name="B")]
    assert free_of(nodes, Request(2)) == "A 1 of 3 CPUs, B 0 of 3 CPUs"
    assert free_of([node(8, 2, 0.5)], Request(1, 1)) == "n 0.5 of 8 CPUs and 2 of 2 GPUs"
    assert free_of([node(1)] * 10, Request(1)).endswith(", n 1 of 1 CPUs, 2 more nodes")
    assert free_of([node(1, name="A"), node(2, name="B")], Request(2)) == "B 2 of 2 CPUs"
    assert free_of([node(0)], Request(2)) == "n 0 of 0 CPUs"
    assert free_of([], Request(1)) == "no node"
    assert advice(nodes, Request(2)).startswith("Set [compute] threads = 1, end what else")
    assert advice(nodes[1:], Request(2)).startswith("End what else")
    assert advice([node(8)], Request(1, 1)).startswith("End what else")


@given(st.lists(st.integers(), unique=True), st.integers(1, 5), st.data())
def test_every_shard_is_handed_out_until_it_is_done(
    shards: list[int], size: int, data: st.DataObject
) -> None:
    """To actors that take several at a time, and lose all of them when they die."""
    queue = Queue(shards)
    done: list[int] = []
    while queue:
        taken = [queue.take() for _ in range(min(size, len(queue)))]
        if max(queue.lost[shard] for shard in taken) < 2 and data.draw(st.booleans()):
            assert queue.give_back(taken)
        else:
            done += taken
    assert done == shards


def test_what_was_lost_comes_next_and_three_times_in_all() -> None:
    queue = Queue([5, 6, 7])
    for again in (True, True, False):
        assert [queue.take(), queue.take()] == [5, 6]
        assert queue.give_back([5, 6]) is again
    assert queue.take() == 7 and not queue


def test_the_smallest_batch_is_agreed_on_and_other_bits_are_refused() -> None:
    assert agree([OWN, replace(OWN, batch=64)]) == replace(OWN, batch=64)
    with pytest.raises(ModelError, match=r"same bits.*another GPU"):
        agree([OWN, replace(OWN, processor="another GPU")])


def test_who_comes_late_fits_or_is_left_out() -> None:
    assert not unfit(OWN, OWN)
    assert not unfit(replace(OWN, batch=256), OWN)
    assert "batches of 64, the others work with 128" in unfit(replace(OWN, batch=64), OWN)
    for field, batch in product(
        ({"processor": "x"}, {"precision": "bfloat16"}, {"threads": 2}), (64, 128, 256)
    ):
        assert "other bits" in unfit(replace(OWN, batch=batch, **field), OWN)
