"""A picture takes what its pixels need while it is decoded, and nothing afterwards."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hostile import png_that_claims

from models.backbones.decoding import PictureError, decode

RESETS = Path("/proc/self/clear_refs")
needs_a_peak = pytest.mark.skipif(not RESETS.exists(), reason="the system keeps no peak that can be set back")

SCRIPT = """
import io, json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from PIL import Image
from data.base.freed_memory import give_back
from data.base.picture_limits import FORMATS
from models import memory
from models.backbones import decoding as pictures

SIZE = (3200, 2500)
TURNED = Image.Exif()
TURNED[0x0112] = 6
KINDS = {
    "RGB": ("PNG", "RGB", {}),
    "transparent, turned": ("PNG", "RGBA", {"exif": TURNED}),
    "transparent grey": ("PNG", "LA", {}),
    "transparent palette": ("PNG", "P", {"transparency": 0}),
    "16 bits": ("PNG", "I;16", {}),
    "TIFF": ("TIFF", "RGBA", {"compression": "tiff_lzw"}),
    "BMP": ("BMP", "L", {}),
    "JPEG, turned": ("JPEG", "RGB", {"exif": TURNED}),
    "JPEG, CMYK": ("JPEG", "CMYK", {}),
    "JPEG, progressive": ("JPEG", "RGB", {"progressive": True, "subsampling": 0}),
    "WebP": ("WEBP", "RGBA", {"method": 0}),
    "JPEG 2000": ("JPEG2000", "RGBA", {}),
}
if "AVIF" in FORMATS:
    KINDS["AVIF"] = "AVIF", "RGBA", {"speed": 10}

def encoded(size, kind, mode, options):
    file = io.BytesIO()
    Image.new(mode, size).save(file, kind, **options)
    return file.getvalue()

def field(name):
    return int(Path("/proc/self/status").read_text().split(name + ":")[1].split()[0]) * 1024

def measured(function, *arguments):
    "Bytes a pixel at the peak and at the end, without the pages of libraries that were touched meanwhile."
    give_back()
    before = field("RssAnon")
    Path("/proc/self/clear_refs").write_text("5")
    function(*arguments)
    taken = field("VmHWM") - field("RssFile"), field("RssAnon")
    return [(most - before) / (SIZE[0] * SIZE[1]) for most in taken]

taken = {}
for name, kind in KINDS.items():
    pictures.decode(encoded((64, 64), *kind))  # what a format's first picture loads stays
    taken[name] = measured(pictures.decode, encoded(SIZE, *kind))

pictures.LARGE_PIXELS = SIZE[0] * SIZE[1] - 1
with ThreadPoolExecutor(4) as pool, memory.memory_kept():
    def four(data):
        list(pool.map(pictures.decode, [data] * 4))
    four(encoded((64, 64), *KINDS["RGB"]))
    taken["four at once"] = measured(four, encoded(SIZE, *KINDS["RGB"]))
print(json.dumps(taken))
"""


def measured() -> str:
    return subprocess.run(
        [sys.executable, "-c", SCRIPT],
        cwd=Path(__file__).parents[3],
        env=os.environ | {"MALLOC_MMAP_THRESHOLD_": str(1 << 20)},  # no gaps between what is held
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout


@pytest.mark.slow
@needs_a_peak
def test_a_picture_takes_what_its_pixels_need_and_large_ones_do_so_in_turn() -> None:
    """Four bytes a pixel in Pillow and three as RGB; more only where a decoder itself keeps the whole picture."""
    taken = json.loads(measured())
    need = {"JPEG, progressive": 9, "WebP": 16, "AVIF": 16, "JPEG 2000": 24}
    assert {name: peak for name, (peak, _) in taken.items() if not peak < need.get(name, 7) + 1.5} == {}
    peak, left = taken["four at once"]
    assert peak > 5 and left < 1.5


@pytest.mark.parametrize("size", [(1, 90_000_000), (90_000_000, 1), (900, 100_001)])
def test_a_picture_of_absurd_length_is_refused_by_its_header(size: tuple[int, int]) -> None:
    """Not many pixels, but resizing them would take many times their bytes."""
    with pytest.raises(PictureError, match="a side of more than 100,000"):
        decode(png_that_claims(*size))
