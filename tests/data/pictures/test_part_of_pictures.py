"""Which pictures a part of the data has, and how they are read."""

from __future__ import annotations

import hashlib
import pickle
import zipfile

import pytest

from data.base.errors import DataError
from data.catalog.entries import ImageSet, Source
from data.pictures.image_sets import open_images
from data.pictures.part_of_pictures import choose_part

COCO = ImageSet("train2014", Source("train2014", "train2014.zip"), None, "COCO_train2014_")
IDS = [9, 25, 30, 34, 64, 581929, 581921]


def by_hand(ids, count):
    return sorted(sorted(ids, key=lambda number: hashlib.sha256(f"0:{number}".encode()).hexdigest())[:count])


@pytest.fixture
def archive(tmp_path):
    path = tmp_path / "train2014.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("train2014/", "")
        for number in IDS:
            file.writestr(f"train2014/COCO_train2014_{number:012}.jpg", f"picture {number}" * 9)
    return path


@pytest.mark.parametrize("count", [1, 2, 5, 7])
def test_the_smallest_hashes_are_chosen_and_more_contain_fewer(count):
    assert choose_part({"train": IDS}, count) == {"train": by_hand(IDS, count)}
    assert set(choose_part({"train": IDS}, count)["train"]) <= set(
        choose_part({"train": IDS}, count + 1)["train"]
    )
    assert choose_part({"train": [*IDS, *IDS][::-1]}, count) == choose_part({"train": IDS}, count)


def test_a_known_choice():
    """Written down: another one would be another part under the same path."""
    assert choose_part({"train": range(1, 1001)}, 5) == {"train": [87, 392, 404, 923, 942]}


def test_0_and_too_many_are_all():
    assert choose_part({"train": IDS}, 0) == choose_part({"train": IDS}, 100) == {"train": sorted(IDS)}


def test_splits_that_are_trained_on_together_are_chosen_from_together():
    both = choose_part({"train": IDS[:4], "val": IDS[4:]}, 3)
    assert sorted(both["train"] + both["val"]) == by_hand(IDS, 3)


def test_only_some_pictures_of_a_zip_and_of_a_folder(archive, tmp_path):
    with zipfile.ZipFile(archive) as file:
        file.extractall(tmp_path / "folder")
    for path in (archive, tmp_path / "folder"):
        images = open_images(path, COCO, only=[64, 9, 581921])
        assert images.ids.tolist() == [9, 64, 581921] and len(images) == len(images.names) == 3
        assert images.row(25) is None and images.names[1] == "train2014/COCO_train2014_000000000064.jpg"
        assert images.read(1) == b"picture 64" * 9
        copy = pickle.loads(pickle.dumps(images))
        assert copy.read(2) == b"picture 581921" * 9 and copy.ids.tolist() == images.ids.tolist()
        assert open_images(path, COCO).digest != images.digest


def test_counted_ids_stay_those_of_the_whole(tmp_path):
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        (tmp_path / name).write_bytes(name.encode())
    images = open_images(tmp_path, only=[3, 1])
    assert [images.names[row] for row in range(2)] == ["a.jpg", "c.jpg"] and images.ids.tolist() == [1, 3]


def test_pictures_that_are_not_there_are_counted_and_named(archive):
    with pytest.raises(
        DataError, match=r"lacks 2 of the 3 pictures .*COCO_train2014_000000000001\.jpg, COCO_tr"
    ):
        open_images(archive, COCO, only=[2, 9, 1])
