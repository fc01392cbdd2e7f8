"""features.h5: what is written is read back, equal content is equal bytes, and other files are refused."""

from __future__ import annotations

import time
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.base.errors import DataError
from data.pictures.feature_file import Features, read_features, write_features

ATTRIBUTES = {"backbone": "vgg16", "layer": "fc7", "weights": "random:0", "transform": "resized, ×1/255"}


def rows(count: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(count).normal(size=(count, *shape)).astype(np.float16)


def write(path: Path, count: int = 7, shape: tuple[int, ...] = (5,), cut: int = 3) -> np.ndarray:
    content = rows(count, *shape)
    names = [f"pictures/é {number}.jpg" for number in range(count)]
    blocks = [content[:cut], content[cut:]]
    write_features(path, iter(blocks), np.arange(count) * 10 + 3, names, shape, ATTRIBUTES)
    return content


@pytest.mark.parametrize("in_memory", [0, 1 << 30])
@pytest.mark.parametrize("shape", [(5,), (2, 3, 4)])
def test_what_is_written_is_read_back(tmp_path: Path, shape: tuple[int, ...], in_memory: int) -> None:
    content = write(tmp_path / "features.h5", shape=shape)
    stored = read_features(tmp_path / "features.h5", in_memory)
    assert isinstance(stored.features, np.memmap) == (in_memory == 0)
    assert stored.features.dtype == np.float16 and np.array_equal(stored.features, content)
    assert stored.image_ids.dtype == np.int64 and stored.image_ids.tolist() == [3, 13, 23, 33, 43, 53, 63]
    assert stored.image_names[6] == "pictures/é 6.jpg" and stored.attributes == ATTRIBUTES


def test_the_file_is_contiguous_uncompressed_and_plain(tmp_path: Path) -> None:
    write(tmp_path / "features.h5")
    with h5py.File(tmp_path / "features.h5") as file:
        dataset = file["features"]
        assert dataset.chunks is None and dataset.compression is None and dataset.dtype == np.float16
        assert file["image_names"].asstr()[0] == "pictures/é 0.jpg"


def test_equal_content_is_equal_bytes(tmp_path: Path) -> None:
    write(tmp_path / "one.h5", cut=3)
    time.sleep(1.1)  # HDF5's times have the resolution of a second
    write(tmp_path / "two.h5", cut=5)
    assert (tmp_path / "one.h5").read_bytes() == (tmp_path / "two.h5").read_bytes()


def features(ids: list[int]) -> Features:
    return Features(np.zeros((len(ids), 1), np.float16), np.array(ids, np.int64), ["x"] * len(ids), {})


@given(ids=st.sets(st.integers(0, 10**12)), wanted=st.lists(st.integers(0, 10**12), max_size=20))
def test_rows_of_ids(ids: set[int], wanted: list[int]) -> None:
    ordered = sorted(ids)
    wanted += ordered[::-2]
    rows = features(ordered).rows(wanted, missing=-1)
    assert rows.dtype == np.int64
    assert rows.tolist() == [ordered.index(number) if number in ids else -1 for number in wanted]


def test_ids_without_features_are_named() -> None:
    with pytest.raises(DataError, match=r"2 image ids have no features: 5, 8\."):
        features([1, 2, 3]).rows([8, 2, 5, 8])
    with pytest.raises(DataError, match="and 90 more"):
        features([]).rows(range(100))


@pytest.mark.parametrize("ids", [[1, 2, 2], [3, 2, 1], [1, 2]])
def test_ids_that_do_not_ascend_or_add_up_are_not_written(tmp_path: Path, ids: list[int]) -> None:
    with pytest.raises(DataError):
        write_features(tmp_path / "f.h5", [rows(3, 2)], ids, ["a", "b", "c"], (2,), {})


@pytest.mark.parametrize(
    "blocks", [[rows(2, 2)], [rows(4, 2)], [rows(3, 3)], [rows(3, 2).astype(np.float32)]]
)
def test_blocks_that_do_not_add_up_are_not_written(tmp_path: Path, blocks: list[np.ndarray]) -> None:
    with pytest.raises(DataError):
        write_features(tmp_path / "f.h5", blocks, [1, 2, 3], ["a", "b", "c"], (2,), {})


@pytest.mark.parametrize("damage", ["text", "absent", "dataset", "dtype", "order", "count", "truncated"])
def test_other_files_are_refused(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "features.h5"
    write(path)
    if damage == "text":
        path.write_text("<html>")
    elif damage == "absent":
        path.unlink()
    elif damage == "truncated":
        path.write_bytes(path.read_bytes()[:-200])
    else:
        with h5py.File(path, "r+") as file:
            name = {"dtype": "features"}.get(damage, "image_ids")
            kept = file[name][:]
            del file[name]
            if damage == "dtype":
                file[name] = kept.astype(np.float64)
            elif damage != "dataset":
                file[name] = kept[::-1] if damage == "order" else kept[1:]
    with pytest.raises(DataError, match=r"features\.h5"):
        read_features(path)


def test_chunks_are_read_when_small_and_refused_when_they_must_be_mapped(tmp_path: Path) -> None:
    path = tmp_path / "features.h5"
    content = write(path)
    with h5py.File(path, "r+") as file:
        del file["features"]
        file.create_dataset("features", data=content, chunks=(1, 5), compression="lzf")
    assert np.array_equal(read_features(path).features, content)
    with pytest.raises(DataError, match="contiguous"):
        read_features(path, in_memory=0)
