"""Files that a user names: opened only where they are plain files of bearable size, replaced only as a whole.

Standard library only. Whatever a person's path leads to is opened and written by what is here, so that a pipe, a
device, a folder or a flood of bytes ends in one line: before anything waits for it, holds it or works for it.
"""

from __future__ import annotations

import hashlib
import io
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from data.base.errors import ContentError, DataError
from data.base.storage import open_file, persist

PICTURE_BYTES = 64 << 20  # COCO's largest is below 1 MB; so large a file is no picture for 224 pixels
TEXT_BYTES = 4 << 30  # JSON and tables, which are held in memory; VQA v2's annotations are 0.4 GB
SETTINGS_BYTES = 16 << 20  # luigi.cfg and TOML, which people write
WEIGHTS_BYTES = 16 << 30  # torchvision's largest have 2.5 GB
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

    DataError says what else is there, ContentError that it is larger. It is asked before opening, which can have
    effects on a device, and again of what was opened; nothing waits for the other end of a pipe.
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
    """Refuse, as `open_plain` does, what a library is going to open by its name."""
    with open_plain(path, max_bytes):
        pass


def read_plain(path: Path, max_bytes: int) -> bytes:
    """All bytes of a plain file. DataError as by `open_plain`, and where the file changes while it is read."""
    with open_plain(path, max_bytes) as file:
        return _whole(path, file)


def read_text(path: Path, max_bytes: int = TEXT_BYTES) -> bytes:
    """As `read_plain`, for a text: other files are refused by their first bytes, without holding the rest."""
    with open_plain(path, max_bytes) as file:
        _check_head(path, file)
        return _whole(path, file)


def check_text(path: Path, max_bytes: int = TEXT_BYTES) -> None:
    """Refuse what `read_text` would, from the first bytes: before a large file is hashed for nothing."""
    with open_plain(path, max_bytes) as file:
        _check_head(path, file)


def _check(path: Path, entry: os.stat_result, max_bytes: int) -> None:
    if kind := _kind(entry):
        advice = "; write what comes out of it into a file first" if kind == "a pipe" else ""
        raise DataError(f"{path}: is {kind}; expected a file{advice}")
    if entry.st_size > max_bytes:
        raise ContentError(f"{path}: has {entry.st_size:,} bytes; at most {max_bytes:,} are read")


def _kind(entry: os.stat_result) -> str:
    """What it is, "" for a plain file."""
    mode = entry.st_mode
    return "" if stat.S_ISREG(mode) else _KINDS.get(stat.S_IFMT(mode), "not a plain file")


def _whole(path: Path, file: BinaryIO) -> bytes:
    """As many bytes as the file had when it was opened: none for the system's own (/proc), which have no length."""
    size = os.fstat(file.fileno()).st_size
    content = file.read(size + 1) if size else b""
    if len(content) != size:
        more = "more" if len(content) > size else "fewer"
        raise DataError(
            f"{path}: has {more} than the {size:,} bytes that it had a moment ago; run again when it is whole"
        )
    return content


def _check_head(path: Path, file: BinaryIO) -> None:
    head = file.read(_HEAD)
    if head.startswith(b"PK\x03\x04"):
        raise DataError(f"{path}: is a zip; expected a text file: unpack it first")
    if (zero := head.find(b"\0")) >= 0:
        raise DataError(f"{path}: not UTF-8 text: byte {zero:,} is zero")
    file.seek(0)


@contextmanager
def _refused(path: Path, what: str) -> Iterator[None]:
    """The system's refusal of a path as one line."""
    try:
        yield
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise DataError(f"{path}: can't be {what}: {getattr(error, 'strerror', '') or error}") from error


# ---------------------------------------------------------------------------------------- what is written


def check_output(path: Path, make_folder: bool = False) -> Path:
    """Where `replaced` would write: `path`, or what it links to. Asked before the work that makes the content.

    DataError: a folder, pipe, device or socket stands there, it is write-protected, or nothing can be written
    beside it. `make_folder`: folders that are missing above it are no hindrance, as they will be made.
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
    """DataError unless files can be written into a folder. `make`: into the nearest one above where it is missing."""
    there = folder
    while make and not os.path.lexists(there) and there != there.parent:
        there = there.parent
    if not os.path.lexists(there):
        raise DataError(f"there is no folder {folder}; make it first")
    if not there.is_dir():
        raise DataError(f"{there}: is not a folder, so that nothing can be written into it")
    probe = there / f"{_mark('probe')}.part"
    with _refused(there, "written to"):
        os.close(os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        probe.unlink()


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """A path to write to, in the place of `path` (what it links to) when the block ends well, else removed.

    The name shows the old file or the whole new one, never a part: it is flushed, then renamed. It keeps the old
    one's permissions. DataError as by `check_output`, which is asked at the start and again at the end.
    """
    target = check_output(path)
    _sweep(target)
    beside = target.with_name(f"{_mark(target.name)}.part")
    try:
        yield beside
        if check_output(path) != target:
            raise DataError(f"{path}: was made to lead elsewhere in the meantime; run again")
        _keep_permissions(target, beside)
        flush(beside)
        beside.replace(target)
    finally:
        beside.unlink(missing_ok=True)
    flush(target.parent)


def _mark(name: str) -> str:
    """Begins the names of what this process writes beside `name`, which may be as long as the system allows."""
    return f"{_prefix(name)}{os.getpid()}"


def _prefix(name: str) -> str:
    return f".vqa-{hashlib.sha256(os.fsencode(name)).hexdigest()[:16]}-{socket.gethostname()[:64]}-"


def _sweep(target: Path) -> None:
    """Remove what killed processes of this machine have left beside a file."""
    prefix = _prefix(target.name)
    with suppress(OSError):  # they are in nobody's way
        for path in target.parent.iterdir():
            process = path.name.removeprefix(prefix).removesuffix(".part")
            if path.name.startswith(prefix) and process.isdecimal() and not _is_alive(int(process)):
                path.unlink()


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    return True


def _keep_permissions(old: Path, new: Path) -> None:
    with suppress(FileNotFoundError):
        entry = os.stat(old)
        with suppress(PermissionError):  # whose file it is, only the administrator may say
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


def length(path: Path) -> int:
    """Bytes of a file, a link's own; 0 where there is none any more."""
    try:
        return path.lstat().st_size
    except FileNotFoundError:
        return 0
