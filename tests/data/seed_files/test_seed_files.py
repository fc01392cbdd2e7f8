"""The original project's files: what is written is read back, and files that lie are refused by name."""

from __future__ import annotations

import json
import tempfile
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.base.errors import DataError
from data.catalog.entries import SEED_FILES
from data.pictures.feature_file import Features
from data.seed_files import read_seed_files, write_seed_files
from data.seed_files.half_pictures import HalfPictures
from data.seed_files.write_seed_files import ARRAYS, IMAGES, NAMES, Half, Names
from data.text.questions import MAX_LENGTH

WORDS, ANSWERS = ("what", "is", "é", "UNKNOWN"), ("yes", "no", "2, 3")
PICTURES = {
    "train": ("train2014/COCO_train2014_000000000030.jpg", "train2014/COCO_train2014_000000000009.jpg")
}
PICTURES["test"] = tuple(f"val2014/COCO_val2014_{number:012}.jpg" for number in (5, 3, 1, 4))


def half(lengths: list[int], pictures: int, train: bool) -> Half:
    random = np.random.default_rng(len(lengths))
    count = len(lengths)
    tokens = random.integers(1, len(WORDS) + 2, (count, MAX_LENGTH)).astype(np.int32)
    tokens[np.arange(MAX_LENGTH) < MAX_LENGTH - np.array(lengths)[:, None]] = 0
    return Half(
        tokens,
        np.array(lengths, np.int32),
        np.arange(count, dtype=np.int64) * 10 + 7,
        random.integers(0, pictures, count),
        random.integers(0, len(ANSWERS), count).astype(np.int32) if train else None,
        None if train else random.integers(-1, len(ANSWERS), (count, 18)).astype(np.int32),
    )


def write(folder: Path, train: list[int] = [3, 26, 0], test: list[int] = [1, 5]) -> dict[str, Half]:  # noqa: B006
    halves = {"train": half(train, 2, True), "test": half(test, 4, False)}
    write_seed_files.write_names(folder / NAMES, Names(WORDS, ANSWERS, PICTURES))
    write_seed_files.write_arrays(folder / ARRAYS, halves["train"], halves["test"])
    content = {name: rows(len(PICTURES[name])) for name in halves}
    images = {name: (len(block), 6, iter([block[:1], block[1:]])) for name, block in content.items()}
    write_seed_files.write_images(folder / IMAGES, images)
    return halves


def rows(count: int) -> np.ndarray:
    return np.random.default_rng(count).normal(size=(count, 2, 3)).astype(np.float16)


def same(first: Half, second: Half) -> bool:
    return all(np.array_equal(getattr(first, name), getattr(second, name)) for name in Half.__annotations__)


@settings(max_examples=25, deadline=None)
@given(lengths=st.lists(st.integers(0, MAX_LENGTH), min_size=1, max_size=9))
def test_questions_come_back_as_they_were(lengths: list[int]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        halves = write(folder, lengths, lengths[::-1])
        names = read_seed_files.read_names(folder / NAMES)
        assert names == Names(WORDS, ANSWERS, PICTURES)
        for which, written in halves.items():
            assert same(read_seed_files.read_half(folder / ARRAYS, which, names), written)


def test_rows_come_back_by_ascending_coco_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(write_seed_files, "BLOCK_BYTES", 3 * 6 * 4)
    write(tmp_path)
    names = read_seed_files.read_names(tmp_path / NAMES)
    stored = read_seed_files.pictures(tmp_path / IMAGES, "test", names)
    assert stored.columns == 6 and stored.coco and stored.image_ids.tolist() == [1, 3, 4, 5]
    assert stored.image_names == [PICTURES["test"][row] for row in (2, 1, 3, 0)]
    blocks = list(read_seed_files.feature_blocks(tmp_path / IMAGES, "test", names))
    assert [len(block) for block in blocks] == [3, 1] and blocks[0].dtype == np.float16
    assert np.array_equal(np.concatenate(blocks), rows(4).reshape(4, 6)[[2, 1, 3, 0]])


def test_pictures_without_coco_names_are_numbered_as_they_come() -> None:
    ids, coco = read_seed_files.picture_ids(["b.jpg", PICTURES["test"][0], "a.jpg"])
    assert ids.tolist() == [1, 2, 3] and not coco
    ids, coco = read_seed_files.picture_ids(
        [PICTURES["test"][0], "x/" + PICTURES["test"][0]]
    )  # one number twice
    assert ids.tolist() == [1, 2] and not coco


def test_two_image_sets_may_share_names_in_one_half() -> None:
    """Such as a.jpg of photos-train and of photos-val, both trained on: an import wants each name once."""
    stores = {
        name: Features(np.full((2, 3), row, np.float16), np.array([1, 2]), ["a.jpg", other], {})
        for row, (name, other) in enumerate([("old", "b.jpg"), ("new", "c.jpg")])
    }
    pictures = HalfPictures(stores, ["old", "new"])
    assert pictures.names == ["old/a.jpg", "old/b.jpg", "new/a.jpg", "new/c.jpg"]
    assert pictures.rows("new", np.array([2, 1, 3])).tolist() == [3, 2, -1]
    assert HalfPictures(stores, ["new"]).names == ["a.jpg", "c.jpg"]


def test_equal_content_gives_equal_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write(tmp_path / name)
    for name in SEED_FILES:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_ids_beyond_the_format_are_refused(tmp_path: Path) -> None:
    small = half([1], 1, True)
    large = Half(small.tokens, small.lengths, np.array([2**32]), small.rows, small.answers)
    with pytest.raises(DataError, match=r"question_id_train would hold 4294967296"):
        write_seed_files.write_arrays(tmp_path / ARRAYS, large, half([1], 1, False))


def test_a_zip_may_hold_the_files_in_a_folder(tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    write(tmp_path / "files")
    archive = tmp_path / "data_train_val.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for name in SEED_FILES:
            file.write(tmp_path / "files" / name, f"data/{name}")
            file.writestr(f"__MACOSX/data/{name}", b"shadow")
    for source in (archive, tmp_path / "files"):
        for name in SEED_FILES:
            with read_seed_files.opened(source, name, tmp_path) as path:
                assert path.read_bytes() == (tmp_path / "files" / name).read_bytes()
    assert not list(tmp_path.glob("unpacked-*"))


def test_files_that_are_not_there_once_are_named(tmp_path: Path) -> None:
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("one/data_img.h5", b"")
        file.writestr("two/data_img.h5", b"")
    for name, count in ((IMAGES, 2), (ARRAYS, 0)):
        with (
            pytest.raises(DataError, match=f"{count} files are called {name}"),
            read_seed_files.opened(archive, name, tmp_path),
        ):
            pass
    with pytest.raises(DataError, match=f"no {ARRAYS}"), read_seed_files.opened(tmp_path, ARRAYS, tmp_path):
        pass


def replaced(path: Path, name: str, change) -> None:
    with h5py.File(path, "r+") as file:
        values = file[name][...]
        del file[name]
        if (new := change(values)) is not None:
            file[name] = new


def put(place, value):
    def change(values):
        values = values.astype(np.int64) if values.dtype.kind in "iu" else values
        values[place] = value
        return values

    return change


@pytest.mark.parametrize(
    "name, change, said",
    [
        ("ques_train", lambda values: None, "no dataset ques_train; it has "),
        ("ques_train", lambda values: values[:, :20], r"expected whole numbers, questions × 26"),
        ("ques_train", lambda values: values.astype(np.float32), "float32"),
        ("ques_train", put((0, 0), 6), "from 0 to 6; expected 0 to 5"),
        ("ques_train", put((1, 2), 0), "1 rows of ques_train .the first is row 1. do not have as many words"),
        ("ques_train", lambda values: values[:0], "expected whole numbers"),
        ("ques_length_train", put(0, 4), "do not have as many words"),
        ("ques_length_train", put(0, 27), "expected 0 to 26"),
        ("ques_length_train", lambda values: values[:2], r"\(2,\); expected whole numbers, 3"),
        ("question_id_train", put(0, 17), "1 ids a second time"),
        ("question_id_train", put(0, -1), "from -1"),
        ("img_pos_train", put(0, 0), "img_pos_train has numbers from 0 to .*; expected 1 to 2"),
        ("img_pos_train", put(0, 3), "expected 1 to 2"),
        ("answers", put(2, 4), "expected 1 to 3"),
        ("answers", put(2, 0), "expected 1 to 3"),
        ("MC_ans_test", put((0, 0), 4), "expected 0 to 3"),
        ("MC_ans_test", lambda values: values[:, :4], "expected whole numbers, 2 × 18"),
        ("question_id_test", lambda values: h5py.ExternalLink("elsewhere.h5", "/x"), "points elsewhere"),
    ],
)
def test_arrays_that_lie_are_refused_by_name(tmp_path: Path, name: str, change, said: str) -> None:
    write(tmp_path)
    replaced(tmp_path / ARRAYS, name, change)
    names = read_seed_files.read_names(tmp_path / NAMES)
    with pytest.raises(DataError, match=said) as caught:
        for which in ("train", "test"):
            read_seed_files.read_half(tmp_path / ARRAYS, which, names)
    assert str(tmp_path / ARRAYS) in str(caught.value) and name.rsplit("_")[-1] in str(caught.value)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 70_000])
def test_features_that_are_not_finite_in_float16_are_refused(tmp_path: Path, value: float) -> None:
    write(tmp_path)
    replaced(tmp_path / IMAGES, "images_test", put((3, 1), value))
    names = read_seed_files.read_names(tmp_path / NAMES)
    with pytest.raises(DataError, match=r"data_img.h5: row 3 of images_test"):
        list(read_seed_files.feature_blocks(tmp_path / IMAGES, "test", names))


@pytest.mark.parametrize(
    "change",
    [lambda values: values[:3], lambda values: values[:, 0], lambda values: values > 0, lambda values: None],
)
def test_features_of_another_form_are_refused(tmp_path: Path, change) -> None:
    write(tmp_path)
    replaced(tmp_path / IMAGES, "images_test", change)
    with pytest.raises(DataError, match="images_test"):
        read_seed_files.pictures(tmp_path / IMAGES, "test", read_seed_files.read_names(tmp_path / NAMES))


@pytest.mark.parametrize(
    "change, said",
    [
        (lambda names: names.pop("ix_to_ans"), "not the original's names"),
        (lambda names: names["ix_to_word"].pop("2"), "ix_to_word has 4 entries but no '2'"),
        (lambda names: names.update(ix_to_ans={}), "no '1'"),
        (lambda names: names["ix_to_word"].update({"5": "what"}), "a second time"),
        (lambda names: names["ix_to_word"].update({"5": "last"}), "expected UNK"),
        (lambda names: names.update(unique_img_test=["a", "a"]), "unique_img_test has 1 texts a second time"),
        (lambda names: names.update(unique_img_test=[1]), "not the original's names"),
    ],
)
def test_names_that_lie_are_refused(tmp_path: Path, change, said: str) -> None:
    write(tmp_path)
    names = json.loads((tmp_path / NAMES).read_text())
    change(names)
    (tmp_path / NAMES).write_text(json.dumps(names))
    with pytest.raises(DataError, match=said):
        read_seed_files.read_names(tmp_path / NAMES)


def test_what_is_no_such_file_at_all_is_refused(tmp_path: Path) -> None:
    write(tmp_path)
    names = read_seed_files.read_names(tmp_path / NAMES)
    (tmp_path / ARRAYS).write_bytes(b"<html>not found</html>")
    with pytest.raises(DataError, match="not an HDF5 file"):
        read_seed_files.read_half(tmp_path / ARRAYS, "train", names)
    (tmp_path / NAMES).write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match="not the original's names"):
        read_seed_files.read_names(tmp_path / NAMES)


def test_a_fault_inside_a_zip_is_told_by_the_zips_name(tmp_path: Path) -> None:
    write(tmp_path)
    replaced(tmp_path / ARRAYS, "answers", lambda values: None)
    archive = tmp_path / "data_train_val.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.write(tmp_path / ARRAYS, ARRAYS)
    names = read_seed_files.read_names(tmp_path / NAMES)
    with (
        pytest.raises(DataError, match=r"data_train_val.zip: data_prepro.h5: no dataset answers"),
        read_seed_files.opened(archive, ARRAYS, tmp_path) as path,
    ):
        read_seed_files.read_half(path, "train", names)


@pytest.mark.parametrize("name", [ARRAYS, IMAGES, NAMES])
def test_flipped_bytes_are_read_or_refused_never_anything_else(tmp_path: Path, name: str) -> None:
    write(tmp_path)
    names = read_seed_files.read_names(tmp_path / NAMES)
    content = (tmp_path / name).read_bytes()
    random = np.random.default_rng(0)
    refused = 0
    for turn in range(300):
        harmed = np.frombuffer(content, np.uint8).copy()
        harmed[random.integers(0, len(harmed), 3)] = random.integers(0, 256, 3)
        (tmp_path / name).write_bytes(harmed[: random.integers(1, len(harmed))] if turn % 10 == 0 else harmed)
        try:
            for which in ("train", "test"):
                read_seed_files.read_half(
                    tmp_path / ARRAYS, which, read_seed_files.read_names(tmp_path / NAMES)
                )
                read_seed_files.pictures(tmp_path / IMAGES, which, names)
                list(read_seed_files.feature_blocks(tmp_path / IMAGES, which, names))
        except DataError as error:
            refused += 1
            assert str(tmp_path) in str(error)
    assert refused > 30
