"""The index of a zip: the same as Python's zipfile reads, in shared arrays, through any reader of ranges."""

from __future__ import annotations

import io
import multiprocessing
import os
import pickle
import signal
import struct
import subprocess
import sys
import unicodedata
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.base.errors import ContentError, DataError
from data.containers import zip_directory
from data.containers.archives import Archive
from data.containers.inflate import read_content
from data.containers.name_list import NameList, name_arrays, name_order
from data.containers.zip_index import build_index
from data.pictures.image_sets import open_images


class Ranges:
    """Bytes that are asked for by range, as a server gives them."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.asked: list[range] = []

    def __call__(self, offset: int, length: int) -> bytes:
        self.asked.append(range(offset, offset + length))
        return self.content[offset : offset + length]


def zipped(members: dict[str, bytes], before: bytes = b"", comment: bytes = b"", extra: bytes = b"") -> bytes:
    file = io.BytesIO()
    file.write(before)
    with zipfile.ZipFile(file, "a" if before else "w", zipfile.ZIP_DEFLATED) as archive:
        for number, (name, content) in enumerate(members.items()):
            entry = zipfile.ZipInfo(name)
            entry.compress_type = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)[number % 2]
            entry.extra, entry.comment = extra, b"of the member" * (number % 3)
            archive.writestr(entry, content)
        archive.comment = comment
    return file.getvalue()


MEMBERS = {
    f"folder/{number:03}-é.jpg"[number % 2 * 7 :]: bytes([number % 256]) * (number * 7)
    for number in range(400)
}


def check_as_zipfile(content: bytes, ranges: Ranges) -> None:
    index = build_index(ranges, len(content), "a.zip")
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        infos = archive.infolist()
        assert index.names == [info.filename for info in infos]
        for row, info in enumerate(infos):
            member = index.member(row)
            assert (member.offset, member.compressed, member.size, member.crc, member.method) == (
                *(info.header_offset, info.compress_size, info.file_size, info.CRC, info.compress_type),
            )
            if not info.is_dir():
                assert index.find(info.filename) == row and read_content(ranges, member) == archive.read(info)
    assert index.find("nothing") is None and index.find("folder") is None


@pytest.mark.parametrize("piece", [50, 1000, zip_directory.PIECE])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"before": b"#!/bin/sh\n" * 30},
        {"comment": b"of the archive" * 99},
        {"extra": b"UT\5\0\1abcd"},
    ],
    ids=lambda options: next(iter(options), "plain"),
)
def test_it_says_what_zipfile_says(options, piece, monkeypatch):
    monkeypatch.setattr(zip_directory, "PIECE", piece)
    content = zipped({"folder/": b"", **MEMBERS}, **options)
    check_as_zipfile(content, Ranges(content))


def test_a_comment_may_look_like_an_end_and_other_bytes_may_follow():
    content = zipped({"a.jpg": b"x"}, comment=b"PK\5\6" + b"of the archive" * 9)
    assert build_index(Ranges(content), len(content), "a.zip").names == ["a.jpg"]
    content = zipped({"a.jpg": b"x"}) + b"\r\n"
    assert build_index(Ranges(content), len(content), "a.zip").names == ["a.jpg"]


def test_what_stood_before_the_archive_may_be_gone():
    content = zipped(MEMBERS, before=b"#!/bin/sh\n" * 30)[300:]
    check_as_zipfile(content, Ranges(content))


def test_large_numbers_stand_in_the_zip64_field(monkeypatch):
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 1000)
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 3)
    content = zipped(MEMBERS)
    assert b"PK\6\6" in content and content.count(b"\xff\xff\xff\xff") > 300
    check_as_zipfile(content, Ranges(content))


def test_numbers_beyond_four_gigabytes(tmp_path):
    """A file with a hole: the member lies behind byte 5,000,000,000."""
    path = tmp_path / "a.zip"
    with path.open("wb") as file:
        file.seek(5_000_000_000)
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("a.jpg", b"far away")
    archive = Archive(path)
    assert archive.index.member(0).offset == 5_000_000_000 and archive.read("a.jpg") == b"far away"


def test_only_the_directory_is_read_and_in_pieces(monkeypatch):
    monkeypatch.setattr(zip_directory, "PIECE", 5000)
    ranges = Ranges(zipped({f"{number}.jpg": os.urandom(1000) for number in range(500)}))
    index = build_index(ranges, len(ranges.content), "a.zip")
    directory = ranges.content.index(b"PK\1\2")
    assert len(index.names) == 500 and max(map(len, ranges.asked[2:])) <= 5000
    assert all(piece.start >= directory for piece in ranges.asked[2:])
    ranges.asked.clear()
    assert len(read_content(ranges, index.member(7))) == 1000 and len(ranges.asked) == 1


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda content: content.replace(b"PK\1\2", b"PK\1\3", 1), "Bad magic number"),
        (
            lambda content: content[:-22] + content[-22:].replace(content[-10:-6], b"\xff\xff\xff\x7f"),
            "Bad offset",
        ),
        (
            lambda content: content[: content.index(b"PK\1\2") + 46] + content[-22:],
            r"Bad|Truncated|not a zip",
        ),
        (lambda content: content.replace(b"PK\5\6", b"PK\5\5"), "not a zip file"),
    ],
)
def test_a_damaged_directory_is_refused(harm, said, tmp_path):
    path = tmp_path / "a.zip"
    path.write_bytes(harm(zipped(MEMBERS)))
    with pytest.raises(DataError, match=f"not a readable zip .*({said})"):
        Archive(path)


@pytest.mark.parametrize(
    ("field", "said"),
    [(b"\1\0\4\0abcd", "Corrupt zip64 extra field"), (b"\1\0\x40\0abcd", "Corrupt extra field 0001")],
)
def test_a_damaged_zip64_field_is_refused(field, said, tmp_path):
    content = bytearray(zipped({"a.jpg": b"x"}, extra=field))
    struct.pack_into("<L", content, content.index(b"PK\1\2") + 42, 0xFFFFFFFF)
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(DataError, match=said):
        Archive(tmp_path / "a.zip")


def test_a_local_header_of_another_file_is_found(tmp_path):
    content = zipped({"a.jpg": b"content", "b.jpg": b"another"})
    (tmp_path / "a.zip").write_bytes(content.replace(b"a.jpg", b"c.jpg", 1))
    archive = Archive(tmp_path / "a.zip")
    assert archive.read("b.jpg") == b"another"
    with pytest.raises(
        ContentError, match=r"a\.jpg is damaged: its local header has another name, b'c\.jpg'"
    ):
        archive.read("a.jpg")


def test_a_local_header_may_be_long(tmp_path):
    (tmp_path / "a.zip").write_bytes(zipped({"a.jpg": b"content"}, extra=b"\x99\x99\x40\x1f" + bytes(8000)))
    assert Archive(tmp_path / "a.zip").read("a.jpg") == b"content"


def test_a_member_that_claims_to_be_deflated_to_far_more_is_not_read(tmp_path):
    packer = zlib.compressobj(wbits=-15)
    flood = b"".join(packer.flush(zlib.Z_FULL_FLUSH) + packer.compress(b"") for _ in range(40_000))
    content = bytearray(zipped({"s.jpg": b"", "a.jpg": b"tiny"}))
    data = flood + zlib.compress(b"tiny", wbits=-15)
    # The member's content is replaced by one of 200,000 bytes, and the numbers that follow from it with it.
    local, central = content.rindex(b"PK\3\4"), content.rindex(b"PK\1\2")
    old = struct.unpack_from("<L", content, local + 18)[0]
    at = local + 30 + 5
    content[at : at + old] = data
    grown = len(data) - old
    struct.pack_into("<L", content, local + 18, len(data))
    struct.pack_into("<L", content, central + grown + 20, len(data))
    end = content.rindex(b"PK\5\6")
    struct.pack_into("<L", content, end + 16, struct.unpack_from("<L", content, end + 16)[0] + grown)
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(ContentError, match=r"a\.jpg is damaged: declares 4 bytes in [0-9,]+;"):
        Archive(tmp_path / "a.zip").read("a.jpg")


# ------------------------------------------------------------------------------------------- names in arrays

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=20)


@given(
    st.lists(st.one_of(TEXTS, st.sampled_from(["train2014/COCO_", "a", "ab", "a" * 8, "a" * 9, "a" * 40])))
)
def test_the_order_of_names_is_that_of_sorted(names):
    text, starts = name_arrays(names)
    order, twice = name_order(text, starts[:-1], starts[1:])
    assert [names[row] for row in order] == sorted(names)
    assert twice.tolist() == [row for row, name in enumerate(names) if name in names[:row]]
    listed = NameList(text, starts)
    assert listed == names and list(listed) == names and listed[:3] == names[:3]
    assert [listed[row] for row in range(-len(names), 0)] == names
    assert listed[np.array([len(name) > 3 for name in names], bool)] == [
        name for name in names if len(name) > 3
    ]


def test_a_name_of_a_folder_in_another_encoding_is_kept_as_it_is():
    name = os.fsdecode(b"caf\xe9.jpg")
    assert NameList(*name_arrays([name, "b"])) == [name, "b"] and "b" in NameList(*name_arrays(["b"]))


# ------------------------------------------------------------------------------------- other processes


@pytest.fixture(params=["zip", "folder"])
def pictures(request, tmp_path):
    names = [f"{unicodedata.normalize('NFC', 'é')}/{number:06}.jpg" for number in range(3000)]
    if request.param == "zip":
        (tmp_path / "p.zip").write_bytes(zipped({name: name.encode() for name in names} | {"notes.txt": b""}))
        return tmp_path / "p.zip"
    for name in [*names[:300], "notes.txt"]:
        path = tmp_path / "p" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return tmp_path / "p"


def seen(images) -> tuple[bool, list[int], list[str], list[str], bytes]:
    return images.listed.gone, images.ids.tolist(), list(images.names), list(images.skipped), images.read(257)


def test_another_process_maps_what_the_first_has_listed(pictures):
    images = open_images(pictures)
    assert len(pickle.dumps(images)) < 3000
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        there = pool.apply(seen, (images,))
    assert there == seen(images) and not there[0]
    assert seen(pickle.loads(pickle.dumps(pickle.loads(pickle.dumps(images))))) == there  # and passes it on


PICKLING = """
import pickle, sys
from pathlib import Path
from data.pictures.image_sets import open_images
images = open_images(Path(sys.argv[1]))
Path(sys.argv[2]).write_bytes(pickle.dumps(images))
"""


def pickled_by_a_process_that_ended(pictures: Path, tmp_path: Path) -> bytes:
    subprocess.run([sys.executable, "-c", PICKLING, pictures, tmp_path / "pickled"], check=True)
    return (tmp_path / "pickled").read_bytes()


def test_where_the_arrays_are_gone_they_are_made_again(pictures, tmp_path):
    """As on another machine of a cluster."""
    images = pickle.loads(pickled_by_a_process_that_ended(pictures, tmp_path))
    gone, *rest = seen(images)
    assert gone and rest == list(seen(open_images(pictures))[1:])


def test_other_pictures_there_are_refused(pictures, tmp_path):
    images = pickle.loads(pickled_by_a_process_that_ended(pictures, tmp_path))
    if pictures.is_dir():
        (pictures / "z.jpg").write_bytes(b"x")
    else:
        with zipfile.ZipFile(pictures, "a") as archive:
            archive.writestr("z.jpg", b"x")
    with pytest.raises(DataError, match=r"has other (members|pictures) here than where it was opened first"):
        images.read(0)


def test_a_zip_that_is_changed_under_a_run_is_refused_by_the_next_process(tmp_path):
    path = tmp_path / "p.zip"
    path.write_bytes(zipped({"a.jpg": b"right"}))
    archive = Archive(path)
    content = pickle.dumps(archive)
    path.write_bytes(zipped({"a.jpg": b"wrong, and longer"}))
    with pytest.raises(DataError, match=r"p\.zip: was changed while it was read; run the same again"):
        pickle.loads(content).read("a.jpg")


def test_a_killed_process_leaves_nothing(pictures, tmp_path):
    room = tmp_path / "temporary"
    room.mkdir()
    script = f"{PICKLING}\nimport os, signal\nos.kill(os.getpid(), signal.SIGKILL)"
    words = [sys.executable, "-c", script, pictures, tmp_path / "pickled"]
    done = subprocess.run(words, env=os.environ | {"TMPDIR": str(room)})
    assert done.returncode == -signal.SIGKILL and not list(room.iterdir())
