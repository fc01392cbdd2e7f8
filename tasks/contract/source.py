"""Which source a stage's result came from: so that `plan` can say 'source differs, version not bumped'.

The digest is over the stage's file and every file of the project that it reaches: modules that it imports, inside
functions too, the __init__ of their packages, and templates and tables that they name. For stages whose artifacts it
reads it takes their file and goes no further, as they have digests of their own. Of growing tables only the entry
that the stage reads counts (growing_tables). The contract and tasks/setup are left out: they decide where results
lie and how flags are read, and the flags are in the artifact's key.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import luigi

from tasks.contract.growing_tables import CATALOG, TABLES, catalog_entries, entry_only

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("data", "models", "tasks")
ASIDE = ("tasks/contract/", "tasks/setup/", CATALOG)

# Imports are found by searching the text: parsing all of it would take plan a third of a second.
IMPORT = re.compile(r"^[ \t]*(?:from[ \t]+([\w.]+)[ \t]+)?import[ \t]+(\([^)]*\)|[^\n]+)", re.MULTILINE)
COMMENT = re.compile(r"#.*")
NAME = re.compile(r"([\w.]+)(?:[ \t]+as[ \t]+\w+)?")
IN_QUOTES = re.compile(r"[\"']([\w.-]+\.\w+)[\"']")


@dataclass(frozen=True)
class _File:
    """A file's hash, the files that it reaches at once, and those that it takes nothing but stages from."""

    sha256: str
    reached: frozenset[str]
    stages: frozenset[str]


def source_digest(stage: Any) -> str:
    """Sha256 over what `stage`, a task with its flags, reaches of the project's source."""
    lines = sorted(f"{path} {sha256}" for path, sha256 in reached_files(stage).items())
    text = "\n".join([*lines, catalog_entries(stage.flags_read)])
    return hashlib.sha256(text.encode()).hexdigest()


def reached_files(stage: Any) -> dict[str, str]:
    """The sha256 of every file that decides what `stage` makes, by its path from the project's folder."""
    flags = stage.flags_read
    reached: dict[str, _File] = {}
    ends: set[str] = set()
    pending = set(_files_of(type(stage)))
    while pending:
        path = pending.pop()
        reached[path] = file = _look(path, *_entry(path, flags))
        ends |= file.stages
        pending |= file.reached - reached.keys()
    files = {path: _look(path, *_entry(path, flags)) for path in ends} | reached
    return {path: file.sha256 for path, file in files.items()}


def _files_of(stage: type) -> frozenset[str]:
    """The files of a stage and of its base classes."""
    modules = {cls.__module__ for cls in stage.__mro__}
    files = {path for module in modules for path in _candidates(module, [""])}
    if stage.__module__.split(".")[0] not in ROOMS:  # defined elsewhere: in a notebook, in a test
        return _ours(files) | {getattr(sys.modules.get(stage.__module__), "__file__", None) or os.devnull}
    return _ours(files)


def _entry(path: str, flags: dict[str, Any]) -> tuple[str, ...]:
    """The name of the entry that these flags choose in a file of growing tables; nothing for any other file."""
    return (str(flags.get(TABLES[path][0], "")),) if path in TABLES else ()


@cache
def _look(path: str, *entry: str) -> _File:
    text = _read(path)
    if entry:
        text = entry_only(text, TABLES[path][1], *entry)
    folder = path.rpartition("/")[0]
    reached, stages = {f"{folder}/{name}" for name in IN_QUOTES.findall(text)}, set[str]()
    for module, names in _imports(text) if path.endswith(".py") else ():
        (stages if _only_stages(module, names) else reached).update(_candidates(module, names))
    return _File(hashlib.sha256(text.encode()).hexdigest(), _ours(reached), _ours(stages))


def _read(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def _imports(text: str) -> Iterator[tuple[str, list[str]]]:
    """(module, names from it) of every import of the project's; ("", modules) for those without `from`."""
    for module, names in IMPORT.findall(text):
        if (module or names).split(".")[0] in ROOMS:
            yield module, NAME.findall(COMMENT.sub("", names))


def _candidates(module: str, names: list[str]) -> Iterator[str]:
    """What Python may run for an import: a module, or a package, for each name, and all packages on the way."""
    for name in names:
        parts = f"{module}.{name}".strip(".").split(".")
        if parts[0] in ROOMS:
            for end in range(1, len(parts) + 1):
                yield "/".join(parts[:end]) + ".py"
                yield "/".join(parts[:end]) + "/__init__.py"


def _only_stages(module: str, names: list[str]) -> bool:
    """Whether stages are all that is imported."""
    values = [getattr(sys.modules.get(module), name, None) for name in names]
    return all(isinstance(value, type) and issubclass(value, luigi.Task) for value in values)


def _ours(paths: set[str]) -> frozenset[str]:
    return frozenset(paths & _project_files())


@cache
def _project_files() -> frozenset[str]:
    """Every file that may count, by its path from the project's folder."""
    paths = set()
    for room in ROOMS:
        for folder, inner, names in os.walk(ROOT / room):
            inner[:] = [name for name in inner if name not in ("artifacts", "__pycache__")]
            paths |= {f"{Path(folder).relative_to(ROOT).as_posix()}/{name}" for name in names}
    return frozenset(path for path in paths if not path.startswith(ASIDE))
