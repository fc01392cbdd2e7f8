"""What a path may lead to besides a plain file, and what is said of it; and commands that take such a path."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import pytest
from hostile import picture

from tasks.setup.user_errors import UsageError

FLOOD = 3 << 30
NETWORK = ("--backbone", "resnet18", "--layer", "flatten")


def a_pipe(path: Path) -> None:
    os.mkfifo(path)


def a_device_without_end(path: Path) -> None:
    try:
        os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 5))  # zeros
    except PermissionError:
        pytest.skip("this system lets nobody but root make a device")


def a_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path.name)  # the current folder's, as a socket's path is short


def a_flood(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(FLOOD)


KINDS = {
    "pipe": (a_pipe, "is a pipe"),
    "device": (a_device_without_end, "is a device"),
    "socket": (a_socket, "is a socket"),
    "link to a pipe": (
        lambda path: (a_pipe(Path("pipe")), path.symlink_to(Path("pipe").absolute())),
        "is a pipe",
    ),
    "folder": (lambda path: path.mkdir(), "is a folder|no pictures|holds? no|no data_"),
    "3 GB of nothing": (
        a_flood,
        "3,221,225,472 bytes|not UTF-8 text|not a file of tensors|not an HDF5 file|not a readable zip",
    ),
    "link to nothing": (lambda path: path.symlink_to("none"), "is a link to none, which does not exist"),
    "link in a circle": (lambda path: path.symlink_to(path.name), "symbolic links"),
    "nothing": (lambda path: None, "[Nn]o such file|does not exist|no data_"),
    "empty file": (
        lambda path: path.touch(),
        "not a readable zip|not a file of tensors|not JSON|not the original's names|HDF5 file",
    ),
}


NO_TARGETS = {kind: KINDS[kind] for kind in ("pipe", "device", "socket", "folder", "link in a circle")} | {
    "link into no folder": (lambda path: path.symlink_to("none/new"), "there is no folder"),
    "link to the system's": (lambda path: path.symlink_to("/proc/new"), "/proc: can't be written to"),
}


def a_folder_of_pictures(name):
    Path(name).mkdir()
    (Path(name) / "good.jpg").write_bytes(picture())


def refusal(command, capsys):
    """The one line that a command ends with."""
    try:
        assert command() == 1
        line = capsys.readouterr().err.strip()
    except SystemExit as ended:  # what Luigi reads
        line = str(ended.code)
    except UsageError as error:  # the same while nothing has been read from a command line
        line = f"error: {error}"
    assert line.startswith("error: ") and "\n" not in line
    return line


def features_to(out):
    return ["features", "photos", *NETWORK, "--weights", "random:0", "--out", out]
