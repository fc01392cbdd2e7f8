"""Rows come out in order, do not depend on their neighbours, and bad pictures keep their place."""

from __future__ import annotations

import io
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor, nn

from data.base.errors import ModelError
from models.backbones.decode_ahead import Decoded, Decoder, Processes, Read, Threads, _Packed
from models.backbones.decoding import PictureError, decode
from models.backbones.extraction import extract, extract_groups, fit_batch
from models.backbones.frames import Frame
from models.backbones.load import Backbone, load_backbone


def picture(number: int, size: tuple[int, int] = (48, 32)) -> bytes:
    """A small PNG of noise, different for every number."""
    noise = np.random.default_rng(number).integers(0, 256, (*size, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "PNG")
    return buffer.getvalue()


class Means(nn.Module):
    """A network that costs nothing: two numbers a picture."""

    def forward(self, x: Tensor) -> list[Tensor]:
        return [torch.stack([x.mean((1, 2, 3)), x.amax((1, 2, 3))], 1)]


def cheap(module: nn.Module | None = None) -> Backbone:
    ones = torch.ones(1, 3, 1, 1)
    return Backbone(
        name="means",
        layers={"all": (2,)},
        frame=Frame(8),
        device=torch.device("cpu"),
        precision="float32",
        transform="none",
        module=module or Means(),
        scale=ones / 255,
        shift=ones * 0,
    )


@pytest.fixture(scope="module")
def resnet() -> Iterator[Backbone]:
    torch.set_num_threads(1)
    yield load_backbone("resnet18", "flatten", "random:0")


def test_rows_are_the_features_of_their_pictures(resnet: Backbone) -> None:
    contents = [picture(number) for number in range(5)]
    rows = extract(resnet, contents, batch=2)
    assert rows.features.dtype == np.float16 and rows.features.shape == (5, 512) and rows.bad == {}
    expected = resnet(torch.stack([decode(data) for data in contents])).half().numpy()
    np.testing.assert_allclose(rows.features, expected, rtol=2e-3, atol=1e-4)


def test_a_row_does_not_depend_on_its_neighbours(resnet: Backbone) -> None:
    contents = [picture(number) for number in range(7)]
    alone = extract(resnet, contents, batch=4).features
    contents[1], contents[4] = picture(100), b"not a picture"
    beside = extract(resnet, contents, batch=4)
    assert list(beside.bad) == [4] and "not a picture" in beside.bad[4]
    assert not beside.features[4].any()
    same = [0, 2, 3, 5, 6]
    assert np.array_equal(alone[same], beside.features[same])
    # nor on whether the last batch is full
    assert np.array_equal(extract(resnet, contents[:6], batch=4).features[5], beside.features[5])


@settings(max_examples=30, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=5),
    batch=st.integers(1, 5),
    broken=st.sets(st.integers(0, 20)),
)
def test_groups_come_back_whole_and_in_order(lengths: list[int], batch: int, broken: set[int]) -> None:
    contents = [b"" if number in broken else picture(number, (8, 8)) for number in range(sum(lengths))]
    starts = np.cumsum([0, *lengths])
    groups = [range(starts[i], starts[i + 1]) for i in range(len(lengths))]
    heard: list[int] = []
    results = list(extract_groups(cheap(), decoding(contents.__getitem__, batch), groups, heard.append))
    assert [len(rows.features) for rows in results] == lengths and sum(heard) == sum(lengths)
    whole = extract(cheap(), contents, batch=1).features
    assert np.array_equal(np.concatenate([rows.features for rows in results]), whole)
    bad = [start + place for start, rows in zip(starts, results, strict=False) for place in rows.bad]
    assert sorted(bad) == sorted(number for number in broken if number < sum(lengths))


def test_a_corrupt_jpeg_is_named_by_its_place_while_threads_decode_several_batches(
    capfd: pytest.CaptureFixture[str],
) -> None:
    contents = []
    for number in range(12):
        file = io.BytesIO()
        Image.open(io.BytesIO(picture(number, (64, 64)))).save(file, "JPEG")
        scan = file.getvalue()
        noise = (
            np.random.default_rng(number).integers(0, 255, 1000, np.uint8).tobytes()
        )  # no byte of a marker
        contents.append(scan[:-1002] + noise + scan[-2:] if number % 5 == 0 else scan)
    rows = extract(cheap(), contents, batch=2)
    assert list(rows.bad) == [0, 5, 10]
    assert all("damaged: Corrupt JPEG data" in reason for reason in rows.bad.values())
    assert capfd.readouterr() == ("", "")  # libjpeg's own line would name no file


def test_no_pictures_no_rows() -> None:
    assert extract(cheap(), []).features.shape == (0, 2)


class Reader:
    """Pickles to a decoding process."""

    def __call__(self, index: int) -> bytes:
        if index == 3:
            raise PictureError("gone from the archive")
        return picture(index, (8, 8))


def decoding(read: Read, batch: int, workers: int = 0) -> Threads | Processes:
    decoder = Decoder(read, cheap().frame, batch)
    return Processes(decoder, workers) if workers else Threads(decoder)


def test_decoding_processes_give_what_the_thread_gives_in_one_stream_after_another() -> None:
    groups = [range(4), range(4, 9)]
    by_thread = list(extract_groups(cheap(), decoding(Reader(), 2), groups))
    processes = Processes(Decoder(Reader(), cheap().frame, 2), workers=2)
    seen = []
    for _ in range(3):
        by_processes = list(extract_groups(cheap(), processes, groups))
        for first, second in zip(by_thread, by_processes, strict=True):
            assert np.array_equal(first.features, second.features) and first.bad == second.bad
        seen.append({process.pid for process in multiprocessing.active_children()})
    assert len(seen[0]) == 2 and seen == [seen[0]] * 3  # the same processes
    assert by_thread[0].bad == {3: "gone from the archive"}
    processes.stop()
    assert not multiprocessing.active_children()


class Deadly:
    """Ends the process that decodes, as a mapped file without room does."""

    def __call__(self, index: int) -> bytes:
        os.kill(os.getpid(), signal.SIGBUS)
        return b""


def test_a_decoding_process_that_dies_ends_with_advice() -> None:
    with pytest.raises(ModelError, match=r"SIGBUS.*shm-size"):
        list(extract_groups(cheap(), decoding(Deadly(), 2, workers=1), [range(4)]))


def test_a_decoding_process_that_is_killed_while_the_network_computes_ends_with_advice() -> None:
    def kill(pictures: int) -> None:
        if decoders := multiprocessing.active_children():
            os.kill(decoders[0].pid, signal.SIGKILL)  # as the system when memory is short
            time.sleep(0.2)  # torch's own handler of the signal would raise here

    with pytest.raises(ModelError, match=r"SIGKILL.*memory short.*batch_size"):
        groups = [range(4 + n, 8 + n) for n in range(9)]
        list(extract_groups(cheap(), decoding(Reader(), 2, workers=1), groups, kill))


class Endless(Reader):
    """Its storage fails."""

    def __call__(self, index: int) -> bytes:
        raise ModelError("photos/3.jpg: can't be read")


@pytest.mark.parametrize("workers", [0, 1])
def test_a_storage_that_fails_ends_the_extraction_in_its_own_words(workers: int) -> None:
    with pytest.raises(ModelError, match=r"^photos/3\.jpg: can't be read$"):
        list(extract_groups(cheap(), decoding(Endless(), 2, workers), [range(4)]))


def test_a_batch_is_unpacked_where_it_is_pinned_for_the_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    from torch.utils.data._utils.pin_memory import pin_memory

    monkeypatch.setattr(Tensor, "pin_memory", Tensor.clone)  # there may be no GPU here
    batch = Decoder(Reader(), Frame(8), 4)([2, 3])
    pinned = pin_memory(_Packed(batch))
    assert (
        isinstance(pinned, Decoded) and pinned[1:] == batch[1:] and torch.equal(pinned.pixels, batch.pixels)
    )


class Faulty(nn.Module):
    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = value

    def forward(self, x: Tensor) -> list[Tensor]:
        return [torch.full((len(x), 2), self.value)]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 65_600.0, -1e9])
def test_what_float16_can_not_hold_is_refused(value: float) -> None:
    with pytest.raises(ModelError, match=r"picture 0.*65,504"):
        extract(cheap(Faulty(value)), [picture(0)])
    assert extract(cheap(Faulty(value)), [b""]).bad  # what is not a picture does not count


def test_an_unexpected_failure_of_reading_is_not_swallowed() -> None:
    def read(index: int) -> bytes:
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="disk"):
        list(extract_groups(cheap(), decoding(read, 2), [range(3)]))


def limited(room: int) -> Callable[[Tensor], Any]:
    def run(x: Tensor) -> list[Tensor]:
        if len(x) > room:
            raise torch.OutOfMemoryError("out of memory")
        return Means().forward(x)

    return run


class Limited(nn.Module):
    def __init__(self, room: int) -> None:
        super().__init__()
        self.run = limited(room)

    def forward(self, x: Tensor) -> list[Tensor]:
        features: list[Tensor] = self.run(x)
        return features


def test_the_batch_is_halved_until_it_fits() -> None:
    assert fit_batch(cheap(Limited(5)), 64) == 4
    assert fit_batch(cheap(Limited(64)), 64) == 64
    with pytest.raises(ModelError, match="device = cpu"):
        fit_batch(cheap(Limited(0)), 64)


def test_running_out_of_memory_later_ends_with_advice() -> None:
    with pytest.raises(ModelError, match="batch_size = 4"):
        extract(cheap(Limited(5)), [picture(0)], batch=8)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_gpu_gives_the_features_of_the_cpu(resnet: Backbone, precision: str) -> None:
    contents = [picture(number) for number in range(9)] + [b"broken"]
    on_gpu = load_backbone("resnet18", "flatten", "random:0", "cuda", precision)
    rows = extract(replace(on_gpu), contents, batch=4)
    expected = extract(resnet, contents, batch=4)
    cosine = nn.functional.cosine_similarity(
        torch.from_numpy(rows.features[:9]).float(), torch.from_numpy(expected.features[:9]).float()
    )
    assert cosine.min() > (0.99999 if precision == "float32" else 0.999) and list(rows.bad) == [9]
    assert np.array_equal(extract(on_gpu, contents, batch=4).features, rows.features)


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="no second GPU here")
def test_a_second_gpu_gives_the_features_of_the_first() -> None:
    contents = [picture(number) for number in range(9)]
    first, second = (load_backbone("resnet18", "flatten", "random:0", f"cuda:{number}") for number in (0, 1))
    assert np.array_equal(extract(first, contents, 4).features, extract(second, contents, 4).features)
