"""Zips made to hurt are refused before use; good ones are read by name from any process."""

from __future__ import annotations

import contextlib
import io
import multiprocessing
import pickle
import struct
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.base.errors import DataError
from data.containers import archives
from data.containers.archives import Archive, open_member, read_member
from data.containers.zip_checks import BOMB_BYTES


@pytest.fixture
def make(tmp_path):
    """Write a zip of (name or ZipInfo, bytes) pairs."""

    def write(*members, method=zipfile.ZIP_STORED) -> Path:
        path = tmp_path / "a.zip"
        with zipfile.ZipFile(path, "w", method) as archive:
            for name, content in members:
                archive.writestr(name, content)
        return path

    return write


def info(name: str, **fields) -> zipfile.ZipInfo:
    made = zipfile.ZipInfo("x" * len(name))
    made.filename = made.orig_filename = name
    for key, value in fields.items():
        setattr(made, key, value)
    return made


def patch(path: Path, old: bytes, new: bytes, count: int = -1) -> Path:
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new, count))
    return path


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_members_are_read_by_name(make, method):
    path = make(("folder/", b""), ("folder/a.txt", b"one\ntwo\n"), ("b.bin", bytes(1000)), method=method)
    archive = Archive(path)
    assert archive.names == ["folder/a.txt", "b.bin"]
    assert archive.read("folder/a.txt") == read_member(path, "folder/a.txt") == b"one\ntwo\n"
    assert archive.size("b.bin") == 1000
    with open_member(path, "folder/a.txt") as file:
        assert list(file) == [b"one\n", b"two\n"]


@pytest.mark.parametrize(
    "name, why",
    [
        ("/etc/passwd", "absolute"),
        ("C:/x.jpg", "absolute"),
        ("../x.jpg", "out of the archive's own tree"),
        ("a/../../x.jpg", "out of the archive's own tree"),
        ("a/./x.jpg", "not a plain path"),
        ("a//x.jpg", "not a plain path"),
        ("", "not a plain path"),
        ("a\\x.jpg", "backslash"),
    ],
)
def test_names_outside_the_archives_own_tree_are_refused(make, name, why):
    path = make(("good.jpg", b"x"), (info(name), b"x"))
    with pytest.raises(DataError, match=why) as caught:
        Archive(path)
    assert repr(name) in str(caught.value) and str(path) in str(caught.value)


def test_a_nul_in_a_name(make):
    path = patch(make(("a.jpg_x", b"x")), b"a.jpg_x", b"a.jpg\0x")
    with pytest.raises(DataError, match=r"NUL|not a readable|refused"):
        Archive(path)


@pytest.mark.parametrize("kind", [0o120777, 0o010666, 0o060666])
def test_links_and_devices_are_refused(make, kind):
    with pytest.raises(DataError, match="a link or a device"):
        Archive(make((info("a.jpg", external_attr=kind << 16), b"/etc/passwd")))


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("names", [("a.jpg", "a.jpg"), ("a", "a/")])
def test_duplicates_are_refused(make, names):
    with pytest.raises(DataError, match="a second member has the same name"):
        Archive(make(*((name, b"") for name in names)))


def test_encrypted_members_are_refused(make):
    path = make(("a.jpg", b"x"))
    content = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        content[content.index(signature) + offset] |= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match="encrypted"):
        Archive(path)


def test_unusual_compression_is_refused(make):
    with pytest.raises(DataError, match="compressed by method 14"):
        Archive(make(("a.jpg", b"x" * 100), method=zipfile.ZIP_LZMA))


def test_a_bomb_by_its_declared_ratio(make):
    path = make(("a.json", bytes(BOMB_BYTES + 1)), method=zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 1 << 20
    with pytest.raises(DataError, match="zip bomb"):
        Archive(path)


def test_a_member_larger_than_allowed_is_not_inflated(make):
    path = make(("a.jpg", bytes(10_000)), method=zipfile.ZIP_DEFLATED)
    with pytest.raises(DataError, match="declares 10,000 bytes, more than the 9,999 allowed"):
        read_member(path, "a.jpg", 9_999)


def declared(path: Path, size: int) -> Path:
    """Change what the first member's headers declare as its size."""
    content = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\3\4", 22), (b"PK\1\2", 24)):
        struct.pack_into("<I", content, content.index(signature) + offset, size)
    path.write_bytes(content)
    return path


def test_a_member_that_inflates_to_more_than_declared_is_refused(make):
    path = declared(make(("a.jpg", bytes(1_000_000)), method=zipfile.ZIP_DEFLATED), 1000)
    with pytest.raises(DataError, match=r"a\.jpg is damaged"):
        read_member(path, "a.jpg")


def test_a_stored_member_that_lies_about_its_size(make):
    with pytest.raises(DataError, match="stored, but declares 5,000 bytes in 1,000"):
        Archive(declared(make(("a.jpg", bytes(1000))), 5000))


def test_members_that_share_bytes_are_refused(make):
    """Two directory entries for one local file: the trick of the bombs without absurd ratios."""
    path = make(("a.jpg", bytes(1000)), ("b.jpg", bytes(1000)))
    content = bytearray(path.read_bytes())
    second = content.index(b"PK\1\2", content.index(b"PK\1\2") + 4)
    struct.pack_into("<I", content, second + 42, 0)
    path.write_bytes(content)
    with pytest.raises(DataError, match="share bytes: a zip bomb"):
        Archive(path)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_flipped_byte_is_found_by_its_crc(make, method):
    path = make(("a.jpg", b"some picture" * 10), ("b.jpg", b"fine"), method=method)
    content = bytearray(path.read_bytes())
    content[40] ^= 0xFF
    path.write_bytes(content)
    archive = Archive(path)
    assert archive.read("b.jpg") == b"fine"
    with pytest.raises(DataError, match=r"a\.jpg is damaged"):
        archive.read("a.jpg")
    with pytest.raises(DataError, match=r"a\.jpg is damaged"), archive.open("a.jpg") as file:
        file.read()


def test_an_error_of_the_readers_own_is_not_called_damage(make):
    path = make(("a.txt", b"x"))
    with pytest.raises(OSError, match="mine"), open_member(path, "a.txt"):
        raise OSError("mine")


@pytest.mark.parametrize("keep", [0, 10, 500, -30])
def test_cut_short_or_no_zip(make, keep):
    path = make(("a.jpg", bytes(1000)))
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DataError, match="not a readable zip"):
        Archive(path)


def test_absent_files_and_members(make, tmp_path):
    with pytest.raises(DataError, match="No such file"):
        Archive(tmp_path / "none.zip")
    with pytest.raises(DataError, match="is a folder; expected a file"):
        Archive(tmp_path)
    archive = Archive(make(("OpenEnded_train.json", b"{}")))
    with pytest.raises(DataError, match=r"nearest: OpenEnded_train\.json\. It holds 1 files"):
        archive.read("OpenEnded_val.json")


def read_all(archive: Archive) -> bool:
    return all(archive.read(f"{n}.bin") == bytes([n]) * 50_000 for n in range(100))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_each_process_has_a_handle_of_its_own(make, method):
    """Forked processes share a file position: with one handle they would read each other's bytes."""
    archive = Archive(make(*((f"{n}.bin", bytes([n]) * 50_000) for n in range(100))))
    assert pickle.loads(pickle.dumps(archive)).read("1.bin") == archive.read("1.bin")
    with multiprocessing.get_context(method).Pool(2) as pool:
        waiting = pool.map_async(read_all, [archive] * 4)
        mine = read_all(archive)
        assert mine and all(waiting.get(60))


@given(st.binary(max_size=200), st.integers(0, 300))
def test_random_damage_never_gives_wrong_bytes(tmp_path_factory, noise, where):
    path = tmp_path_factory.mktemp("zip") / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.txt", b"right " * 50)
    content = bytearray(path.read_bytes())
    content[where : where + len(noise)] = noise
    path.write_bytes(content)
    with contextlib.suppress(DataError):
        assert read_member(path, "a.txt") == b"right " * 50


def test_a_stream_that_ends_before_the_declared_size_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("text", b"one\ntwo\n")
    monkeypatch.setattr(archives, "open_content", lambda read, member: io.BytesIO(b"one\n"))
    with archives.open_member(path, "text") as member:
        assert member.readline() == b"one\n"
        with pytest.raises(DataError, match="less than the 8 bytes that it declares"):
            member.readline()
