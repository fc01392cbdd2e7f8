"""What the first bytes of a text file say: how it is packed, and its encoding.

Standard library only: stages call this while Luigi builds its graph, before a large file is hashed for nothing.
"""

from __future__ import annotations

import codecs
from pathlib import Path

from data.base.errors import DataError
from data.base.files import TEXT_BYTES, open_plain

HEAD = 4096  # bytes that tell a text from other files
ZIP, GZIP = b"PK\x03\x04", b"\x1f\x8b"

_MARKS = (  # the mark of UTF-32 begins with that of UTF-16
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


def byte_order_mark(head: bytes) -> tuple[int, str]:
    """The length of a text's byte order mark, and the encoding that it means: 0 and utf-8 where there is none."""
    return next(((len(mark), name) for mark, name in _MARKS if head.startswith(mark)), (0, "utf-8"))


def check_head(name: str, head: bytes) -> None:
    """DataError where a text can't begin like this. `name`: the file's, for the message."""
    zero = head.find(b"\0")
    if zero >= 0 and byte_order_mark(head)[1] == "utf-8":
        raise DataError(
            f"{name}: not UTF-8 text: byte {zero:,} is zero; save it as UTF-8 (a spreadsheet as CSV in UTF-8)"
        )


def check_document(path: Path) -> None:
    """Refuse, by the first bytes, what `data.containers.documents` would refuse; packed files are not opened."""
    with open_plain(path, TEXT_BYTES) as file:
        head = file.read(HEAD)
    if not head.startswith((ZIP, GZIP)):
        check_head(str(path), head)
