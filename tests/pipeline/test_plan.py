"""What `plan` says of costs: bytes, pictures and time of each stage, and sums only of what is known."""

from __future__ import annotations

import zipfile

import pytest
from commands import TinyShell

from pipeline.commands.plan import Cost, _sum

VGG = ("--backbone", "vgg16", "--layer", "fc7", "--weights", "random:0")


def cost(seconds=None, download=0, unsized=0):
    return Cost(pictures=None, download=download, disk=download, unsized=unsized, seconds=seconds)


@pytest.mark.parametrize(
    "costs, said",
    [
        ([cost(60.0), cost(30.0)], "about 1 min 30 s"),
        ([cost(60.0), cost()], "about 1 min 0 s and 1 stage whose time is not known"),
        ([cost(60.0), cost(), cost()], "time not known"),
        ([cost()], "time not known"),
    ],
)
def test_times_are_summed_where_most_are_known(costs, said):
    assert _sum(costs).endswith(f" free, {said}")


def test_files_of_unknown_size_are_counted():
    assert _sum([cost(download=10**9), cost(unsized=1)]).startswith(
        "to download 1.0 GB and 1 file of unknown size, disk 1.0 GB of "
    )


def row(output, stage):
    [line] = [line for line in output.splitlines() if line.startswith(f"run   {stage}  ")]
    return line.split()[3:]


def test_each_stage_has_its_bytes_and_pictures(tmp_path):
    output = TinyShell(tmp_path)("pipeline", "plan", "ExtractFeatures", "--image-set", "train2014", *VGG)
    assert row(output, "download-images")[:6] == ["13.5", "GB", "13.5", "GB", "?", "never"]
    assert row(output, "extract-features")[0] == "82,783"


def test_your_own_pictures_are_counted(tmp_path):
    """In a folder and in a zip; what is not a picture by its name is not one."""
    photos = tmp_path / "photos"
    for name in ("a.jpg", "in/b.PNG", "in/deeper/c.jpeg", "notes.txt", ".hidden.jpg", "__MACOSX/a.jpg"):
        (photos / name).parent.mkdir(parents=True, exist_ok=True)
        (photos / name).write_bytes(b"of any kind")
    (tmp_path / "qa.csv").write_text("image,question,answer\na.jpg,what?,cat\n")
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        for path in photos.rglob("*"):
            archive.write(path, path.relative_to(tmp_path))
    shell = TinyShell(tmp_path)
    shell.configure("[sources]\ndatasets = mine.toml\n")
    words = ("ExtractFeatures", "--image-set", "mine", *VGG)
    for name in ("photos", "photos.zip"):
        (tmp_path / "mine.toml").write_text(f'[own.mine]\npictures = "{name}"\nquestions = "qa.csv"\n')
        output = shell("pipeline", "plan", *words)
        assert row(output, "extract-features")[:3] == ["3", "24.6", "kB"]
