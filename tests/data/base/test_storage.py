"""A read that fails is not the file's fault: it is tried again, and then said; damage is another thing."""

from __future__ import annotations

import errno
import os
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from data.base import storage
from data.base.errors import ContentError, DataError
from data.containers.archives import Archive, open_member, read_member
from data.pictures.image_sets import open_images

CONTENT = os.urandom(200_000)
Fail = Callable[[str, int], list[int]]


@pytest.fixture
def fail(monkeypatch: pytest.MonkeyPatch) -> Fail:
    """Have the next `times` reads fail with the errno of that name, as a disk's or a network's driver does."""
    monkeypatch.setattr(storage, "PAUSES", (0.0, 0.0, 0.0))
    real = {call: getattr(os, call) for call in ("readv", "pread")}

    def begin(name: str, times: int) -> list[int]:
        left = [times]

        def read(call: str, *words: Any) -> Any:
            if left[0] > 0:
                left[0] -= 1
                raise OSError(getattr(errno, name), os.strerror(getattr(errno, name)))
            return real[call](*words)

        for call in real:
            monkeypatch.setattr(os, call, partial(read, call))
        return left

    return begin


def folder(path: Path) -> Path:
    (path / "a.jpg").write_bytes(CONTENT)
    return path


def stored(path: Path) -> Path:
    with zipfile.ZipFile(path / "a.zip", "w") as archive:
        archive.writestr("a.jpg", CONTENT)
    return path / "a.zip"


def deflated(path: Path) -> Path:
    with zipfile.ZipFile(path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.jpg", CONTENT)
    return path / "a.zip"


def picture(path: Path) -> Callable[[], bytes]:
    images = open_images(path)
    return lambda: images.read(0)


def member(path: Path) -> Callable[[], bytes]:
    return lambda: bytes(read_member(path, "a.jpg"))


def lines(path: Path) -> Callable[[], bytes]:
    def read() -> bytes:
        with open_member(path, "a.jpg") as file:
            return b"".join(file)

    return read


READERS = [
    (folder, picture),
    *((make, read) for make in (stored, deflated) for read in (picture, member, lines)),
]


@pytest.mark.parametrize("make, reader", READERS)
@pytest.mark.parametrize("name, times", [("EIO", 1), ("ESTALE", 3), ("ETIMEDOUT", 2), ("ENOMEM", 3)])
def test_what_passes_is_tried_again(make, reader, name, times, tmp_path, fail):
    read = reader(make(tmp_path))
    left = fail(name, times)
    assert read() == CONTENT and left == [0]


@pytest.mark.parametrize("make, reader", READERS)
def test_what_does_not_pass_is_the_storages_and_is_read_once_it_is_mended(make, reader, tmp_path, fail):
    read = reader(make(tmp_path))
    fail("EIO", 1_000_000)
    with pytest.raises(
        DataError, match=r"a\.(jpg|zip): can't be read: Input/output error, 4 times"
    ) as caught:
        read()
    assert not isinstance(caught.value, ContentError) and "damaged" not in str(caught.value)
    fail("EIO", 0)
    assert read() == CONTENT


def test_what_no_waiting_mends_is_tried_once(tmp_path, fail):
    read = picture(folder(tmp_path))
    left = fail("EACCES", 2)
    with pytest.raises(DataError, match="can't be read: Permission denied; let this user read it"):
        read()
    assert left == [1]
    (tmp_path / "a.jpg").unlink()
    with pytest.raises(DataError, match=r"a\.jpg: can't be read: No such file"):
        read()


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="no /proc here")
def test_a_read_that_the_system_really_refuses(tmp_path, monkeypatch):
    monkeypatch.setattr(storage, "PAUSES", (0.01,))
    (tmp_path / "a.jpg").symlink_to("/proc/self/mem")  # its first page is never there: EIO
    with pytest.raises(DataError, match=r"Input/output error, 2 times in 0\.01 s") as caught:
        storage.open_file(tmp_path / "a.jpg").read(1)
    assert not isinstance(caught.value, ContentError)


@pytest.mark.parametrize("make", [stored, deflated])
def test_damage_is_the_contents(make, tmp_path):
    path = make(tmp_path)
    archive = Archive(path)
    content = bytearray(path.read_bytes())
    content[90_000] ^= 1
    path.write_bytes(content)
    for read in (lambda: archive.read("a.jpg"), member(path), lines(path)):
        with pytest.raises(ContentError, match=r"a\.jpg is damaged"):
            read()
    os.truncate(path, 50_000)  # under an archive that is open
    with pytest.raises(ContentError, match=r"a\.jpg is damaged"):
        archive.read("a.jpg")


def test_a_picture_of_absurd_size_is_the_contents(tmp_path):
    with (tmp_path / "a.jpg").open("wb") as file:
        file.truncate((64 << 20) + 1)
    with pytest.raises(ContentError, match="has 67,108,865 bytes; at most 67,108,864 are read"):
        picture(tmp_path)()
