"""Shards: finished ones are never done again, damaged ones are, and the merged file does not tell."""

from __future__ import annotations

import ast
import errno
import hashlib
import pickle
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import extractions
import h5py
import numpy as np
import pytest
import torch

from data.base.errors import ContentError, DataError, ModelError
from data.pictures.feature_file import read_features
from models.backbones.extraction import extract
from models.backbones.inference import ConvReLU
from tasks.extraction.engines import extract_features
from tasks.extraction.finish import DamagedRows, finish
from tasks.extraction.job import Arithmetic, Extraction
from tasks.extraction.shard_files import missing_shards
from tasks.extraction.shards import _choices, _worker, extract_shards, prepare
from tasks.extraction.unfinished import Unfinished


@dataclass(frozen=True)
class Pictures:
    """The shape of data.pictures.image_sets.Images, over drawings that need no file."""

    ids: np.ndarray
    names: list[str]
    broken: tuple[int, ...] = ()

    def read(self, index: int) -> bytes:
        if index in self.broken:
            if index % 2:
                raise ContentError(f"{self.names[index]}: its CRC is wrong")
            return b"<html>not found</html>"
        noise = np.random.default_rng(index).integers(0, 256, (16, 16, 3), dtype=np.uint8)
        return b"P6 16 16 255\n" + noise.tobytes()


def drawings(count: int, broken: tuple[int, ...] = ()) -> Pictures:
    return Pictures(np.arange(count) * 3 + 1, [f"{number:03}.ppm" for number in range(count)], broken)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def make(work: Path, pictures: Pictures | None = None) -> Extraction:
    return extractions.make(pictures or drawings(10), work)


def do_missing(extraction: Extraction, settings: Arithmetic) -> list[int]:
    return [
        result.shard for result in extract_shards(extraction, settings, missing_shards(extraction, settings))
    ]


def test_shards_merge_into_one_file_of_rows_in_the_order_of_ids(tmp_path: Path) -> None:
    extraction = make(tmp_path / "work")
    settings = prepare(extraction)
    assert missing_shards(extraction, settings) == [0, 1, 2] == do_missing(extraction, settings)
    done = finish(extraction, settings)
    stored = read_features(done.files["flatten"].path)
    assert done.pictures == 10 and done.bad == [] and done.files["flatten"].shape == (1000,)
    assert stored.image_ids.tolist() == extraction.images.ids.tolist()
    assert stored.image_names == extraction.images.names
    assert stored.attributes["weights"] == "random:0" and "224x224" in stored.attributes["transform"]
    assert (stored.attributes["backbone"], stored.attributes["layer"]) == ("squeezenet1_1", "flatten")
    backbone = _worker(*_choices(extraction, ""))[0]
    assert np.array_equal(
        stored.features, extract(backbone, [extraction.images.read(i) for i in range(10)], 2).features
    )


def test_any_order_and_any_repetition_gives_the_same_bytes(tmp_path: Path) -> None:
    straight, crooked = make(tmp_path / "straight"), make(tmp_path / "crooked")
    settings = prepare(straight)
    do_missing(straight, settings)
    for shard in (2, 0, 2, 1):
        assert [result.shard for result in extract_shards(crooked, settings, [shard])] == [shard]
    first, second = (finish(job, settings).files["flatten"] for job in (straight, crooked))
    assert first.path.read_bytes() == second.path.read_bytes() and first.sha256 == second.sha256


def in_this_process(extraction: Extraction, progress: object = None) -> Arithmetic:
    """In place of run_local: without children."""
    settings = prepare(extraction)
    do_missing(extraction, settings)
    return settings


def h5py_s_own(path: Path, features: np.ndarray, extraction: Extraction, transform: str) -> bytes:
    """The file as h5py alone writes it, from all rows at once: what features.h5 has always been."""
    text = h5py.string_dtype("utf-8", max(len(name.encode()) for name in extraction.images.names))
    with path.open("w+b") as disk, h5py.File(disk, "w", track_order=False) as file:
        file.create_dataset("features", features.shape, np.float16, track_times=False)[:] = features
        ids = extraction.images.ids
        file.create_dataset("image_ids", ids.shape, np.int64, track_times=False)[:] = ids
        names = file.create_dataset("image_names", ids.shape, text, track_times=False)
        names[:] = np.array([name.encode() for name in extraction.images.names], text)
        file.attrs["backbone"] = extraction.backbone
        file.attrs["layer"] = extraction.layers[0]
        file.attrs["transform"] = transform
        file.attrs["weights"] = extraction.weights_id
    return path.read_bytes()


@pytest.mark.parametrize("layer", ["flatten", "classifier.1"])
def test_the_bytes_are_those_that_h5py_writes(tmp_path: Path, layer: str) -> None:
    """A vector and a grid, the rows written by shards out of order."""
    extraction = replace(make(tmp_path / "work"), layers=(layer,))
    settings = prepare(extraction)
    for shard in (1, 2, 0):
        list(extract_shards(extraction, settings, [shard]))
    done = finish(extraction, settings)
    file = done.files[layer]
    content, stored = file.path.read_bytes(), read_features(file.path)
    expected = h5py_s_own(tmp_path / "h", stored.features, extraction, stored.attributes["transform"])
    assert content == expected and file.sha256 == hashlib.sha256(content).hexdigest()
    assert stored.features.any(axis=tuple(range(1, stored.features.ndim))).all()


LAYERS = ("classifier.2", "flatten", "features.3.squeeze_activation")


def test_several_layers_take_one_pass_and_each_file_is_that_of_the_layer_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = {}
    for layer in LAYERS:
        extraction = replace(make(tmp_path / layer), layers=(layer,))
        alone[layer] = extractions.finished(extraction, in_this_process(extraction))
    extraction = replace(make(tmp_path / "all"), layers=LAYERS)
    settings, passes, reads = prepare(extraction), [], []
    backbone = _worker(*_choices(extraction, ""))[0]
    first = next(module for module in backbone.module.modules() if isinstance(module, ConvReLU))
    hook = first.register_forward_pre_hook(lambda module, given: passes.append(len(given[0])))
    read = Pictures.read
    monkeypatch.setattr(Pictures, "read", lambda pictures, row: reads.append(row) or read(pictures, row))
    do_missing(extraction, settings)
    hook.remove()
    assert passes == [2] * 5 and sorted(reads) == list(range(10))  # shards of 4, 4 and 2, in batches of two
    for layer, file in finish(extraction, settings).files.items():
        (other := tmp_path / f"{layer}.h5").write_bytes(alone[layer])
        np.testing.assert_array_equal(read_features(file.path).features, read_features(other).features)
        assert file.path.read_bytes() == alone[layer]


def test_of_several_layers_a_damaged_row_of_one_is_done_again_in_all(tmp_path: Path) -> None:
    extraction = replace(make(tmp_path), layers=LAYERS)
    settings = in_this_process(extraction)
    expected = extractions.finished(extraction, settings)
    with settings.features(tmp_path, "flatten").open("r+b") as file:
        file.seek(-5 * ROW, 2)
        file.write(b"lost")
    with pytest.raises(DamagedRows, match=r"flatten/artifact/features\.h5: 1 shards .* such as \[1\]"):
        finish(extraction, settings)
    assert do_missing(extraction, settings) == [1] and extractions.finished(extraction, settings) == expected
    settings.features(tmp_path, "classifier.2").unlink()
    assert missing_shards(extraction, settings) == [0, 1, 2]


def test_bad_pictures_are_left_out_of_the_file_of_every_layer(tmp_path: Path) -> None:
    extraction = replace(make(tmp_path, drawings(10, broken=(1, 6))), layers=LAYERS)
    files = finish(extraction, in_this_process(extraction), max_bad_images=2).files
    for layer, file in files.items():
        stored = read_features(file.path)
        assert stored.attributes["layer"] == layer and len(stored.features) == 8
        assert not set(stored.image_ids.tolist()) & {4, 19} and stored.features.any(axis=None)
        assert file.sha256 == hashlib.sha256(file.path.read_bytes()).hexdigest()


ROW = 1000 * 2  # bytes


@pytest.mark.parametrize(
    "damage, again",
    [
        ("manifest", {1}),
        ("text", {1}),
        ("rows", {1}),
        ("head", set()),
        ("tail", set()),
        ("half", {1, 2}),
        ("longer", set()),
        ("gone", {0, 1, 2}),
    ],
)
def test_only_what_is_damaged_is_done_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str, again: set[int]
) -> None:
    """Of a run that was killed before its end, what is found on the disk by the next."""
    monkeypatch.setattr("tasks.extraction.engines.run_local", in_this_process)
    extraction = make(tmp_path)
    settings = in_this_process(extraction)
    expected = extractions.finished(extraction, settings)
    manifests = [settings.folder(tmp_path) / f"shard-{number:06}.json" for number in range(3)]
    path = settings.features(extraction.work, "flatten")
    start = expected.index(read_features(path).features.tobytes())
    flipped = bytearray(expected)
    flipped[{"rows": start + 5 * ROW, "head": 700, "tail": start + 10 * ROW + 80}.get(damage, 0)] ^= 1
    if damage in ("manifest", "text"):
        manifests[1].unlink() if damage == "manifest" else manifests[1].write_text("{")
    elif damage == "gone":
        path.unlink()
    else:
        half = expected[: start + 6 * ROW]
        path.write_bytes({"half": half, "longer": expected * 2}.get(damage, bytes(flipped)))
    before = [path.stat().st_mtime_ns if path.exists() else 0 for path in manifests]
    assert extract_features(extraction)[1].files["flatten"].path.read_bytes() == expected
    assert {number for number in range(3) if manifests[number].stat().st_mtime_ns != before[number]} == again


def test_rows_that_a_disk_loses_again_and_again_are_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def losing(extraction: Extraction, progress: object) -> Arithmetic:
        settings = in_this_process(extraction)
        with settings.features(extraction.work, "flatten").open("r+b") as file:
            file.seek(-5 * ROW, 2)
            file.write(b"lost")
        return settings

    monkeypatch.setattr("tasks.extraction.engines.run_local", losing)
    with pytest.raises(DamagedRows, match=r"features\.h5: 1 shards .* such as \[1\]\. Is the disk failing"):
        extract_features(make(tmp_path))


def test_a_writer_that_fails_ends_the_run_in_its_own_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the network goes on; the shards before it are kept."""
    whole = Unfinished.write

    def full(file: Unfinished, first: int, features: np.ndarray) -> str:
        if first == 4:
            raise OSError(errno.ENOSPC, "No space left on device", str(file.path))
        return whole(file, first, features)

    monkeypatch.setattr(Unfinished, "write", full)
    extraction = make(tmp_path)
    settings, seen = prepare(extraction), []
    with pytest.raises(OSError, match="No space left on device"):
        for result in extract_shards(extraction, settings, range(3)):
            seen.append(result.shard)
    assert seen == [0] and missing_shards(extraction, settings)[0] == 1
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("writer")]


def test_the_network_does_not_wait_for_the_writer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first shard's rows can't be written before the second's have been computed."""
    computed, whole = threading.Event(), Unfinished.write

    def late(file: Unfinished, first: int, features: np.ndarray) -> str:
        assert computed.wait(60)
        return whole(file, first, features)

    monkeypatch.setattr(Unfinished, "write", late)
    extraction, pictures = make(tmp_path), []

    def hear(batch: int) -> None:
        pictures.append(batch)
        if sum(pictures) == 8:
            computed.set()

    list(extract_shards(extraction, prepare(extraction), range(3), on_batch=hear))
    assert sum(pictures) == 10


def test_shards_of_other_pictures_or_settings_do_not_count(tmp_path: Path) -> None:
    extraction = make(tmp_path)
    settings = prepare(extraction)
    do_missing(extraction, settings)
    other = replace(extraction.images, ids=extraction.images.ids + 1)
    assert missing_shards(replace(extraction, images=other), settings) == [0, 1, 2]
    assert missing_shards(replace(extraction, weights_id="random:1"), settings) == [0, 1, 2]
    for layers in (("flatten", "classifier.1"), ("classifier.1",)):
        assert missing_shards(replace(extraction, layers=layers), settings) == [0, 1, 2]
    for change in ({"batch": 4}, {"precision": "bfloat16"}, {"threads": 2}, {"torch": "9"}, {"code": 99}):
        assert missing_shards(extraction, replace(settings, **change)) == [0, 1, 2]


def test_bad_pictures_are_all_listed_with_the_line_that_allows_them(tmp_path: Path) -> None:
    extraction = make(tmp_path, drawings(10, broken=(1, 6, 9)))
    settings = prepare(extraction)
    do_missing(extraction, settings)
    with pytest.raises(DataError) as caught:
        finish(extraction, settings, max_bad_images=2)
    text = str(caught.value)
    assert "3 of 10" in text and "max_bad_images = 3" in text and "[features]" in text
    assert all(
        name in text for name in ("001.ppm (id 4)", "006.ppm (id 19)", "009.ppm", "CRC", "not a picture")
    )
    assert do_missing(extraction, settings) == [0, 1, 2]  # open again: the next run looks anew
    done = finish(extraction, settings, max_bad_images=3)
    stored = read_features(done.files["flatten"].path)
    assert [picture.image_id for picture in done.bad] == [4, 19, 28]
    assert len(stored.features) == done.pictures == 7
    assert not set(stored.image_ids.tolist()) & {4, 19, 28}
    assert stored.features.any(axis=1).all()


def test_a_picture_that_is_mended_is_used_by_the_next_run_which_does_its_shard_alone(tmp_path: Path) -> None:
    extraction = make(tmp_path, drawings(10, broken=(6,)))
    settings = prepare(extraction)
    do_missing(extraction, settings)
    with pytest.raises(DataError, match="1 of 10"):
        finish(extraction, settings)
    mended = make(tmp_path)
    assert do_missing(mended, settings) == [1]
    assert finish(mended, settings).pictures == 10


@dataclass(frozen=True)
class Failing(Pictures):
    """Pictures on storage that fails at one of them."""

    def read(self, index: int) -> bytes:
        if index in self.broken:
            raise DataError(f"{self.names[index]}: can't be read: Input/output error")
        return super().read(index)


def test_storage_that_fails_ends_the_run_and_marks_no_picture(tmp_path: Path) -> None:
    pictures = drawings(10)
    extraction = make(tmp_path, Failing(pictures.ids, pictures.names, broken=(6,)))
    settings = prepare(extraction)
    with pytest.raises(ModelError, match=r"006\.ppm: can't be read: Input/output error"):
        do_missing(extraction, settings)
    assert set(missing_shards(extraction, settings)) >= {1, 2}
    do_missing(make(tmp_path), settings)
    assert finish(make(tmp_path), settings).bad == []


def test_nothing_but_bad_pictures_is_an_error_whatever_is_allowed(tmp_path: Path) -> None:
    extraction = make(tmp_path, drawings(2, broken=(0, 1)))
    settings = prepare(extraction)
    do_missing(extraction, settings)
    with pytest.raises(DataError, match="No picture is left"):
        finish(extraction, settings, max_bad_images=2)


def test_a_job_pickles_and_the_modules_bring_no_luigi(tmp_path: Path) -> None:
    assert pickle.loads(pickle.dumps((extract_shards, make(tmp_path), 0)))[2] == 0
    heavy = "('luigi', 'torch', 'h5py', 'ray')"
    heavy = (
        "import sys, tasks.extraction.shards, tasks.extraction.local_engine; "
        + f"print([m for m in {heavy} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", heavy], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    for name in ("shards", "shard_files", "engines", "ray_engine"):
        tree = ast.parse((Path(__file__).parents[3] / "tasks" / "extraction" / f"{name}.py").read_text())
        imported = {
            alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names
        }
        assert "luigi" not in imported
