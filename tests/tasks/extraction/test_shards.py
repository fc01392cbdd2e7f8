"""Shards: finished ones are never done again, damaged ones are, and the merged file does not tell."""

from __future__ import annotations

import ast
import pickle
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from data.base.errors import ContentError, DataError, ModelError
from data.pictures.feature_file import read_features
from models.backbones.extraction import extract
from tasks.extraction.job import Arithmetic, Extraction
from tasks.extraction.shard_files import merge_shards, missing_shards
from tasks.extraction.shards import extract_shards, prepare


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
    return Extraction(
        images=pictures or drawings(10),  # type: ignore[arg-type]
        backbone="squeezenet1_1",
        layer="flatten",
        weights="random:0",
        weights_id="random:0",
        work=work,
        device="cpu",
        precision="float32",
        threads=1,
        batch=2,
        shard=4,
    )


def finish(extraction: Extraction, settings: Arithmetic) -> list[int]:
    return [
        result.shard for result in extract_shards(extraction, settings, missing_shards(extraction, settings))
    ]


def test_shards_merge_into_one_file_of_rows_in_the_order_of_ids(tmp_path: Path) -> None:
    extraction = make(tmp_path / "work")
    settings = prepare(extraction)
    assert missing_shards(extraction, settings) == [0, 1, 2] == finish(extraction, settings)
    merged = merge_shards(extraction, settings, tmp_path / "features.h5")
    found = read_features(tmp_path / "features.h5")
    assert merged.pictures == 10 and merged.bad == [] and merged.shape == (1000,)
    assert found.image_ids.tolist() == extraction.images.ids.tolist()
    assert found.image_names == extraction.images.names
    assert found.attributes["weights"] == "random:0" and "224x224" in found.attributes["transform"]
    assert (found.attributes["backbone"], found.attributes["layer"]) == ("squeezenet1_1", "flatten")
    from tasks.extraction.shards import _choices, _worker

    backbone = _worker(*_choices(extraction, ""))[0]
    assert np.array_equal(
        found.features, extract(backbone, [extraction.images.read(i) for i in range(10)], 2).features
    )


def test_any_order_and_any_repetition_gives_the_same_bytes(tmp_path: Path) -> None:
    straight, crooked = make(tmp_path / "straight"), make(tmp_path / "crooked")
    settings = prepare(straight)
    finish(straight, settings)
    for shard in (2, 0, 2, 1):
        assert [result.shard for result in extract_shards(crooked, settings, [shard])] == [shard]
    for extraction in (straight, crooked):
        merge_shards(extraction, settings, extraction.work / "features.h5")
    assert (straight.work / "features.h5").read_bytes() == (crooked.work / "features.h5").read_bytes()


@pytest.mark.parametrize("damage", ["manifest", "rows", "flipped", "half", "text"])
def test_only_what_is_damaged_is_done_again(tmp_path: Path, damage: str) -> None:
    extraction = make(tmp_path)
    settings = prepare(extraction)
    finish(extraction, settings)
    folder = settings.folder(tmp_path)
    rows, manifest = folder / "shard-000001.npy", folder / "shard-000001.json"
    whole = bytearray(rows.read_bytes())
    if damage in ("manifest", "rows"):
        (manifest if damage == "manifest" else rows).unlink()
    elif damage == "flipped":
        whole[-1] ^= 1
        rows.write_bytes(whole)
    elif damage == "half":
        rows.write_bytes(whole[: len(whole) // 2])
    else:
        manifest.write_text("{")
    assert missing_shards(extraction, settings) == [1]
    stamp = (folder / "shard-000000.npy").stat().st_mtime_ns
    finish(extraction, settings)
    assert missing_shards(extraction, settings) == []
    assert (folder / "shard-000000.npy").stat().st_mtime_ns == stamp


def test_shards_of_other_pictures_or_settings_do_not_count(tmp_path: Path) -> None:
    extraction = make(tmp_path)
    settings = prepare(extraction)
    finish(extraction, settings)
    other = replace(extraction.images, ids=extraction.images.ids + 1)
    assert missing_shards(replace(extraction, images=other), settings) == [0, 1, 2]
    assert missing_shards(replace(extraction, weights_id="random:1"), settings) == [0, 1, 2]
    for change in ({"batch": 4}, {"precision": "bfloat16"}, {"threads": 2}, {"torch": "9"}, {"code": 99}):
        assert missing_shards(extraction, replace(settings, **change)) == [0, 1, 2]


def test_bad_pictures_are_all_listed_with_the_line_that_allows_them(tmp_path: Path) -> None:
    extraction = make(tmp_path, drawings(10, broken=(1, 6, 9)))
    settings = prepare(extraction)
    finish(extraction, settings)
    with pytest.raises(DataError) as caught:
        merge_shards(extraction, settings, tmp_path / "features.h5", max_bad_images=2)
    text = str(caught.value)
    assert "3 of 10" in text and "max_bad_images = 3" in text and "[features]" in text
    assert all(
        name in text for name in ("001.ppm (id 4)", "006.ppm (id 19)", "009.ppm", "CRC", "not a picture")
    )
    assert finish(extraction, settings) == [0, 1, 2]  # open again: the next run looks anew
    merged = merge_shards(extraction, settings, tmp_path / "features.h5", max_bad_images=3)
    found = read_features(tmp_path / "features.h5")
    assert [picture.image_id for picture in merged.bad] == [4, 19, 28]
    assert len(found.features) == merged.pictures == 7
    assert not set(found.image_ids.tolist()) & {4, 19, 28}
    assert found.features.any(axis=1).all()


def test_a_picture_that_is_mended_is_used_by_the_next_run_which_does_its_shard_alone(tmp_path: Path) -> None:
    extraction = make(tmp_path, drawings(10, broken=(6,)))
    settings = prepare(extraction)
    finish(extraction, settings)
    with pytest.raises(DataError, match="1 of 10"):
        merge_shards(extraction, settings, tmp_path / "features.h5")
    mended = make(tmp_path)
    assert finish(mended, settings) == [1]
    assert merge_shards(mended, settings, tmp_path / "features.h5").pictures == 10


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
        finish(extraction, settings)
    assert set(missing_shards(extraction, settings)) >= {1, 2}
    finish(make(tmp_path), settings)
    assert merge_shards(make(tmp_path), settings, tmp_path / "features.h5").bad == []


def test_nothing_but_bad_pictures_is_an_error_whatever_is_allowed(tmp_path: Path) -> None:
    extraction = make(tmp_path, drawings(2, broken=(0, 1)))
    settings = prepare(extraction)
    finish(extraction, settings)
    with pytest.raises(DataError, match="No picture is left"):
        merge_shards(extraction, settings, tmp_path / "features.h5", max_bad_images=2)


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
