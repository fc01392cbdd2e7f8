"""How the work is shared out among GPUs, and what a resumed run keeps, on a machine that has none."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest

from data.base.errors import DataError, ModelError
from models import devices
from tasks.extraction import local_engine, ray_worker
from tasks.extraction.engines import run_shards
from tasks.extraction.job import Arithmetic, Extraction
from tasks.extraction.local_engine import run_local
from tasks.extraction.scheduling import kept_batch
from tasks.extraction.shard_line import ShardLine
from tasks.extraction.shards import _decoders, shards_ahead

OWN = Arithmetic("cuda", "NVIDIA H100", "bfloat16", 128, 0, 256, "2.6", "0.21", 91_000)


def extraction(work: Path, pictures: int = 256 * 5, **how: Any) -> Extraction:
    images: Any = SimpleNamespace(ids=np.arange(pictures), names=[str(n) for n in range(pictures)])
    return Extraction(images, "vgg16", ("fc7",), "random:0", "random:0", work, **how)


# ------------------------------------------------------------------------------------------ who decodes


@pytest.mark.parametrize(
    "cores, threads, sharing, decoders",
    [(2, 0, 1, 1), (16, 0, 1, 15), (16, 0, 8, 1), (128, 0, 8, 15), (1, 0, 1, 1), (16, 5, 8, 5)],
)
def test_a_gpu_has_its_share_of_the_job_s_cores_to_decode(
    monkeypatch: pytest.MonkeyPatch, cores: int, threads: int, sharing: int, decoders: int
) -> None:
    """16 cores on a machine of 8 GPUs, of which the job has one: 15 processes. GPUs of others do not count."""
    monkeypatch.setattr(devices, "logical_cores", lambda: cores)
    assert _decoders("cuda", threads, sharing) == decoders
    assert _decoders("cpu", threads, sharing) == 0


def test_as_many_shards_are_known_ahead_as_keep_the_decoders_busy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "logical_cores", lambda: 16)
    job = extraction(tmp_path)
    assert shards_ahead(job, OWN, 1) == 2 + 15 * 2 * 128 // 256
    assert shards_ahead(job, replace(OWN, device="cpu"), 1) == 2


# ---------------------------------------------------------------------------------------- one child a GPU


class Child:
    """In place of a spawned process."""

    made: ClassVar[list[Child]] = []
    others: ClassVar[list[str]] = []
    left_out: ClassVar[str] = ""

    def __init__(self, job: Extraction, device: str) -> None:
        self.device, self.pipe, self.got = device, SimpleNamespace(send=self.take), None
        self.made.append(self)

    def take(self, words: Any) -> None:
        self.got = words[1:]

    def receive(self) -> tuple[Any, ...]:
        return "ready", OWN, *(([], "") if self.device else (self.others, self.left_out))

    def stop(self) -> None: ...


@pytest.fixture
def eight(monkeypatch: pytest.MonkeyPatch) -> type[Child]:
    """Children on eight GPUs."""
    monkeypatch.setattr(Child, "made", [])
    monkeypatch.setattr(Child, "others", [f"cuda:{number}" for number in range(1, 8)])
    monkeypatch.setattr(local_engine, "_Child", Child)
    monkeypatch.setattr(local_engine, "_follow", lambda *_: None)
    return Child


@pytest.mark.parametrize("shards, children", [(20, 8), (8, 8), (2, 2), (1, 1)])
def test_there_are_no_more_children_than_shards(
    tmp_path: Path, eight: type[Child], shards: int, children: int
) -> None:
    run_local(extraction(tmp_path, 256 * shards), lambda *_: None)
    assert len(eight.made) == children
    parts = [child.got for child in eight.made]
    assert sorted(shard for part, _ in parts for shard in part) == list(range(shards))
    assert {sharing for _, sharing in parts} == {children}


def test_what_is_left_out_is_said(
    tmp_path: Path, eight: type[Child], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Child, "left_out", "left out, as unlike cuda:0: cuda:8 (NVIDIA T400)")
    with caplog.at_level(logging.WARNING, "luigi-interface"):
        run_local(extraction(tmp_path), lambda *_: None)
    assert "cuda:8 (NVIDIA T400)" in caplog.text


def test_gpus_by_number_are_refused_under_ray(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"device = cuda:1: Ray gives each actor its GPU.*CUDA_VISIBLE_DEVICES"
    ):
        run_shards(extraction(tmp_path, device="cuda:1"), "ray")


# ------------------------------------------------------------------------- a resumed run on a busier GPU


def begin(work: Path, settings: Arithmetic, shards: int) -> None:
    """Finished shards, as far as their settings go."""
    folder = settings.folder(work)
    folder.mkdir(parents=True)
    for shard in range(shards):
        (folder / f"shard-{shard:06}.json").write_text(json.dumps({"settings": asdict(settings)}))


@pytest.mark.parametrize(
    "stated, fits, begun, kept",
    [
        (0, 128, {}, 128),
        (0, 128, {128: 3}, 128),
        (0, 128, {64: 3}, 64),  # begun on a busier GPU
        (0, 128, {64: 3, 128: 1}, 64),
        (0, 128, {64: 1, 128: 3}, 128),
        (0, 64, {128: 3}, None),
        (0, 64, {32: 1, 128: 3}, None),
        (0, 128, {256: 3}, 128),  # more than is ever taken where nobody asks for it
        (256, 256, {128: 3}, 256),  # as it was asked for
        (64, 64, {128: 3}, 64),
        (256, 64, {128: 3}, None),
    ],
)
def test_unfinished_work_keeps_its_batch(
    tmp_path: Path, stated: int, fits: int, begun: dict[int, int], kept: int | None
) -> None:
    for batch, shards in begun.items():
        begin(tmp_path, replace(OWN, batch=batch), shards)
    job = extraction(tmp_path, batch=stated)
    if kept:
        assert kept_batch(job, replace(OWN, batch=fits)) == replace(OWN, batch=kept)
    else:
        message = rf"room for batches of {fits} .* in batches of 128\. End .*\[compute\] batch_size = {fits} "
        with pytest.raises(ModelError, match=message):
            kept_batch(job, replace(OWN, batch=fits))
        assert kept_batch(replace(job, batch=fits), replace(OWN, batch=fits)).batch == fits  # as is advised


def test_work_of_other_settings_does_not_decide_the_batch(tmp_path: Path) -> None:
    for number, other in enumerate(({"precision": "float32"}, {"cudnn": 1}, {"torch": "2.5"})):
        begin(tmp_path, replace(OWN, batch=64, **other), number + 1)
    (tmp_path / "cuda-x").mkdir()
    (tmp_path / "cuda-x" / "shard-000000.json").write_text('{"settings": {"size": 1}}')
    assert kept_batch(extraction(tmp_path), OWN) == OWN
    on_cpu = replace(OWN, device="cpu", batch=16)
    begin(tmp_path, replace(on_cpu, batch=8), 3)
    assert kept_batch(extraction(tmp_path), on_cpu) == on_cpu


# ------------------------------------------------------------------------------ an actor's life (Ray)


class Stream:
    """In place of an extractor: notes when a stream begins, what it does, and waits before each shard for leave."""

    def __init__(self) -> None:
        self.streams: list[list[int]] = []
        self.leave = threading.Semaphore(0)

    def extract(self, shards: Iterable[int]) -> Iterator[int]:
        self.streams.append([])
        for shard in shards:
            self.streams[-1].append(shard)
            self.leave.acquire()
            if shard == 13:
                raise DataError("the disk is full")
            yield shard


def test_shards_that_are_asked_for_in_time_go_into_the_stream_that_runs() -> None:
    stream = Stream()
    line = ShardLine(stream.extract)
    done: list[int] = []
    threads = [threading.Thread(target=lambda n=n: (line.do(n), done.append(n))) for n in range(5)]
    for thread in threads:
        thread.start()
    while line.requests.qsize() + sum(map(len, stream.streams)) < 5:
        threading.Event().wait(0.01)
    stream.leave.release(5)
    for thread in threads:
        thread.join(10)
    assert sorted(done) == list(range(5)) and len(stream.streams) == 1
    stream.leave.release()
    line.do(7)  # after a pause
    assert stream.streams[1:] == [[7]]
    stream.leave.release()
    with pytest.raises(DataError, match="the disk is full"):
        line.do(13)
    stream.leave.release()
    line.do(8)  # as another run might


def test_an_actor_has_one_extractor_for_all_its_shards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Any] = []

    def make(job: Extraction, settings: Arithmetic, sharing: int) -> Any:
        made.append(settings)
        return SimpleNamespace(extract=iter)

    monkeypatch.setattr(ray_worker, "Extractor", make)
    monkeypatch.setattr(ray_worker.Worker, "_sharing", lambda self: 1)
    worker = ray_worker.Worker(extraction(tmp_path))
    threads = [threading.Thread(target=worker.extract, args=(OWN, shard)) for shard in range(9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()
    assert made == [OWN]
