"""Features of one's own pictures: a folder or a zip in, one file out, nothing else left."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data.base.errors import DataError, ModelError
from data.pictures.feature_file import read_features
from tasks.extraction.standalone import extract_pictures

HOW = {"device": "cpu", "threads": 1, "batch": 2}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for number in range(5):
        noise = np.random.default_rng(number).integers(0, 256, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(noise).save(pictures / f"{number}.png")
    (pictures / "notes.txt").write_text("not a picture by its name")
    (pictures / "broken.jpg").write_text("<html>404</html>")
    return pictures


@pytest.mark.slow
def test_a_folder_and_its_zip_give_the_same_rows(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out" / "features.h5"
    out.parent.mkdir()
    with pytest.raises(DataError, match=r"broken\.jpg.*\n.*\n\[features\]\nmax_bad_images = 1"):
        extract_pictures(folder, out, tmp_path / "room", "squeezenet1_1", "flatten", **HOW)
    assert not out.exists()
    how = (tmp_path / "room", "squeezenet1_1", "flatten")
    outcome = extract_pictures(folder, out, *how, max_bad_images=1, **HOW)
    assert outcome.merged.pictures == 5 and outcome.skipped == ["notes.txt"]
    assert [path.name for path in out.parent.iterdir()] == ["features.h5"]
    with zipfile.ZipFile(tmp_path / "pictures.zip", "w") as archive:
        for path in sorted(folder.iterdir()):
            archive.write(path, path.name)
    other = tmp_path / "out" / "zipped.h5"
    extract_pictures(tmp_path / "pictures.zip", other, *how, max_bad_images=1, **HOW)
    assert other.read_bytes() == out.read_bytes()
    assert read_features(out).image_names == [f"{number}.png" for number in range(5)]


def test_mistakes_are_found_before_any_work(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="make it first"):
        extract_pictures(folder, tmp_path / "nowhere" / "f.h5", tmp_path, "vgg16")
    with pytest.raises(ModelError, match="vgg16"):
        extract_pictures(folder, tmp_path / "f.h5", tmp_path, "vvg16")
    with pytest.raises(ModelError, match="random:SEED"):
        extract_pictures(folder, tmp_path / "f.h5", tmp_path, "vgg16", weights="imagenet")
