"""What a user names: opened if it is a plain file of bearable size, replaced as a whole or not at all."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from not_plain import NO_TARGETS

from data.base import files
from data.base.errors import DataError
from data.base.files import atomic_write, check_output, read_plain, replaced
from data.containers.documents import read_document

pytestmark = pytest.mark.timeout(20)


def test_a_plain_file_and_a_link_to_it_are_read(tmp_path):
    (tmp_path / "real").write_bytes(b"content")
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "empty").touch()
    assert read_plain(tmp_path / "real", 7) == read_plain(tmp_path / "link", 7) == b"content"
    assert read_plain(tmp_path / "empty", 7) == b""


def test_a_byte_too_many_is_refused_by_the_length(tmp_path):
    (tmp_path / "real").write_bytes(b"content")
    with pytest.raises(DataError, match="real: has 7 bytes; at most 6 are read"):
        read_plain(tmp_path / "real", 6)


@pytest.mark.parametrize(
    "change, said", [(b"more", "more than the 7 bytes"), (None, "fewer than the 7 bytes")]
)
def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path, monkeypatch, change, said):
    path = tmp_path / "real"
    path.write_bytes(b"content")
    length_is_known = files._whole

    def meanwhile(path, file):
        size = os.fstat(file.fileno())
        path.write_bytes(b"content" + change if change else b"cont")
        with monkeypatch.context() as patch:
            patch.setattr(os, "fstat", lambda handle: size)
            return length_is_known(path, file)

    monkeypatch.setattr(files, "_whole", meanwhile)
    with pytest.raises(DataError, match=said):
        read_plain(path, 100)


def test_a_file_of_the_system_without_a_length_is_empty_and_not_waited_for():
    if not Path("/proc/self/status").exists():
        pytest.skip("this system has no /proc")
    assert read_plain(Path("/proc/self/status"), 100) == b""


def test_nothing_is_written_to_a_pipe_s_other_end_and_nobody_is_woken(tmp_path):
    """Opening a pipe would let its writer go on; it is asked what it is before it is opened."""
    os.mkfifo(tmp_path / "pipe")
    writer = subprocess.Popen([sys.executable, "-c", f"open({str(tmp_path / 'pipe')!r}, 'w')"])
    try:
        with pytest.raises(DataError, match="pipe: is a pipe; expected a file; write what comes out"):
            read_plain(tmp_path / "pipe", 100)
        with pytest.raises(subprocess.TimeoutExpired):
            writer.wait(0.5)
    finally:
        writer.kill()
        writer.wait()


def test_what_is_no_text_is_refused_without_reading_it(tmp_path):
    with (tmp_path / "hole.json").open("wb") as file:
        file.truncate(3 << 30)
    with pytest.raises(DataError, match="not UTF-8 text: byte 0 is zero"):
        read_document(tmp_path / "hole.json")
    with pytest.raises(DataError, match="No such file"):
        read_document(tmp_path / "none.json")
    with pytest.raises(DataError, match=r"null (byte|character)"):
        read_document(tmp_path / "a\0b")


# ---------------------------------------------------------------------------------------------- outputs


def test_a_file_is_replaced_as_a_whole_and_keeps_its_permissions(tmp_path):
    target = tmp_path / ("n" * 255)  # as long as a name may be
    target.write_text("old")
    target.chmod(0o640)
    (tmp_path / "link").symlink_to(target.name)
    with replaced(tmp_path / "link") as path:
        path.write_text("new")
        assert target.read_text() == "old" and path.parent == tmp_path
    assert target.read_text() == "new" and stat.S_IMODE(target.stat().st_mode) == 0o640
    assert (tmp_path / "link").is_symlink() and len(list(tmp_path.iterdir())) == 2


def test_a_link_to_nothing_yet_makes_its_target(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to("there/new")
    with replaced(tmp_path / "link") as path:
        path.write_text("new")
    assert (tmp_path / "there" / "new").read_text() == "new" and (tmp_path / "link").is_symlink()


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path):
    target = tmp_path / "out"
    target.write_text("old")
    with pytest.raises(KeyboardInterrupt), replaced(target) as path:
        path.write_text("half")
        raise KeyboardInterrupt
    with pytest.raises(FileNotFoundError), replaced(target):
        pass  # a writer that wrote nothing
    assert target.read_text() == "old" and list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("write", [atomic_write, replaced])
def test_what_a_killed_process_left_is_removed_by_the_next(tmp_path, write):
    target = tmp_path / "out"
    script = f"""
import os, signal
from pathlib import Path
from data.base.files import {write.__name__}
with {write.__name__}(Path({str(target)!r})) as path:
    path.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", script]).returncode == -signal.SIGKILL
    (left,) = tmp_path.iterdir()
    with write(target) as path:
        path.write_text("whole")
    assert left != target and list(tmp_path.iterdir()) == [target]


def test_what_lies_there_at_the_end_is_asked_again(tmp_path):
    target = tmp_path / "out"
    with pytest.raises(DataError, match="is a pipe"), replaced(target) as path:
        path.write_text("new")
        os.mkfifo(target)
    assert stat.S_ISFIFO(target.stat().st_mode) and list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("through_a_link", [False, True])
@pytest.mark.parametrize("kind", NO_TARGETS)
def test_what_can_t_be_replaced_is_refused_and_left(tmp_path, monkeypatch, kind, through_a_link):
    monkeypatch.chdir(tmp_path)  # a socket's path is short
    make, said = NO_TARGETS[kind]
    make(out := Path("out"))
    mode = out.lstat().st_mode
    if through_a_link:
        Path("link").symlink_to(out)
    with pytest.raises(DataError, match=said) as caught:
        check_output(Path("link") if through_a_link else out)
    assert "\n" not in str(caught.value)
    assert out.lstat().st_mode == mode and len(os.listdir()) == 1 + through_a_link


@pytest.mark.parametrize("name", ["", ".", "..", "/", "none/out", "none/.."])
def test_what_is_no_name_of_a_file_is_refused(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError):
        check_output(Path(name))
    assert os.listdir() == []


def test_a_folder_that_is_a_file_and_one_that_can_be_made(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="is not a folder"):
        check_output(tmp_path / "file" / "out")
    with pytest.raises(DataError, match="is not a folder"):
        check_output(tmp_path / "file" / "new" / "out", make_folder=True)
    assert check_output(tmp_path / "new" / "newer" / "out", make_folder=True).name == "out"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_what_is_write_protected_is_refused(tmp_path):
    (tmp_path / "out").touch(0o444)
    with pytest.raises(DataError, match="is write-protected"):
        check_output(tmp_path / "out")
    tmp_path.chmod(0o555)
    with pytest.raises(DataError, match="can't be written to: Permission denied"):
        check_output(tmp_path / "new")
