"""Files that a user names: only plain files of a reasonable size are opened, and a file is only replaced as a whole.

Standard library only. Every path that a user gives is opened and written here, so that a pipe, a device, a
folder or an endless stream ends in one line, before anything waits for it, keeps it in memory or works on it.
"""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import shutil
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from data.base.errors import ContentError, DataError
from data.base.storage import open_file, persist
from data.base.temporary import is_left, temporary_name

PICTURE_BYTES = 64 << 20  # COCO's largest is below 1 MB; a larger file is of no use at 224 pixels
TEXT_BYTES = 4 << 30  # JSON and tables, which are held in memory; VQA v2's annotations are 0.4 GB
SETTINGS_BYTES = 16 << 20  # luigi.cfg and TOML, which people write
WEIGHTS_BYTES = 16 << 30  # torchvision's largest file has 2.5 GB
FILE_BYTES = 1 << 40  # what is read piece by piece: archives, files that are hashed

_HEAD = 4096  # bytes that tell a text from other files
_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


# ------------------------------------------------------------------------------------------- what is read


def open_plain(path: Path, max_bytes: int) -> io.BufferedReader:
    """A plain file of at most `max_bytes`, links followed, as a stream of bytes, read as data.base.storage reads.

    DataError says what is there instead, ContentError that it is larger. The path is checked before it is opened,
    because opening a device can have effects, and again afterwards; nothing waits for the other end of a pipe.
    """
    with _refused(path, "read"):
        _check(path, persist(path, lambda: os.stat(path)), max_bytes)
        file = open_file(path, _without_waiting)
    try:
        _check(path, os.fstat(file.fileno()), max_bytes)
        os.set_blocking(file.fileno(), True)
    except BaseException:
        file.close()
        raise
    return file


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY)


def check_plain(path: Path, max_bytes: int) -> None:
    """Refuse what `open_plain` refuses, for a file that a library will open by its name."""
    with open_plain(path, max_bytes):
        pass


def read_plain(path: Path, max_bytes: int) -> bytes:
    """All bytes of a plain file. DataError as by `open_plain`, and where the file changes while it is read."""
    with open_plain(path, max_bytes) as file:
        return _whole(path, file)


def _check(path: Path, entry: os.stat_result, max_bytes: int) -> None:
    if kind := _kind(entry):
        advice = "; write what comes out of it into a file first" if kind == "a pipe" else ""
        raise DataError(f"{path}: is {kind}; expected a file{advice}")
    if entry.st_size > max_bytes:
        raise ContentError(f"{path}: has {entry.st_size:,} bytes; at most {max_bytes:,} are read")


def _kind(entry: os.stat_result) -> str:
    """What kind of thing it is; "" for a plain file."""
    mode = entry.st_mode
    return "" if stat.S_ISREG(mode) else _KINDS.get(stat.S_IFMT(mode), "not a plain file")


def _whole(path: Path, file: BinaryIO) -> bytes:
    """As many bytes as the file had when it was opened: none for files of /proc, which have no length."""
    size = os.fstat(file.fileno()).st_size
    content = file.read(size + 1) if size else b""
    if len(content) != size:
        more = "more" if len(content) > size else "fewer"
        raise DataError(
            f"{path}: has {more} than the {size:,} bytes that it had a moment ago; run again when it is whole"
        )
    return content


@contextmanager
def _refused(path: Path, what: str) -> Iterator[None]:
    """The system's refusal of a path as one line."""
    try:
        yield
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise DataError(f"{path}: can't be {what}: {getattr(error, 'strerror', '') or error}") from error


# ---------------------------------------------------------------------------------------- what is written


def check_output(path: Path, make_folder: bool = False) -> Path:
    """Where `replaced` would write: `path`, or what it links to. Call it before the work that makes the content.

    DataError: a folder, pipe, device or socket stands there, it is write-protected, or nothing can be written
    beside it. `make_folder`: missing parent folders do not matter, as they will be made.
    """
    target = Path(os.path.realpath(path))
    for place in (path, target):  # what /dev/stdout leads to has a name that leads nowhere
        with _refused(path, "written"), suppress(FileNotFoundError, NotADirectoryError):
            if kind := _kind(os.stat(place)):
                raise DataError(f"{path}: is {kind}, which is not replaced; name a file")
            if not os.access(place, os.W_OK):
                raise DataError(f"{path}: is write-protected; name another file, or remove it")
    check_folder(target.parent, make_folder and not os.path.islink(path))
    return target


def check_folder(folder: Path, make: bool = False) -> None:
    """DataError unless files can be written into a folder. `make`: if it is missing, into its nearest parent."""
    there = folder
    while make and not os.path.lexists(there) and there != there.parent:
        there = there.parent
    if not os.path.lexists(there):
        raise DataError(f"there is no folder {folder}; make it first")
    if not there.is_dir():
        raise DataError(f"{there}: is not a folder, so that nothing can be written into it")
    probe = temporary_name(there / "probe")
    with _refused(there, "written to"):
        os.close(os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        probe.unlink()


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """Like `atomic_write`, for a path that a user names: links are followed, and the old file's permissions kept.

    DataError as by `check_output`, which is called at the start and again at the end.
    """
    target = check_output(path)
    with atomic_write(target) as beside:
        yield beside
        if check_output(path) != target:
            raise DataError(f"{path}: was made to lead elsewhere in the meantime; run again")
        _keep_permissions(target, beside)


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """A path to write to: it replaces `path` if the block succeeds, and is removed if not.

    Readers see the old file or the whole new one, never a part, even after a power cut: the new one is flushed, then
    renamed. What a killed writer of this machine has left beside it goes. OSError where the system refuses.
    """
    _sweep(path)
    beside = temporary_name(_short(path))
    try:
        yield beside
        flush(beside)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    flush(path.parent)


def move(built: Path, path: Path) -> None:
    """Move a finished file to `path`, as `replaced` does: by a rename, or by a copy from another disk."""
    target = check_output(path)
    _keep_permissions(target, built)
    flush(built)
    try:
        built.replace(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        with replaced(path) as copy:
            shutil.copyfile(built, copy)
    flush(target.parent)


def _sweep(target: Path) -> None:
    """Remove what killed processes of this machine have left beside a file."""
    prefix = f".tmp-{_short(target).name}-{socket.gethostname()}-"
    with suppress(OSError):  # leftovers do no harm
        for path in target.parent.iterdir():
            if path.name.startswith(prefix) and is_left(path):
                path.unlink()


def _short(path: Path) -> Path:
    """A shortened name that a suffix fits on: the name itself may be as long as the system allows."""
    name = os.fsencode(path.name)
    return path if len(name) <= 64 else path.with_name(hashlib.sha256(name).hexdigest()[:32])


def _keep_permissions(old: Path, new: Path) -> None:
    with suppress(FileNotFoundError):
        entry = os.stat(old)
        with suppress(PermissionError):  # only the administrator may change a file's owner
            os.chown(new, entry.st_uid, entry.st_gid)
        new.chmod(stat.S_IMODE(entry.st_mode))


# ------------------------------------------------------------------------------------- what writers share


def flush(path: Path) -> None:
    """Bring a file's bytes, or a folder's names, to the disk. OSError where the system refuses."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_json(path: Path, value: Any) -> None:
    """UTF-8, indented, sorted keys, a newline at the end: readable, and the same bytes every time."""
    path.write_text(json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")


def length(path: Path) -> int:
    """Bytes that a file, or a link itself, takes on the disk, without holes; 0 where it is gone."""
    try:
        entry = path.lstat()
    except FileNotFoundError:
        return 0
    return min(entry.st_size, 512 * getattr(entry, "st_blocks", entry.st_size))
