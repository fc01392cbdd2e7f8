"""Features of your own pictures: a folder or a zip in, one file out, nothing else left."""

from __future__ import annotations

import errno
import itertools
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data.base.errors import DataError, ModelError
from data.pictures.feature_file import read_features
from tasks.extraction.standalone import extract_pictures

ROOT = Path(__file__).parents[3]
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
        extract_pictures(folder, out, tmp_path / "room", "squeezenet1_1", ["flatten"], **HOW)
    assert not out.exists()
    how = (tmp_path / "room", "squeezenet1_1", ["flatten"])
    outcome = extract_pictures(folder, out, *how, max_bad_images=1, **HOW)
    assert outcome.features.pictures == 5 and outcome.skipped == ["notes.txt"]
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
    two, out = ["fc6", "fc7"], tmp_path / "f-fc7.h5"
    with pytest.raises(ModelError, match="'fc6' is named twice"):
        extract_pictures(folder, tmp_path / "f.h5", tmp_path, "vgg16", [*two, "fc6"])
    out.mkdir()
    with pytest.raises(DataError, match=r"f-fc7\.h5: is a folder, which is not replaced"):
        extract_pictures(folder, tmp_path / "f.h5", tmp_path, "vgg16", two)
    with pytest.raises(DataError, match=r"f-fc7\.h5: is a folder, which is not replaced"):
        extract_pictures(folder, out, tmp_path, "vgg16", two)
    with pytest.raises(DataError, match=r"f\.h5: --format npy writes a file that ends in \.npy"):
        extract_pictures(folder, tmp_path / "f.h5", tmp_path, "vgg16", two, form="npy")
    with pytest.raises(ModelError, match=r"vgg16 has no '\.\./fc7'"):
        extract_pictures(folder, tmp_path / "f.h5", tmp_path, "vgg16", ["fc6", "../fc7"])
    (tmp_path / "g-fc6.h5").symlink_to(tmp_path / "g-fc7.h5")
    with pytest.raises(DataError, match=r"g\.h5: the files of two layers are links to one"):
        extract_pictures(folder, tmp_path / "g.h5", tmp_path, "vgg16", two)
    source = folder.rename(tmp_path / "f-fc6.jpg")
    with pytest.raises(DataError, match=r"f-fc6\.jpg: is a folder"):
        extract_pictures(source, tmp_path / "f.jpg", tmp_path, "vgg16", two)


SCRIPT = """
import sys
from pathlib import Path
from tasks.extraction.standalone import extract_pictures
if __name__ == "__main__":
    pictures, out, room = map(Path, sys.argv[1:4])
    extract_pictures(pictures, out, room, "squeezenet1_1", sys.argv[4:], form=out.suffix[1:], device="cpu",
                     threads=1, batch=2, shard=4)
"""


@pytest.mark.slow
@pytest.mark.parametrize("form", ["h5", "npy"])
def test_killed_with_several_layers_it_goes_on_and_each_file_is_that_of_the_layer_alone(
    folder: Path, tmp_path: Path, form: str
) -> None:
    (folder / "broken.jpg").unlink()
    for number in range(5, 24):
        shutil.copyfile(folder / f"{number % 5}.png", folder / f"{number}.png")
    script = tmp_path / "run.py"
    script.write_text(SCRIPT)

    def start(out: str, *layers: str) -> subprocess.Popen[bytes]:
        words = [sys.executable, script, folder, tmp_path / out, tmp_path / "room", *layers]
        return subprocess.Popen(words, env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"})

    layers = ("classifier.2", "flatten")
    run = start(f"f.{form}", *layers)
    while run.poll() is None and not (begun := list(tmp_path.glob("room/.work/*/*/shard-*.json"))):
        time.sleep(0.02)
    run.kill()
    assert run.wait() == -signal.SIGKILL and not list(tmp_path.glob("f*"))
    before = [path.stat().st_mtime_ns for path in begun]
    again = start(f"f.{form}", *layers)
    after: list[int] = []
    while again.poll() is None:
        with suppress(FileNotFoundError):  # at the end they are removed
            after = [path.stat().st_mtime_ns for path in begun]
        time.sleep(0.02)
    assert again.returncode == 0 and after == before
    for layer in layers:
        assert start(f"{layer}.{form}", layer).wait() == 0
    endings = ["-ids.npy", "-names.json", ".npy"] if form == "npy" else [".h5"]
    for layer, ending in itertools.product(layers, endings):
        assert (tmp_path / f"f-{layer}{ending}").read_bytes() == (tmp_path / f"{layer}{ending}").read_bytes()
    assert len(list(tmp_path.glob("f-*"))) == 2 * len(endings) and not (tmp_path / f"f.{form}").exists()
    assert not list(tmp_path.glob("room/.work/*"))


@pytest.mark.slow
def test_another_disk_gets_a_copy(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a rename can't take the file; the old one's permissions are the new one's."""
    (folder / "broken.jpg").unlink()
    out = tmp_path / "features.h5"
    out.write_text("old")
    out.chmod(0o640)
    moved = Path.replace

    def refuse(path: Path, target: Path) -> Path:
        if path.name == "features.h5":
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        return moved(path, target)

    how = (tmp_path / "room", "squeezenet1_1", ["flatten"])
    extract_pictures(folder, tmp_path / "moved.h5", *how, **HOW)
    monkeypatch.setattr(Path, "replace", refuse)
    extract_pictures(folder, out, *how, **HOW)
    assert out.read_bytes() == (tmp_path / "moved.h5").read_bytes() and out.stat().st_mode & 0o777 == 0o640
    assert {path.name for path in tmp_path.iterdir()} == {"features.h5", "moved.h5", "pictures", "room"}
    assert list((tmp_path / "room" / ".work").iterdir()) == []
