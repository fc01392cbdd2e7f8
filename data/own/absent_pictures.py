"""Why a picture that your own data names is missing: the file is not used, or another name is meant."""

from __future__ import annotations

import posixpath
import re
import unicodedata
from collections.abc import Sequence

from data.base.words import nearest
from data.containers.name_readings import read_as, written
from data.pictures.folders import why_hidden, why_no_picture
from data.pictures.image_sets import Images

_COMPARED = 10_000  # names that are compared letter by letter, for each of the missing ones that are shown
_SHOWN = 20


def reasons(images: Images, absent: Sequence[str], encoding: str = "") -> dict[str, str]:
    """What to add to "no picture 'x'" for each of these names, if anything.

    encoding: the one to read names in where the zip does not state it.
    """
    unused = _unused(images, absent) | _behind_links(images, absent)
    rest = [name for name in absent if name not in unused]
    return unused | {name: f"; nearest: {near!r}" for name, near in _nearest(images, rest, encoding).items()}


def _unused(images: Images, absent: Sequence[str]) -> dict[str, str]:
    """Names that are there as a file that is not taken for a picture, also with another ending."""
    by_last: dict[str, list[str]] = {}
    for name in absent:
        by_last.setdefault(_last(_plain(name)), []).append(name)
    by_letters = {key: name for name in absent if (key := _squeezed(name))}
    same: dict[str, str] = {}
    alike: dict[str, str] = {}
    for file in images.skipped:
        why = f": {file} is there, but {why_no_picture(file)}"
        for name in by_last.get(_last(_plain(file)), []):
            if _is_end(_plain(name), _plain(file)):
                same[name] = why
        if not why_hidden(file) and (like := by_letters.get(_squeezed(file))) is not None:
            alike.setdefault(like, why)
    return alike | same


def _is_end(first: str, second: str) -> bool:
    """Whether one of two paths is an end of the other."""
    return f"/{second}".endswith(f"/{first}") or f"/{first}".endswith(f"/{second}")


def _behind_links(images: Images, absent: Sequence[str]) -> dict[str, str]:
    """Names that lie in a folder that is a link."""
    links = [] if images.archive else [name for name in images.skipped if name.endswith("/")]
    explanations = {}
    for link in links[:_SHOWN]:
        for name in absent:
            plain = f"/{_plain(name)}"
            inside = plain.rpartition(f"/{link}")[2].lstrip("/")
            if any((images.path / link / path).is_file() for path in {inside, _last(plain)}):
                where = link.rstrip("/")
                explanations[name] = (
                    f": it is behind the link {where}, and links to folders are not followed: copy it"
                )
    return explanations


def _nearest(images: Images, absent: Sequence[str], encoding: str) -> dict[str, str]:
    """The picture whose name differs only in ending, capitals or signs; else, for the first few, the most similar."""
    squeezed = {_squeezed(name) for name in absent}
    alike: dict[str, str] = {}
    legacy = set(images.legacy_rows().tolist()) if encoding else set()
    compared: dict[str, str] = {}
    for row, name in enumerate(images.names):
        shown = (read_as(written(name), encoding) or name) if row in legacy else name
        if len(compared) < _COMPARED:
            compared[_stem(shown)] = shown
        if (key := _squeezed(shown)) in squeezed and key:
            alike.setdefault(key, shown)
    suggestions = {name: alike[key] for name in absent if (key := _squeezed(name)) in alike}
    for name in [name for name in absent if name not in suggestions][:_SHOWN]:
        if near := nearest(_stem(name), list(compared)):
            suggestions[name] = compared[near]
    return suggestions


def _plain(name: str) -> str:
    return re.sub(r"[/\\]+", "/", unicodedata.normalize("NFC", name)).removeprefix("./")


def _last(path: str) -> str:
    return path.rstrip("/").rpartition("/")[2]


def _squeezed(name: str) -> str:
    """The letters and digits of a file's name, without its ending, accents and capitals."""
    return "".join(letter for letter in unicodedata.normalize("NFKD", _stem(name)) if letter.isalnum())


def _stem(name: str) -> str:
    return posixpath.splitext(_last(_plain(name)))[0].casefold()
