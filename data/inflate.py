"""A zip member's bytes as fast as they come: inflated by ISA-L, some pieces ahead of the reader.

The text of GloVe is a gigabyte, and only some rows of it are parsed, so that inflating is most of the work:
ISA-L takes 0.4 of zlib's time for it, and a thread does it while the reader looks for its words.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipInfo

from isal import isal_zlib as zlib
from isal.igzip_lib import IsalError

from data.archives import MEMBER_BYTES, Archive, list_members
from data.errors import DataError

_PIECE = 1 << 13  # compressed bytes of one piece: what comes of it stays in the processor's cache
_BATCH = 32  # pieces that the thread inflates before it hands them over
_LOCAL_HEADER = 30  # bytes, without the name and the extra field behind it


def pieces(zip_path: Path, member: str, max_bytes: int = MEMBER_BYTES) -> Iterator[bytes]:
    """The member in pieces of some 25 kB, all checks of data.archives done; size and CRC at its end.

    DataError where it is absent, damaged, or larger than it declares or `max_bytes` allows.
    """
    with ThreadPoolExecutor(1) as pool:
        inflated = _inflate(zip_path, _info(zip_path, member, max_bytes))
        ahead = pool.submit(_batch, inflated)
        while batch := ahead.result():
            ahead = pool.submit(_batch, inflated)
            yield from batch


def read(zip_path: Path, member: str, max_bytes: int = MEMBER_BYTES) -> bytearray:
    """The whole member, in one buffer of its declared size. DataError as for `pieces`."""
    content = bytearray(_info(zip_path, member, max_bytes).file_size)
    end = 0
    for piece in pieces(zip_path, member, max_bytes):
        content[end : end + len(piece)] = piece
        end += len(piece)
    return content


def _batch(inflated: Iterator[bytes]) -> list[bytes]:
    return list(islice(inflated, _BATCH))


def _info(zip_path: Path, member: str, max_bytes: int) -> ZipInfo:
    size = Archive(zip_path).size(member)
    if size > max_bytes:
        raise DataError(f"{zip_path}: {member} declares {size:,} bytes, more than the {max_bytes:,} allowed.")
    return next(info for info in list_members(zip_path) if info.filename == member)


def _inflate(zip_path: Path, info: ZipInfo) -> Iterator[bytes]:
    crc = done = 0
    try:
        for piece in _raw(zip_path, info):
            done += len(piece)
            crc = zlib.crc32(piece, crc)
            if done > info.file_size:
                break
            yield piece
    except (OSError, IsalError, ValueError) as fault:  # type: ignore[misc]  # its stub says more of it
        raise _damaged(zip_path, info, str(fault)) from fault
    if done != info.file_size or crc != info.CRC:
        raise _damaged(zip_path, info, f"{done:,} bytes or more, CRC {crc:08x}")


def _raw(zip_path: Path, info: ZipInfo) -> Iterator[bytes]:
    """What lies in the archive, inflated if it is deflated; at most a byte more than the declared size."""
    inflater = zlib.decompressobj(-15) if info.compress_type == ZIP_DEFLATED else None
    allowed, left = info.file_size + 1, info.compress_size
    with zip_path.open("rb") as file:
        file.seek(info.header_offset)
        header = file.read(_LOCAL_HEADER)
        if not header.startswith(b"PK\x03\x04"):
            raise ValueError("no local header where the directory says")
        file.seek(int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little"), 1)
        while left and allowed > 0:
            packed = file.read(min(left, _PIECE))
            if not packed:
                raise ValueError("cut short")
            left -= len(packed)
            piece = inflater.decompress(packed, allowed) if inflater else packed
            allowed -= len(piece)
            if piece:
                yield piece


def _damaged(zip_path: Path, info: ZipInfo, why: str) -> DataError:
    expected = f"expected {info.file_size:,} bytes, CRC {info.CRC:08x}"
    return DataError(f"{zip_path}: {info.filename} is damaged: {why}; {expected}. Get the archive anew.")
