"""manifest.json: what an artifact holds and what it was made from, as the one type that all code reads.

It is checked once, when it is parsed. Fields that later versions of the project may add are ignored, fields that
earlier versions did not write have a default, and a field of another type is refused.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from data.base.files import write_json

MANIFEST = "manifest.json"
MANIFEST_VERSION = 1

_Types = Mapping[str, type | tuple[type, ...]]

_NUMBER = (int, float)
_NEEDED: _Types = {
    **{"key": dict, "files": dict, "digest": str, "inputs": dict, "facts": dict, "warnings": list},
    **{"started": _NUMBER, "finished": _NUMBER, "seconds": _NUMBER},
}
_LATER: _Types = {
    **{"manifest_version": object, "flags": dict, "host": str, "source": str, "versions": dict},
    **{"commit": (str, type(None)), "platform": str},
}
"""Fields that not every manifest has."""

_OF_KEY: _Types = {"stage": str, "version": int, "parameters": dict, "upstream": dict}
_OF_FILE: _Types = {"size": int, "sha256": str}
_OF_INPUT: _Types = {"path": str, "digest": str}


@dataclass(frozen=True)
class Key:
    """All that decides an artifact's content. `others`: fields that this version does not know."""

    stage: str
    version: int
    parameters: dict[str, Any]
    upstream: dict[str, str]
    others: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The mapping in manifest.json."""
        return self.others | {name: getattr(self, name) for name in _OF_KEY}

    @property
    def fingerprint(self) -> str:
        """Sixteen hex digits; the name of the artifact's folder ends in them."""
        return short_hash(self.as_json())


@dataclass(frozen=True)
class File:
    """A file of an artifact: its size in bytes and its hex sha256."""

    size: int
    sha256: str


@dataclass(frozen=True)
class Input:
    """An artifact that was read: where it was then, and its digest."""

    path: str
    digest: str


@dataclass(frozen=True)
class Manifest:
    """What manifest.json says; docs/reference.md describes each field. Times are in seconds (since 1970)."""

    key: Key
    files: dict[str, File]
    digest: str
    inputs: dict[str, Input]
    facts: dict[str, Any]
    warnings: list[str]
    started: float
    finished: float
    seconds: float
    manifest_version: Any = None
    flags: dict[str, Any] = field(default_factory=dict)
    host: str = ""
    source: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    commit: str | None = None
    platform: str = ""

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files.values())

    def write(self, folder: Path) -> None:
        """Write manifest.json into an artifact's folder."""
        write_json(folder / MANIFEST, asdict(self) | {"key": self.key.as_json()})


def parse(content: bytes) -> Manifest:
    """Raises ValueError, or RecursionError, where it is not JSON or a field is missing or of another type."""
    fields = _checked(json.loads(content), {**_NEEDED, **_LATER}, _LATER)
    key = _checked(fields["key"], _OF_KEY)
    fields["key"] = Key(
        **key, others={name: value for name, value in fields["key"].items() if name not in key}
    )
    fields["files"] = {name: File(**_checked(entry, _OF_FILE)) for name, entry in fields["files"].items()}
    fields["inputs"] = {name: Input(**_checked(entry, _OF_INPUT)) for name, entry in fields["inputs"].items()}
    if not fields["files"]:
        raise ValueError("no files")
    return Manifest(**fields)


def _checked(value: Any, types: _Types, optional: Collection[str] = ()) -> dict[str, Any]:
    """The known fields of a JSON object. ValueError where one is missing or has another type."""
    if not isinstance(value, dict):
        raise ValueError("not an object")
    known = {name: value.get(name) for name in types if name in value or name not in optional}
    if wrong := [name for name in known if not isinstance(known[name], types[name])]:
        raise ValueError(f"of another type: {', '.join(wrong)}")
    return known


def digest(files: Mapping[str, File], extras: Iterable[str]) -> str:
    """One hash over the names and hashes of the result files; what matches a pattern of `extras` does not count."""
    patterns = tuple(extras)
    results = {
        name: file.sha256
        for name, file in sorted(files.items())
        if not any(fnmatch(name, pattern) for pattern in patterns)
    }
    return hashlib.sha256(json.dumps(results).encode()).hexdigest()


def short_hash(value: Any) -> str:
    """Sixteen hex digits for a value of JSON."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]
