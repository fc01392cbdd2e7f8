"""TOML as people write it, in any encoding that can be recognised; mistakes are reported with line and remedy."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from data.base.errors import DataError
from data.base.files import SETTINGS_BYTES, read_plain
from data.base.settings_text import decode, expanded
from data.base.words import nearest

_CURES = {
    "Invalid value": 'put text in quotation marks: pictures = "photos"',
    "Cannot declare": "put its settings under one heading",
    "Cannot overwrite": "leave one of them",
    "Unescaped": "write / for \\, or put the text in single quotation marks",
    "Invalid hex value": "write / for \\, or put the text in single quotation marks",
    "Unbalanced": "close the quotation mark",
    "Illegal character": "close the quotation mark on the same line, and type no control characters",
    "Expected ']": "a heading is [own.mine], or [own.'my data'] with other characters than a-z, 0-9, _ and -",
    "Expected '='": 'expected `name = "value"` or [section]',
    "Invalid statement": 'expected `name = "value"` or [section]',
    "Unterminated string": "close the quotation mark",
    "Invalid initial character": 'expected `name = "value"`; put a path in quotation marks',
}


def read_toml(path: Path) -> dict[str, Any]:
    """The tables of a plain file. DataError names the file, the line, and what mends it."""
    text = decode(path, read_plain(path, SETTINGS_BYTES))
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise DataError(_slip(path, text, str(error))) from None
    except RecursionError:
        raise DataError(f"{path}: is nested too deeply for settings; write them out") from None


def _slip(path: Path, text: str, why: str) -> str:
    what = re.sub(r" \(at (line \d+, column \d+|end of document)\)$", "", why)
    match = re.search(r"\(at line (\d+),", why)
    lines = text.split("\n")
    number = int(match[1]) if match else len(lines)
    cure = next(
        (cure for begin, cure in _CURES.items() if what.startswith(begin)), "docs/own-data.md shows one"
    )
    return f"{path}, line {number}: `{lines[number - 1].strip()[:80]}`: {what}; {cure}"


def _line(path: Path, table: str, key: str) -> int:
    """The line that states a setting, its table, or the nearest table around it; 0 where none is found."""
    best, depth, heading = 0, -1, ""
    for number, line in enumerate(decode(path, read_plain(path, SETTINGS_BYTES)).split("\n"), start=1):
        if match := re.match(r"\s*\[\[?([^\]]+)\]", line):
            heading = re.sub(r"[\s\"']", "", match[1])
            stated = heading
        elif match := re.match(r"\s*[\"']?([\w-]+)[\"']?\s*[.=]", line):
            stated = f"{heading}.{match[1]}".lstrip(".")
        else:
            continue
        wanted = f"{table}.{key}".strip(".")
        if f"{wanted}.".startswith(f"{stated}.") and stated.count(".") > depth:
            best, depth = number, stated.count(".")
        elif not best and f"{stated}.".startswith(f"{wanted}."):
            best = number
    return best


class Table:
    """One table of a file, by its name in messages."""

    def __init__(self, path: Path, name: str, values: Any, keys: str = "") -> None:
        """`keys`: the keys that are allowed (a misspelt one would be ignored silently); "" = any name."""
        self.path, self.name = path, name
        if not isinstance(values, dict):
            cure = (
                "; write a heading with the dataset's name above it: [own.mine]"
                if name.startswith("own.")
                else ""
            )
            raise self.wrong(f"expected a table, found {values!r}{cure}")
        self.values: dict[str, Any] = values
        for key in values.keys() - keys.split() if keys else ():
            raise self.wrong(f"{key}: no setting has this name; {self._meant(key, keys.split())}")

    @classmethod
    def of(cls, path: Path, keys: str) -> Table:
        """The table that a whole file is."""
        return cls(path, "", read_toml(path), keys)

    def wrong(self, why: str) -> DataError:
        """The error for what is wrong here; it names the line of the setting that `why` begins with."""
        key = re.match(r"[\w-]*", why)
        number = _line(self.path, self.name, key[0] if key else "")
        about = f"{self.name}: " if self.name else ""
        return DataError(f"{self.path}{f', line {number}' if number else ''}: {about}{why}")

    def _meant(self, key: str, known: list[str]) -> str:
        if not self.name and isinstance(self.values[key], dict):
            more = f", or write [own.{key}] for a dataset of yours"
        else:
            more = "" if self.name else "; does it belong below a heading such as [own.mine]?"
        near = nearest(key, known)
        return (f"nearest: {near}" if near else f"there are {', '.join(known)}") + more

    def located(self, key: str, stated: str) -> Path:
        """A path that `key` states; a relative one starts at the file."""
        try:
            return self.path.parent / expanded(stated)
        except DataError as error:
            raise self.wrong(f"{key} = {stated}: {error}") from None

    def get(self, key: str, kind: type, default: Any = None) -> Any:
        value = self.values.get(key, default)
        if kind is float and isinstance(value, int):
            value = float(value)  # TOML's 54 is as good as 54.0
        if key in self.values and (not isinstance(value, kind) or isinstance(self.values[key], bool)):
            raise self.wrong(f"{key} = {value!r}: expected {kind.__name__}")
        return value

    def each(self, key: str, kind: type) -> dict[str, Any]:
        """A table whose values are all of one kind."""
        inner = self.table(key)
        return {name: inner.get(name, kind) for name in inner.values}

    def flags(self, key: str) -> dict[str, str]:
        """A table of flags as the command line would have them: epochs = 3 is as good as epochs = "3"."""
        inner = self.table(key)
        for name, value in inner.values.items():
            if not isinstance(value, str | int | float):
                raise inner.wrong(f"{name} = {value!r}: expected a text, a number, true or false")
        return {
            name: str(value).lower() if isinstance(value, bool) else str(value)
            for name, value in inner.values.items()
        }

    def strings(self, key: str) -> tuple[str, ...]:
        texts = self.get(key, list, [])
        if not all(isinstance(text, str) for text in texts):
            raise self.wrong(f"{key} = {texts!r}: expected a list of texts")
        return tuple(texts)

    def table(self, key: str, keys: str = "") -> Table:
        return Table(self.path, f"{self.name}.{key}" if self.name else key, self.values.get(key, {}), keys)

    def tables(self, key: str, keys: str = "") -> dict[str, Table]:
        inner = self.table(key)
        return {name: inner.table(name, keys) for name in inner.values}
