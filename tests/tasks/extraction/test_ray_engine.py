"""Extraction on Ray clusters of several nodes, through losses: raylets of this machine that are really ended."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from extractions import finished, make

from data.base.errors import DataError, ModelError
from tasks.extraction import ray_engine
from tasks.extraction.engines import run_shards

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc"),
]
ray = pytest.importorskip("ray", reason="Ray is not installed: pip install -e '.[ray]'")
ROOT = Path(__file__).parents[3]
SMALL = {"object_store_memory": 80 * 2**20}


@pytest.fixture(scope="module")
def head() -> Iterator[Any]:
    """A cluster whose head has no CPU, and this process connected to it."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False} | SMALL
    )
    ray.init(address=cluster.address, log_to_driver=False, configure_logging=False)
    yield cluster
    ray.shutdown()
    cluster.shutdown()


@pytest.fixture
def add(head: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    """Adds a node of so many CPUs; afterwards all that were added are gone."""
    monkeypatch.setattr(ray_engine, "LOOK", 0.5)
    monkeypatch.setattr(ray_engine, "SAY", 0.5)
    added: list[Any] = []

    def add(cpus: int, **more: Any) -> Any:
        added.append(head.add_node(num_cpus=cpus, **SMALL, **more))
        return added[-1]

    yield add
    for node in set(added) & set(head.worker_nodes):
        head.remove_node(node)
    wait_until(lambda: sum(node["Alive"] for node in ray.nodes()) == 1)


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


def actors() -> list[int]:
    """The processes of this process's clusters that are actors of a run."""
    below, numbers = [os.getpid()], []
    while below:
        pid = below.pop()
        try:
            below += map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
            if Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"ray::Worker"):
                numbers.append(pid)
        except OSError:
            continue  # it has just ended
    return numbers


def hold(cpus: int) -> Any:
    """Another program's actor, in its place."""

    class Holder: ...

    actor = ray.remote(num_cpus=cpus)(Holder).remote()
    ray.get(actor.__ray_ready__.remote(), timeout=60)
    return actor


def test_two_nodes_of_three_cpus_hold_two_actors_of_two_and_are_free_afterwards(
    add: Any, folder: Path, tmp_path: Path
) -> None:
    """Of two layers, which are written in one pass."""
    add(3), add(3)
    layers = ("flatten", "classifier.1")
    local = replace(make(folder, tmp_path / "local"), threads=2, layers=layers)
    extraction = replace(local, work=tmp_path / "ray")
    most: list[int] = []
    settings = run_shards(extraction, "ray", progress=lambda *seen: most.append(len(actors())))
    assert max(most) == 2
    assert finished(extraction, settings) == finished(local, run_shards(local))
    wait_until(lambda: ray.available_resources().get("CPU") == 6)


def test_the_living_do_what_a_lost_node_leaves(
    head: Any, add: Any, folder: Path, tmp_path: Path, reference: bytes
) -> None:
    add(1)
    lost = [add(1)]

    def remove(done: int, total: int, note: str = "") -> None:
        if done and lost:
            head.remove_node(lost.pop(), allow_graceful=False)

    extraction = make(folder, tmp_path)
    settings = run_shards(extraction, "ray", progress=remove)
    assert not lost and finished(extraction, settings) == reference


def hold_shards(monkeypatch: pytest.MonkeyPatch, until: Callable[[], bool]) -> None:
    """Hand out nothing until a condition holds: with few shards, the actors of the start would have them all.

    The run goes on to follow its actors meanwhile, and a condition that never comes holds it for three minutes.
    """
    hand_out = ray_engine._Cluster._hand_out
    end = time.monotonic() + 180

    def held(cluster: Any) -> None:
        if until() or time.monotonic() > end:
            hand_out(cluster)

    monkeypatch.setattr(ray_engine._Cluster, "_hand_out", held)


def test_a_killed_actor_is_replaced(
    add: Any, folder: Path, tmp_path: Path, reference: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(2)
    killed: list[int] = []
    seen: set[int] = set()

    def kill(done: int, total: int, note: str = "") -> None:
        seen.update(actors())
        if done and not killed:
            killed.append(max(seen))
            os.kill(killed[0], signal.SIGKILL)

    hold_shards(monkeypatch, lambda: not killed or bool(seen.update(actors())) or len(seen) > 2)
    extraction = replace(make(folder, tmp_path), shard=2)
    settings = run_shards(extraction, "ray", progress=kill)
    assert len(seen) > 2 and finished(extraction, settings) == reference


def test_a_node_that_joins_takes_part(
    add: Any, folder: Path, tmp_path: Path, reference: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(1)
    seen: set[int] = set()

    def all_agree(done: int, total: int, note: str = "") -> None:
        seen.update(actors())
        if not done:
            add(1)

    hold_shards(monkeypatch, lambda: bool(seen.update(actors())) or len(seen) > 1)
    extraction = replace(make(folder, tmp_path), shard=2)
    settings = run_shards(extraction, "ray", progress=all_agree)
    assert len(seen) == 2 and finished(extraction, settings) == reference


def test_all_nodes_lost_ends_in_an_error_and_the_next_run_goes_on(
    head: Any, add: Any, folder: Path, tmp_path: Path, reference: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_engine, "PATIENCE", 3)
    nodes = [add(1)]

    def remove(done: int, total: int, note: str = "") -> None:
        if done and nodes:
            for pid in actors():  # a lost machine takes them along at once, a lost raylet after a moment
                os.kill(pid, signal.SIGKILL)
            head.remove_node(nodes.pop(), allow_graceful=False)

    extraction = make(folder, tmp_path)
    with pytest.raises(DataError, match=r"no Ray actor has had a place for 3 s.*Finished shards are kept"):
        run_shards(extraction, "ray", progress=remove)
    add(1)
    monkeypatch.setattr(ray_engine, "PATIENCE", 120)
    seen: list[int] = []
    settings = run_shards(extraction, "ray", progress=lambda done, total, note: seen.append(done))
    assert seen[0] >= 4 and finished(extraction, settings) == reference


def test_a_busy_cluster_ends_in_an_error_that_says_what_mends_it(
    add: Any, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_engine, "PATIENCE", 3)
    add(3, node_name="A")
    holders = [hold(2)]
    add(3, node_name="B")
    holders.append(hold(2))
    message = r"each asks for 2 CPUs on one node; free: (A|B) 1 of 3 CPUs.*(A|B) 1 of 3 CPUs.*threads = 1"
    with pytest.raises(DataError, match=message):
        run_shards(replace(make(folder, tmp_path), threads=2), "ray")
    for holder in holders:
        ray.kill(holder)


def test_it_begins_with_the_actors_that_have_a_place_and_says_what_it_waits_for(
    add: Any, folder: Path, tmp_path: Path, reference: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    add(1, node_name="A")
    holder = hold(1)
    add(1, node_name="B")
    extraction = make(folder, tmp_path)
    with caplog.at_level(logging.WARNING, "luigi-interface"):
        settings = run_shards(extraction, "ray")
    assert finished(extraction, settings) == reference
    assert "waiting for 1 of 2 Ray actors: each asks for 1 CPU on one node; free: " in caplog.text
    assert "A 0 of 1 CPUs" in caplog.text
    ray.kill(holder)


def test_a_node_of_another_kind_is_refused_at_the_start_and_left_out_later(
    add: Any,
    folder: Path,
    tmp_path: Path,
    reference: bytes,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    other = {"env_vars": {"ATEN_CPU_CAPABILITY": "default"}}  # torch without the vectors of this processor
    add(1)

    def all_agree(done: int, total: int, note: str = "") -> None:
        if not done:
            add(1, **other)

    hold_shards(monkeypatch, lambda: "left out" in caplog.text)
    extraction = make(folder, tmp_path / "late")
    settings = run_shards(extraction, "ray", progress=all_agree)
    assert finished(extraction, settings) == reference
    assert "a Ray actor is left out: it would give other bits" in caplog.text
    with pytest.raises(ModelError, match="would not give the same bits"):
        run_shards(make(folder, tmp_path / "early"), "ray")


DIES = """
import os, signal, sys
class Killer:
    def find_spec(self, name, *rest):
        if name == "torch":
            os.kill(os.getpid(), signal.SIGKILL)
sys.meta_path.insert(0, Killer())
"""


def test_actors_that_die_while_they_prepare_end_in_an_error(add: Any, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(DIES)
    add(1, env_vars={"PYTHONPATH": str(tmp_path)})
    with pytest.raises(DataError, match=r"3 Ray actors in a row could not start.*OOM"):
        run_shards(make(folder, tmp_path / "work"), "ray")


SCRIPT = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from extractions import make
from tasks.extraction.engines import run_shards
run_shards(make(Path({folder!r}), Path({work!r})), "ray", {address!r})
"""


def start(folder: Path, work: Path, address: str, **more: str) -> subprocess.Popen[bytes]:
    """A run in a process of its own, which has finished a shard."""
    words = {"tests": str(ROOT / "tests"), "folder": str(folder), "work": str(work), "address": address}
    environment = os.environ | {"PYTHONPATH": str(ROOT)} | more
    run = subprocess.Popen([sys.executable, "-c", SCRIPT.format(**words)], cwd=ROOT, env=environment)
    wait_until(lambda: run.poll() is not None or bool(list(work.glob("*/shard-*.json"))))
    return run


def test_ctrl_c_ends_a_run_and_its_actors(head: Any, add: Any, folder: Path, tmp_path: Path) -> None:
    add(1)
    run = start(folder, tmp_path, head.address)
    run.send_signal(signal.SIGINT)
    assert run.wait(60) != 0
    wait_until(lambda: not actors())


def test_a_lost_head_ends_the_run(folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    from ray.cluster_utils import Cluster

    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False} | SMALL
    )
    # Ray gives a head up after a minute; here it is less patient.
    run = start(folder, tmp_path, cluster.address, RAY_gcs_rpc_server_reconnect_timeout_s="5")
    cluster.head_node.kill_all_processes(check_alive=False, allow_graceful=False, wait=True)
    assert run.wait(120) != 0
    assert "Failed to connect to GCS" in capfd.readouterr().err
    cluster.shutdown()
    assert list(tmp_path.glob("*/shard-*.json"))


@pytest.mark.parametrize("address", ["127.0.0.1:9", "ray://127.0.0.1:9", "[::1]:9"])
def test_a_cluster_that_is_not_there_is_an_error(folder: Path, tmp_path: Path, address: str) -> None:
    ray.shutdown()
    with pytest.raises(DataError, match=r"ray_address = .*:9: .*refused.*ray status"):
        run_shards(make(folder, tmp_path), "ray", address)
