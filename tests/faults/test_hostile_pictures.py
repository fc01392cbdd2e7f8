"""Archives and pictures made to do harm, through the command that reads any: one clear error, nothing written."""

from __future__ import annotations

import os
import random
import stat
import sys
import zipfile
from pathlib import Path

import pytest
from commands import ROOT
from hostile import jpeg_that_claims, picture, png_that_claims
from PIL import Image
from watched import MIB, contents, pipeline, watched

from data.base.picture_limits import FORMATS
from data.pictures import thumbnails
from pipeline.__main__ import main

SMALL_NETWORK = ("--backbone", "resnet18", "--layer", "flatten", "--weights", "random:0")
POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n(x) = quit\n%%EOF\n"


# ------------------------------------------------------------------------------------------------- archives


def member(name: str, mode: int = 0o100644) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name)
    entry.external_attr = mode << 16
    entry.compress_type = zipfile.ZIP_DEFLATED
    return entry


def archive(path: Path, *members: tuple[zipfile.ZipInfo, bytes]) -> None:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(member("good.jpg"), picture())
        for entry, content in members:
            file.writestr(entry, content)


def with_a_wrong_crc(path: Path) -> None:
    archive(path, (member("wrong.jpg"), picture()))
    content = bytearray(path.read_bytes())
    at = content.rindex(b"PK\x01\x02") + 16
    content[at : at + 4] = b"\1\2\3\4"
    path.write_bytes(content)


def that_declares_less_than_it_holds(path: Path) -> None:
    archive(path, (member("small.jpg"), bytes(100_000_000)))
    content = bytearray(path.read_bytes())
    at = content.rindex(b"PK\x01\x02") + 24
    content[at : at + 4] = (1000).to_bytes(4, "little")
    path.write_bytes(content)


def cut_short(path: Path) -> None:
    archive(path)
    path.write_bytes(path.read_bytes()[:-40])


ARCHIVES = {
    "zip slip": (lambda path: archive(path, (member("../../../outside.jpg"), b"x")), "out of the archive"),
    "absolute": (lambda path: archive(path, (member("/tmp/outside.jpg"), b"x")), "absolute path"),
    "symlink": (lambda path: archive(path, (member("a.jpg", stat.S_IFLNK | 0o777), b"/etc/passwd")), "link"),
    "device": (lambda path: archive(path, (member("a.jpg", stat.S_IFCHR | 0o777), b"")), "device"),
    "bomb": (lambda path: archive(path, (member("bomb.jpg"), bytes(100_000_000))), "zip bomb"),
    "cut short": (cut_short, "not a readable zip"),
    "empty": (lambda path: path.write_bytes(b""), "not a readable zip"),
}


@pytest.mark.parametrize("name", ARCHIVES)
def test_a_hostile_archive_is_refused_before_anything_is_read(name, tmp_path, capsys, artifacts):
    make, said = ARCHIVES[name]
    (tmp_path / "in").mkdir()
    make(tmp_path / "in" / "pictures.zip")
    before = contents(tmp_path)
    words = [
        "features",
        str(tmp_path / "in" / "pictures.zip"),
        "--out",
        str(tmp_path / "f.h5"),
        *SMALL_NETWORK,
    ]
    assert main(words) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ") and said in error and len(error.splitlines()) == 1
    assert contents(tmp_path) == before


@pytest.mark.slow
def test_through_the_command_line_with_memory_watched(tmp_path):
    """Exit code 1, one line, and 100 MB that a member inflates to are never taken."""
    for make, said in ARCHIVES.values():
        make(tmp_path / "pictures.zip")
        code, output, peak = pipeline(tmp_path, "features", "pictures.zip", "--out", "f.h5", *SMALL_NETWORK)
        assert (code, len(output.splitlines())) == (1, 1) and said in output and "Traceback" not in output
        assert peak < 250 * MIB
        assert not (tmp_path / "f.h5").exists()


# ------------------------------------------------------------------------------------------------- pictures

HOSTILE = {
    "bomb.png": png_that_claims(60_000, 60_000),
    "bomb.jpg": jpeg_that_claims(65_500, 65_500),
    "vast.png": png_that_claims(10_000, 10_000),
    "half.jpg": picture()[:300],
    "half.png": picture("PNG")[:300],
    "page.jpg": b"<!DOCTYPE html><html><script>alert(1)</script></html>",
    "drawing.png": b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
    "program.jpg": POSTSCRIPT,
    "pickle.jpg": b"\x80\x04\x95\x1d\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94\x8c\x06system\x94\x93\x94.",
    "empty.gif": b"",
    "zeros.bmp": bytes(5000),
    "endless.tif": b"II*\0\x08\0\0\0\xff\xff" + bytes(range(256)) * 20,
}


@pytest.fixture
def pictures(tmp_path):
    """A folder of hostile pictures and three good ones, one of them with a wrong name, one that is as large as three
    hundred and is a small file; and a Ghostscript that tells."""
    folder, tools = tmp_path / "pictures", tmp_path / "bin"
    folder.mkdir()
    tools.mkdir()
    for name, content in HOSTILE.items():
        (folder / name).write_bytes(content)
    (folder / "good.jpg").write_bytes(picture())
    (folder / "mislabelled.jpg").write_bytes(picture("PNG"))
    Image.new("RGBA", (10_000, 5_000)).save(folder / "large.png", compress_level=1)
    (tools / "gs").write_text(f"#!/bin/sh\ntouch {tmp_path}/a-program-ran\n")
    (tools / "gs").chmod(0o755)
    return tmp_path


@pytest.mark.parametrize("allowed", [len(HOSTILE), pytest.param(0, marks=pytest.mark.slow)])
def test_hostile_pictures_are_all_named_and_the_others_used(pictures, allowed):
    path = f"{pictures / 'bin'}:{os.environ['PATH']}"
    words = ("features", "pictures", "--out", "f.h5", "--max-bad-images", str(allowed), *SMALL_NETWORK)
    code, output, peak = pipeline(pictures, *words, PATH=path)
    assert "Traceback" not in output and "Fatal" not in output and peak < 1024 * MIB
    assert not (pictures / "a-program-ran").exists()
    if allowed:
        assert code == 0 and "3 pictures, 512 float16 each" in output
        assert all(f"left out {name}: " in output for name in HOSTILE)
    else:
        assert code == 1 and not (pictures / "f.h5").exists()
        assert all(f"{name} (id" in output for name in HOSTILE)
        assert f"max_bad_images = {len(HOSTILE)}" in output


def test_pages_decode_no_more_than_extraction_does():
    for content in HOSTILE.values():
        assert thumbnails.thumbnail(content, 400) is None


def test_a_name_that_is_no_text_and_a_pipe_are_refused(tmp_path, capsys, artifacts):
    folder = tmp_path / "pictures"
    folder.mkdir()
    words = ["features", str(folder), "--out", str(tmp_path / "f.h5"), *SMALL_NETWORK]
    strange = os.fsencode(folder) + b"/\xff.jpg"
    try:
        with open(strange, "wb") as file:
            file.write(picture())
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    assert main(words) == 1
    assert "is not UTF-8; rename it" in capsys.readouterr().err
    os.unlink(strange)
    os.mkfifo(folder / "pipe.jpg")
    assert main(words) == 1
    assert "pipe.jpg: is a pipe; expected a file" in capsys.readouterr().err


# Each damaged copy either decodes or is refused as a picture; anything else (another exception, a crash) ends it.
FUZZ = """
import random, sys, warnings
from pathlib import Path
from models.backbones.decoding import PictureError, decode
warnings.simplefilter("ignore")
seeds = [path.read_bytes() for path in sorted(Path(sys.argv[1]).iterdir())]
rng, good, bad = random.Random(int(sys.argv[2])), 0, 0
for number in range(int(sys.argv[3])):
    content = bytearray(rng.choice(seeds))
    for _ in range(rng.choice((1, 2, 4, 16))):
        at = rng.randrange(min(len(content), 700) or 1)
        content = content or bytearray(1)
        what = rng.random()
        if what < 0.6:
            content[at] = rng.randrange(256)
        elif what < 0.8:
            del content[at : at + rng.randrange(1, 40)]
        elif what < 0.95:
            content[at:at] = bytes(rng.randrange(256) for _ in range(rng.randrange(1, 40)))
        else:
            del content[max(at, 20):]
    try:
        decode(bytes(content), 64)
        good += 1
    except PictureError as error:
        assert 0 < len(str(error)) < 500, error
        bad += 1
print(good, bad)
"""


@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed, copies", [(0, 600), pytest.param(1, 20_000, marks=pytest.mark.slow)])
def test_fuzzed_headers_decode_or_are_refused_in_bounded_time_and_memory(tmp_path, seed, copies):
    kinds = [("JPEG", {}), ("JPEG", {"progressive": True}), ("JPEG", {"quality": 5, "subsampling": 2})]
    kinds += [
        ("PNG", {}),
        ("GIF", {}),
        ("BMP", {}),
        ("WEBP", {}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        *((name, {}) for name in ("PPM", "JPEG2000", "ICO", "ICNS", "QOI", "SGI", "IM", "PCX", "TGA", "DIB")),
        *((name, {}) for name in ("AVIF",) if name in FORMATS),
    ]
    random.seed(seed)
    for number, (kind, options) in enumerate(kinds):
        repeat = 4 if kind == "JPEG" else 1
        for again in range(repeat):
            (tmp_path / f"{number}-{again}").write_bytes(picture(kind, (48, 40), **options))
    words = [sys.executable, "-c", FUZZ, str(tmp_path), str(seed), str(copies)]
    code, output, peak = watched(words, ROOT, os.environ | {"OMP_NUM_THREADS": "1"})
    assert code == 0, output[-3000:]
    good, bad = map(int, output.splitlines()[-1].split())
    assert good + bad == copies and good > 0 and bad > copies // 10
    assert peak < 2048 * MIB
