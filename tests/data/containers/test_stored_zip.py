"""Zips that grow at their end are zips for Python's own reader, whatever their size; what is torn is not read."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib

import pytest

from data.containers.stored_zip import Stored, directory, header, member_bytes, read_stored

CONTENTS = {"a/1.jpg": b"one", "a/übung.jpg": b"", "b.jpg": bytes(5000)}


def written(contents: dict[str, bytes], comment: bytes = b"") -> bytes:
    content = b"".join(header(name, content) + content for name, content in contents.items())
    return content + directory(members(content), comment)


def members(content: bytes) -> list[Stored]:
    found: list[Stored] = []
    while member := read_stored(reader(content), found[-1].end if found else 0):
        found.append(member)
    return found


def reader(content: bytes):
    return lambda offset, length: content[offset : offset + length]


def test_python_reads_it():
    with zipfile.ZipFile(io.BytesIO(written(CONTENTS, b"a comment"))) as archive:
        assert archive.testzip() is None and archive.comment == b"a comment"
        assert {info.filename: archive.read(info) for info in archive.infolist()} == CONTENTS
        assert {info.external_attr >> 16 for info in archive.infolist()} == {0o100644}
    assert (
        sum(member_bytes(name, len(content)) for name, content in CONTENTS.items())
        == members(written(CONTENTS))[-1].end
    )


@pytest.mark.parametrize("count", [0, 65_534, 65_535])
def test_it_may_have_no_members_or_more_than_16_bits_count(count):
    contents = {f"{number:06}": b"" for number in range(count)}
    with zipfile.ZipFile(io.BytesIO(written(contents))) as archive:
        assert archive.namelist() == list(contents)


def test_offsets_beyond_32_bits_stand_in_zip64_fields():
    places = [Stored(b"a", 0, 0, 0, 31), Stored(b"b", 0, 0, 5 << 30, (5 << 30) + 31)]
    end = directory(places)

    class Far(io.BytesIO):
        """A file whose last bytes are these, and whose first 5 GiB nobody reads."""

        def seek(self, offset, whence=0):
            base = {0: 0, 1: self.tell(), 2: places[-1].end + len(end)}[whence]
            return places[-1].end + super().seek(base + offset - places[-1].end)

        def tell(self):
            return places[-1].end + super().tell()

    with zipfile.ZipFile(Far(end)) as archive:
        assert [info.header_offset for info in archive.infolist()] == [0, 5 << 30]


def test_every_torn_or_flipped_member_ends_the_reading():
    first, second = (header(name, content) + content for name, content in (("a", b"xyz"), ("b", b"uvw")))
    for size in range(len(second)):
        assert len(members(first + second[:size])) == 1
    for at in range(len(second)):
        flipped = bytearray(second)
        flipped[at] ^= 1
        names = [member.name for member in members(first + bytes(flipped))]
        assert names == [b"a"] or at in range(30, 31)  # another name: whoever wants "b" will not take it
    assert struct.unpack_from("<L", first, 14)[0] == zlib.crc32(b"xyz")
