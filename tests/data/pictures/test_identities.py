"""What pictures of your own count by: it moves with the pictures and with nothing else."""

from __future__ import annotations

import hashlib
import json
import os
import time
import zipfile

import pytest

from data.base.hashes import sha256_file
from data.pictures import identities
from data.pictures.identities import pictures_identity


def members(path, *names):
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, name)
    settled(path)
    return path


def settled(path):
    """Written so long ago that its hash may be remembered by its date."""
    old = time.time() - 100
    os.utime(path, (old, old))


OTHER_NAMES = [["a.ppm"], ["b/c.JFIF"], ["b/.hidden/d.jpg"], ["@eaDir/x.png"], ["e.jp2", "f.tga"]]


@pytest.mark.parametrize("others", OTHER_NAMES, ids=lambda names: names[0])
def test_a_zip_counts_otherwise_only_where_its_pictures_are_others_than_by_the_first_list(tmp_path, others):
    cache = tmp_path / "known.json"
    plain = members(tmp_path / "plain.zip", "a.jpg", "b/c.png", "notes.txt", ".d.jpg", "__MACOSX/._a.jpg")
    assert pictures_identity(plain, cache) == sha256_file(plain)
    more = members(tmp_path / "more.zip", "a.jpg", *others)
    identity = pictures_identity(more, cache)
    assert identity != sha256_file(more) and identity == pictures_identity(more, cache)
    assert identity == pictures_identity(more, tmp_path / "another.json")
    copy = members(tmp_path / "copy.zip", "a.jpg", *others)
    assert pictures_identity(copy, cache) == identity  # wherever it lies


def test_a_folder_of_the_same_pictures_keeps_its_identity(tmp_path):
    """The digest is that of 0.1.0's first list, spelt out."""
    for name in ("a.jpg", "b/c.PNG", "notes.txt", "@eaDir/a.jpg", ".b/d.jpg"):
        (tmp_path / "p" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "p" / name).write_bytes(name.encode())
    lines = [json.dumps([name, hashlib.sha256(name.encode()).hexdigest()]) for name in ("a.jpg", "b/c.PNG")]
    wanted = hashlib.sha256("".join(f"{line}\n" for line in lines).encode()).hexdigest()
    assert pictures_identity(tmp_path / "p", tmp_path / "known.json") == wanted
    (tmp_path / "p" / "e.jpe").write_bytes(b"x")
    assert pictures_identity(tmp_path / "p", tmp_path / "known.json") != wanted


def test_what_a_zip_counts_by_is_remembered_and_forgotten_with_its_content(tmp_path, monkeypatch):
    path = members(tmp_path / "a.zip", "a.jpg", "b.ppm")
    real = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: real() + 10_000_000_000)  # its own time is behind us
    first = pictures_identity(path, tmp_path / "known.json")
    monkeypatch.setattr(identities, "_told_otherwise", lambda path: pytest.fail("asked again"))
    assert pictures_identity(path, tmp_path / "known.json") == first
    monkeypatch.undo()
    assert pictures_identity(members(path, "a.jpg", "c.ppm"), tmp_path / "known.json") != first
