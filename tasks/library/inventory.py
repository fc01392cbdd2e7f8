"""What below the artifacts folder is the pipeline's: `gc` removes and `verify` checks nothing else.

People keep other things there, and link folders in. An artifact stands in the folder of a known stage, its name ends
in a fingerprint, and it has its manifest, or holds only files that this stage makes. Links are followed where a whole
stage, or .work, is one (a large disk), and nowhere else.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

from data.base.temporary import WRITER, is_alive, lives
from tasks.contract import artifacts
from tasks.contract.flagged import subclasses
from tasks.contract.manifest import MANIFEST
from tasks.contract.stage import Stage
from tasks.setup import settings
from tasks.stages.download import FOLDER, Download
from tasks.stages.own_data import UNUSABLE

_SHARDS = ("*/shard-*.json", "*/artifact/features.h5", "*/artifact/manifest.json", "*/kept/features.h5")
_SHARDS_BEFORE = ("*/shard-*.npy",)  # of versions that kept rows in a file a shard
WORK = (*_SHARDS, *_SHARDS_BEFORE, "epoch-*.safetensors", "epoch-*.json", UNUSABLE)
"""What tasks/extraction, models/training/snapshots.py and ConvertOwnData write into a work folder."""

FEATURES = "features"  # in place of a stage's name: the work of `python -m pipeline features`

_NAME = re.compile(r"(?!\.).*-[0-9a-f]{16}")
_REPLACED = re.compile(rf"\.(?:tmp|old)-(?P<name>.*-[0-9a-f]{{16}}){WRITER}")
_WRITTEN = re.compile(rf"\.(?:tmp|shard|epoch)-.+{WRITER}")  # the last two by earlier versions
_HASHES = re.compile(rf"\.tmp-\.identities\.json{WRITER}")
_RUN = re.compile(rf"\.run{WRITER}")
_PART = re.compile(r"(?P<part>.+\.[0-9a-f]{8,16}\.part)(?:\..+)?")


def stages() -> dict[str, type[Stage]]:
    """Every known stage, by the name of its folder."""
    known: set[type[Stage]] = {cls for cls in subclasses(Stage) if not cls.__subclasses__()}
    return {cls.stage_name(): cls for cls in known}


def all_artifacts() -> Iterator[Path]:
    """Every artifact, complete or not, in order of name."""
    for name in sorted(stages()):
        yield from artifacts_of(name)


def artifacts_of(stage: str) -> list[Path]:
    """The artifacts of the stage whose folder has this name, complete or not, in order of name."""
    for old in _entries(stage):
        if (match := _REPLACED.fullmatch(old.name)) and not is_alive(old):
            artifacts.inspect(old.parent / match["name"])  # puts it back if nothing else is left
    return [path for path in _entries(stage) if _NAME.fullmatch(path.name) and _is_artifact(path)]


def _entries(name: str) -> list[Path]:
    folder = settings.artifacts_folder() / name
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _is_artifact(path: Path) -> bool:
    if not path.is_dir():
        return False
    return artifacts.inspect(path).manifest is not None or not (path.is_symlink() or strangers(path))


def strangers(path: Path) -> list[str]:
    """Files in an artifact or a work folder that the pipeline did not make."""
    names = list(_files(path))
    if path.parent.name == ".work":
        return [name for name in names if not (_matches(name, WORK) or _WRITTEN.fullmatch(Path(name).name))]
    manifest, known = artifacts.inspect(path).manifest, {MANIFEST, artifacts.DAMAGED}
    if manifest is None:
        contents = stages()[path.parent.name].contents
        return [name for name in names if name not in known and not _matches(name, contents)]
    known |= {*manifest.files, FOLDER}  # no manifest lists a link to a folder
    return [name for name in names if name not in known]


def _files(folder: Path) -> Iterator[str]:
    """Relative names of all below a folder that is not itself a folder; links are named and not followed."""
    for where, folders, files in os.walk(folder):
        links = [name for name in folders if Path(where, name).is_symlink()]
        yield from (Path(where, name).relative_to(folder).as_posix() for name in [*files, *links])


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def work_folders() -> list[Path]:
    """Folders of unfinished work, of any age and version, in order of name."""
    known = {*stages(), FEATURES}
    named = (path for path in _work_entries() if _NAME.fullmatch(path.name) and stage_of(path) in known)
    return [path for path in named if path.is_dir()]


def _work_entries() -> Iterator[Path]:
    """What lies in .work, and in the .work of each stage: features become an artifact where they were begun."""
    for place in (".work", *(f"{name}/.work" for name in sorted(stages()))):
        yield from _entries(place)


def stage_of(path: Path) -> str:
    """The name of the stage that an artifact or a work folder is of; 'download-parts' for partial downloads."""
    return path.name.rpartition("-")[0] if path.parent.name == ".work" else path.parent.name


def parts() -> list[Path]:
    """Partial downloads, and the files beside them that say where they come from."""
    entries = _entries(".work/download-parts")
    return [path for path in entries if _PART.fullmatch(path.name) and _is_own(path)]


def work_of(stage: Stage) -> list[Path]:
    """Where a stage's unfinished work lies: its work folder, and the part of a download."""
    return [stage.work_folder(), *([stage.part()] if isinstance(stage, Download) else [])]


def whose(path: Path) -> Path:
    """The path by which `work_of` names it: that of the download for a file beside one, else its own."""
    match = _PART.fullmatch(path.name) if path.parent.name == "download-parts" else None
    return path.with_name(match["part"]) if match else path


def run_notes() -> list[Path]:
    """The files in which runs note what they need (tasks/library/in_use.py), also those of dead runs."""
    return [path for path in _entries(".work") if _RUN.fullmatch(path.name) and _is_own(path)]


def leftovers() -> Iterator[Path]:
    """What dead processes have left: artifacts being built, replaced or removed, and files being written."""
    for name in sorted(stages()):
        yield from (path for path in _entries(name) if _is_left(path, _REPLACED))
    yield from (path for path in _work_entries() if _is_left(path, _REPLACED))
    yield from (path for path in _entries(".work/download-parts") if _is_left(path, _WRITTEN))
    yield from (path for path in _entries("") if _is_left(path, _HASHES))
    yield from (path for path in run_notes() if not is_alive(path))
    for folder in work_folders():
        if not folder.is_symlink():
            inside = (path for kind in (".*", "*/.*") for path in sorted(folder.glob(kind)))
            yield from (path for path in inside if _is_left(path, _WRITTEN))
    for path in sorted(settings.artifacts_folder().glob(".identities.json.*.tmp")):  # of earlier versions
        pid = path.name.split(".")[-2]
        if _is_own(path) and pid.isdigit() and not lives(int(pid), path.stat().st_mtime):
            yield path


def _is_left(path: Path, pattern: re.Pattern[str]) -> bool:
    return bool(pattern.fullmatch(path.name)) and not path.is_symlink() and not is_alive(path)


def _is_own(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()
