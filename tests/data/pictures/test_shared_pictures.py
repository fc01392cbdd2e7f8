"""Which judged pictures are in training too: by path in one image set, by equal bytes wherever they lie."""

from __future__ import annotations

import zipfile
import zlib
from dataclasses import replace

import pytest

from data.base.files import PICTURE_BYTES
from data.pictures import image_sets
from data.pictures.image_sets import open_images
from data.pictures.shared_pictures import SplitPictures, shared_pictures


def lay(folder, files, kind="folder"):
    """The pictures of these names and bytes, in a folder or a zip."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    if kind == "zip":
        path = folder.with_suffix(".zip")
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in files.items():
                archive.writestr(name, content)
        return open_images(path)
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return open_images(folder)


def asked_pictures(images, name, *names):
    """All pictures of a set are asked about, or those named."""
    ids = [
        number
        for number, of in zip(images.ids.tolist(), images.names, strict=True)
        if of in names or not names
    ]
    return SplitPictures(name, images, frozenset(ids))


@pytest.mark.parametrize(
    "kinds", [("folder", "folder"), ("zip", "zip"), ("folder", "zip"), ("zip", "folder")]
)
def test_equal_bytes_are_found_under_any_name_and_no_other(tmp_path, kinds):
    """Of the same size, of the same size and CRC-32, empty ones, and one twice on either side."""
    collide = b"\x00\x01" + b"plumless", b"\x00\x01" + b"buckeroo"  # a known pair of equal CRC-32s
    assert zlib.crc32(b"plumless") == zlib.crc32(b"buckeroo")
    train = {"a.jpg": b"cat", "x/b.jpg": b"dog!", "c.jpg": collide[0], "d.jpg": b"", "e.jpg": b"dog!"}
    val = {
        "1.jpg": b"dog!",
        "2.jpg": b"cow",
        "3.jpg": collide[1],
        "4.jpg": b"",
        "5.jpg": b"cat",
        "6.jpg": b"cat",
    }
    trained, judged = (
        asked_pictures(lay(tmp_path / name, files, kind), name)
        for name, files, kind in (("t", train, kinds[0]), ("v", val, kinds[1]))
    )
    twins = [(shared.name, shared.twin) for shared in shared_pictures([trained], judged)]
    assert twins == [("1.jpg", "e.jpg"), ("5.jpg", "a.jpg"), ("6.jpg", "a.jpg")]


def test_a_picture_is_its_own_twin_in_one_image_set_only(tmp_path):
    images = lay(tmp_path / "p", {"a.jpg": b"a", "b.jpg": b"b", "c.jpg": b"a"})
    twins = shared_pictures(
        [asked_pictures(images, "p", "a.jpg", "b.jpg")], asked_pictures(images, "p", "b.jpg", "c.jpg")
    )
    assert [(shared.image_id, shared.name, shared.twin) for shared in twins] == [
        (2, "b.jpg", "b.jpg"),
        (3, "c.jpg", "a.jpg"),
    ]
    other = lay(tmp_path / "q", {"a.jpg": b"another", "b.jpg": b"yet another"})
    assert (
        shared_pictures([asked_pictures(images, "p")], asked_pictures(other, "q")) == []
    )  # the same paths of two sets
    assert shared_pictures([asked_pictures(images, "p", "a.jpg")], asked_pictures(images, "p", "b.jpg")) == []
    both = [asked_pictures(other, "q"), asked_pictures(images, "p", "a.jpg")]
    assert [shared.twin for shared in shared_pictures(both, asked_pictures(images, "p", "c.jpg"))] == [
        "a.jpg"
    ]


def test_only_pictures_that_may_be_equal_are_read(tmp_path, monkeypatch):
    """In a zip: those of equal size and CRC-32; in a folder: those of equal size."""
    files = {f"{number:04}.jpg": bytes([number % 256]) * (1 + number % 50) for number in range(500)}
    read = []
    whole = image_sets.Images.read
    monkeypatch.setattr(image_sets.Images, "read", lambda self, row: read.append(row) or whole(self, row))
    for kind, most in (("zip", 0), ("folder", 1000)):
        train = lay(tmp_path / kind / "t", files, kind)
        val = lay(
            tmp_path / kind / "v",
            {name: content[:-1] + bytes([content[-1] ^ 1]) for name, content in files.items()},
            kind,
        )
        read.clear()
        assert (
            shared_pictures([asked_pictures(train, "t")], asked_pictures(val, "v")) == []
            and len(read) <= most
        )
        assert kind == "zip" or read
    told = []
    shared_pictures(
        [asked_pictures(train, "t")], asked_pictures(val, "v"), lambda done, of, _: told.append((done, of))
    )
    assert told[-1][0] == told[-1][1] > 0


def test_what_is_too_large_or_damaged_to_be_a_picture_equals_nothing(tmp_path):
    images = lay(tmp_path / "p", {"a.jpg": b"abc", "b.jpg": b"abc"}, "zip")
    content = bytearray(images.path.read_bytes())
    content[content.index(b"abc")] ^= 1  # in the first member's bytes
    images.path.write_bytes(content)
    images = open_images(images.path)
    assert (
        len(shared_pictures([asked_pictures(images, "p", "a.jpg")], asked_pictures(images, "p", "b.jpg")))
        == 0
    )
    for name in ("a.jpg", "b.jpg"):
        with (tmp_path / name).open("wb") as file:
            file.truncate(PICTURE_BYTES + 1)
    large = open_images(tmp_path)
    assert shared_pictures([asked_pictures(large, "p", "a.jpg")], asked_pictures(large, "p", "b.jpg")) == []


def test_many_pictures_of_one_kind_are_compared_in_time_that_grows_with_their_number(tmp_path, monkeypatch):
    """Ten thousand equal ones: each is read once or twice, not once for each other."""
    number, reads = 3000, []
    images = lay(tmp_path / "p", {f"{n}.jpg": b"black" for n in range(number)}, "zip")
    whole = image_sets.Images.read
    monkeypatch.setattr(image_sets.Images, "read", lambda self, row: reads.append(row) or whole(self, row))
    half = frozenset(range(1, number // 2 + 1))
    judged = replace(asked_pictures(images, "q"), ids=frozenset(images.ids.tolist()) - half)
    assert len(shared_pictures([SplitPictures("p", images, half)], judged)) == number // 2
    assert len(reads) == number
