"""Pictures from zips and folders: the right ids, the right bytes, and what was left out is said."""

from __future__ import annotations

import json
import multiprocessing
import os
import pickle
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

from data.base.errors import DataError
from data.base.hashes import file_identity
from data.catalog.entries import ImageSet, Source
from data.download.local_copies import local_copy, verify_file
from data.pictures.folders import is_picture
from data.pictures.identities import folder_identity
from data.pictures.image_sets import open_images

PHOTOS = Path(__file__).resolve().parents[4] / "shared" / "data" / "coco_photos"


def coco(number: int, subset: str = "train2014") -> str:
    return f"COCO_{subset}_{number:012d}.jpg"


def image_set(images: int | None, prefix: str = "COCO_train2014_") -> ImageSet:
    return ImageSet("train2014", Source("train2014", "train2014.zip"), images, prefix)


@pytest.fixture(params=["zip", "folder"])
def place(request, tmp_path):
    """Put files into a zip or a folder; their bytes are their names."""

    def write(*names: str) -> Path:
        folder = tmp_path / "set"
        if request.param == "folder":
            for name in names:
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(name.encode())
            return folder
        with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
            archive.writestr("train2014/", b"")
            for name in names:
                archive.writestr(name, name.encode())
        return tmp_path / "set.zip"

    return write


def test_coco_names_give_the_ids(place):
    names = [f"train2014/{coco(n)}" for n in (581929, 9, 25)]
    images = open_images(place(*names, "train2014/readme.txt"), image_set(3))
    assert images.ids.dtype == np.int64 and images.ids.tolist() == [9, 25, 581929]
    assert images.names == [f"train2014/{coco(n)}" for n in (9, 25, 581929)]
    assert images.skipped == ["train2014/readme.txt"]
    assert [images.read(row) for row in range(len(images))] == [name.encode() for name in images.names]


def test_other_names_are_numbered_by_their_sorted_path(place):
    images = open_images(
        place("b.png", "a/z.JPG", "a/b.jpeg", "Z.webp", "notes.txt", ".hidden.jpg", "__MACOSX/._b.png")
    )
    assert images.names == ["Z.webp", "a/b.jpeg", "a/z.JPG", "b.png"]
    assert images.ids.tolist() == [1, 2, 3, 4]
    assert images.skipped == [".hidden.jpg", "__MACOSX/._b.png", "notes.txt"]


def test_mixed_names_are_numbered_too(place):
    images = open_images(place(coco(9), "beach.jpg"))
    assert images.ids.tolist() == [1, 2] and images.names == [coco(9), "beach.jpg"]


def test_without_an_image_set_coco_numbers_still_count(place):
    assert open_images(place(coco(9), coco(4, "val2014"))).ids.tolist() == [4, 9]


def asked_by_id(rule: str) -> ImageSet:
    return ImageSet("mine", Source("mine", "mine"), None, "", rule)


@pytest.mark.parametrize("rule", ["numbers", "numbers or paths"])
def test_where_questions_ask_by_id_the_numbers_of_names_are_the_ids(place, rule):
    images = open_images(
        place("10.jpg", "b/img_2.png", "COCO_x_3.jpg", "0001.jpg", "a.txt"), asked_by_id(rule)
    )
    assert dict(zip(images.ids.tolist(), images.names, strict=True)) == {
        1: "0001.jpg",
        2: "b/img_2.png",
        3: "COCO_x_3.jpg",
        10: "10.jpg",
    }
    assert (np.diff(images.ids) > 0).all() and images.skipped == ["a.txt"]
    assert images.read(3) == b"10.jpg"


def test_names_without_a_number_of_their_own_are_refused_where_only_an_id_can_ask(place):
    path = place("2.jpg", "a/02.jpg", *(f"{letter}.jpg" for letter in "abcdefghijkl"))
    with pytest.raises(
        DataError, match=r"13 of 14 have no number of their own .*: a\.jpg, a/02\.jpg \(2, as 2\.jpg\), b"
    ) as caught:
        open_images(path, asked_by_id("numbers"))
    said = str(caught.value)
    assert (
        "; and 3 more. Rename or remove them, or state the data as [own.NAME]" in said and "k.jpg" not in said
    )
    assert open_images(path, asked_by_id("numbers or paths")).ids.tolist() == list(range(1, 15))


def test_the_count_must_be_the_catalogs(place):
    with pytest.raises(
        DataError, match="found 2 pictures, expected the 3 of train2014; 1 other files, such as beach"
    ):
        open_images(place(coco(1), coco(2), "beach.jpg"), image_set(3))


def test_pictures_of_another_set_are_reported(place):
    images = open_images(place(coco(1), coco(2, "val2014")), image_set(1))
    assert images.ids.tolist() == [1] and images.skipped == [coco(2, "val2014")]


def test_one_id_twice_is_refused(place):
    with pytest.raises(DataError, match=f"two pictures have id 7: a/{coco(7)} and b/{coco(7)}"):
        open_images(place(f"a/{coco(7)}", f"b/{coco(7)}"))


def test_no_pictures_at_all(place):
    path = place("notes.txt")
    with pytest.raises(DataError, match=r"no pictures; expected files that end in .*jpg.*such as notes.txt"):
        open_images(path)
    with pytest.raises(DataError, match=r"expected names such as COCO_train2014_000000000009\.jpg"):
        open_images(path, image_set(None))


def test_neither_zip_nor_folder(tmp_path):
    with pytest.raises(DataError, match="No such file"):
        open_images(tmp_path / "nothing")
    (tmp_path / "text").write_text("hello")
    with pytest.raises(DataError, match="not a readable zip"):
        open_images(tmp_path / "text")


def test_a_picture_that_went_away(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"x")
    images = open_images(tmp_path)
    (tmp_path / "a.jpg").unlink()
    with pytest.raises(DataError, match=r"a\.jpg: can't be read: No such file"):
        images.read(0)


def test_a_linked_folder_is_reported_and_not_followed(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"x")
    (tmp_path / "loop").symlink_to(tmp_path)
    assert open_images(tmp_path).skipped == ["loop/"]


def first_bytes(images) -> bytes:
    return b"".join(images.read(row) for row in range(len(images)))


def test_they_go_to_other_processes(place):
    images = open_images(place(*(coco(n) for n in range(1, 50))))
    expected = first_bytes(images)
    assert first_bytes(pickle.loads(pickle.dumps(images))) == expected
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(first_bytes, (images,)) == expected


def test_real_photographs():
    if not PHOTOS.is_dir():
        pytest.skip("../shared/data/coco_photos is not here")
    images = open_images(PHOTOS)
    assert images.ids[0] == 30 and (np.diff(images.ids) > 0).all()
    assert "LICENCES.tsv" in images.skipped
    assert all(images.read(row)[:2] == b"\xff\xd8" for row in range(len(images)))


def test_an_image_set_of_full_size(tmp_path):
    """82,783 members, as train2014 has; their bytes don't matter here."""
    path = tmp_path / "train2014.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(82783):
            archive.writestr(zipfile.ZipInfo(f"train2014/{coco(number * 7)}"), b"x")
    images = open_images(path, image_set(82783))
    assert len(images) == 82783 and images.ids[-1] == 82782 * 7
    assert images.read(41) == b"x"


# ------------------------------------------------------------------------------------ what one already has


def age(*paths: Path) -> None:
    """Wait until the files are old enough for their hashes to be remembered."""
    newest = max(path.stat().st_ctime_ns for path in paths)
    while time.time_ns() - newest <= 2_000_000_000:
        time.sleep(0.05)


def test_a_folders_identity_follows_its_pictures(tmp_path):
    folder, cache = tmp_path / "mine", tmp_path / "cache.json"
    (folder / "sub").mkdir(parents=True)
    (folder / "a.jpg").write_bytes(b"one")
    (folder / "sub" / "b.jpg").write_bytes(b"two")
    first = folder_identity(folder, cache)
    (folder / "notes.txt").write_text("no picture")
    os.utime(folder / "a.jpg", (1, 1))
    assert folder_identity(folder, cache) == first
    (folder / "a.jpg").write_bytes(b"One")
    os.utime(folder / "a.jpg", (1, 1))  # same size, same mtime
    second = folder_identity(folder, cache)
    (folder / "sub" / "b.jpg").rename(folder / "sub" / "c.jpg")
    assert len({first, second, folder_identity(folder, cache)}) == 3


def test_hashes_are_remembered(tmp_path):
    folder, cache = tmp_path / "mine", tmp_path / "cache.json"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(b"one")
    age(folder / "a.jpg")
    first = folder_identity(folder, cache)
    known = json.loads(cache.read_text())
    (entry,) = known.values()
    entry[-1] = "0" * 64  # a sign that the cache, not the file, is read
    cache.write_text(json.dumps(known))
    assert folder_identity(folder, cache) != first
    cache.write_text("{broken")
    assert folder_identity(folder, cache) == first
    assert file_identity(folder / "a.jpg", cache) == entry_of(cache)


def entry_of(cache: Path) -> str:
    (entry,) = json.loads(cache.read_text()).values()
    return entry[-1]


def test_an_empty_folder_has_no_identity(tmp_path):
    with pytest.raises(DataError, match="no pictures in this folder"):
        folder_identity(tmp_path, tmp_path / "cache.json")


def test_a_local_copy_is_found_by_name(tmp_path):
    source = Source("train2014", "train2014.zip", ("https://127.0.0.1/train2014.zip",))
    mirror = tmp_path.as_uri()
    assert local_copy(source, None) is None
    assert local_copy(source, "http://127.0.0.1/zips") is None
    assert local_copy(source, mirror) is None
    (tmp_path / "train2014").mkdir()
    assert local_copy(source, mirror) is None
    assert local_copy(source, mirror, unpacked=True) == tmp_path / "train2014"
    with zipfile.ZipFile(tmp_path / "train2014.zip", "w"):
        pass
    assert local_copy(source, mirror, unpacked=True) == tmp_path / "train2014.zip"
    with pytest.raises(DataError, match="is not a folder"):
        local_copy(source, mirror + "/nowhere")
    with pytest.raises(DataError, match="file:///absolute/path"):
        local_copy(source, "file://mnt/coco")


def test_ones_own_path_is_used_in_place(tmp_path):
    own = Source("mine", "pictures", path=tmp_path / "pictures")
    with pytest.raises(DataError, match="does not exist"):
        local_copy(own)
    (tmp_path / "pictures").mkdir()
    assert local_copy(own, unpacked=True) == tmp_path / "pictures"
    with pytest.raises(DataError, match="is a folder; expected a file"):
        local_copy(own)


def test_a_file_is_verified(tmp_path):
    path = tmp_path / "a.zip"
    path.write_bytes(b"abc")
    right = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert verify_file(path, Source("a", "a.zip", sha256=right, bytes=3)) == right
    assert verify_file(path, Source("a", "a.zip", sha256_prefix="ba7816bf")) == right
    with pytest.raises(DataError, match="found 3 bytes, expected 4"):
        verify_file(path, Source("a", "a.zip", sha256=right, bytes=4))
    with pytest.raises(DataError, match=f"found sha256 {right}, expected {'0' * 64}"):
        verify_file(path, Source("a", "a.zip", sha256="0" * 64))


@pytest.mark.parametrize(
    ("name", "is_one"),
    [
        *[(name, True) for name in ("a.jpg", "b/c.PNG", "x.y.tiff", "a b.webp", "é.gif", "jpg.jpg")],
        *[
            (name, False)
            for name in ("png", "photos/JPG", "jpeg", ".png", "a/.jpg", "a.png/", "a.pngx", "a.", "")
        ],
    ],
)
def test_a_picture_has_a_name_before_its_ending(name, is_one):
    assert is_picture(name) is is_one


def test_a_file_named_png_is_left_out(place):
    images = open_images(place("a.png", "png", "photos/jpg"))
    assert images.names == ["a.png"] and sorted(images.skipped) == ["photos/jpg", "png"]
