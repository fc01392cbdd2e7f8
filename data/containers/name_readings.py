"""How a name in a zip may read if the zip does not state its encoding.

The format only knows CP437 and UTF-8; programs write what their system uses. Nothing is guessed here: code that looks
up pictures knows their names, and takes the encoding in which it finds them.
"""

from __future__ import annotations

ENCODINGS = {
    "UTF-8": "utf-8",  # macOS, and Linux without the flag
    **{
        f"CP{page}": f"cp{page}" for page in (437, 850, 852, 857, 858, 860, 861, 863, 865, 866, 737, 775, 869)
    },  # DOS
    **{f"Windows-{page}": f"cp{page}" for page in (1250, 1251, 1252, 1253, 1254, 1255, 1256, 1257, 1258)},
    **{"GBK": "gb18030", "Big5": "big5hkscs", "Shift-JIS": "cp932", "EUC-JP": "euc_jp", "EUC-KR": "cp949"},
    **{"Windows-874": "cp874", "KOI8-R": "koi8_r"},
}
"""By the names that people know: GB18030 reads all of GBK, the Windows code pages all of what they replaced."""


def written(name: str) -> bytes:
    """The bytes of a name that was read as CP437."""
    return name.encode("cp437")


def read_as(name: bytes, encoding: str) -> str | None:
    """The bytes of a name in one of ENCODINGS; None where they are invalid in it."""
    try:
        return name.decode(ENCODINGS[encoding])
    except UnicodeDecodeError:
        return None


def readings(name: str) -> dict[str, str]:
    """Every reading of a name that was read as CP437, with the first encoding that gives it."""
    texts: dict[str, str] = {}
    for encoding in ENCODINGS:
        text = read_as(written(name), encoding)
        if text is not None and text.isprintable():
            texts.setdefault(text, encoding)
    return texts
