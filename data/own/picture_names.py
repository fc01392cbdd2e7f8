"""Finds the picture that a row of one's own data names."""

from __future__ import annotations

import unicodedata

from data.base.errors import listed
from data.pictures.image_sets import Images

_AMBIGUOUS = -1  # in the place of a picture's id


class PictureNames:
    """The pictures of an image set by path, and by each shorter end of it (b/c.jpg and c.jpg for a/b/c.jpg)."""

    def __init__(self, images: Images) -> None:
        self.exact: dict[str, int] = {}
        self.ends: dict[str, int] = {}
        for name, number in zip(images.names, images.ids.tolist(), strict=True):
            parts = plain_name(name).split("/")
            _add(self.exact, "/".join(parts), number)
            for start in range(1, len(parts)):
                _add(self.ends, "/".join(parts[start:]), number)

    def find(self, name: str) -> int | str:
        """The id of the picture of this name, or why there is none."""
        plain = plain_name(name)
        number = self.exact.get(plain, self.ends.get(plain))
        if number is None:
            return f"no picture {name!r}"
        return (
            f"several pictures are called {name!r}: give the folder too" if number == _AMBIGUOUS else number
        )


def described(images: Images) -> str:
    """Where pictures were looked for, and what a name there looks like."""
    return f"{images.path.resolve()} has {len(images):,} pictures, such as {listed(images.names[:1])}"


def _add(names: dict[str, int], name: str, number: int) -> None:
    names[name] = _AMBIGUOUS if name in names else number


def plain_name(name: str) -> str:
    """One spelling of a letter with its accent: macOS stores two code points where a table has one."""
    return unicodedata.normalize("NFC", name).removeprefix("./")
