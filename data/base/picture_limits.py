"""Which pictures are decoded, and how large they may be: the same for features, pages and thumbnails."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

MAX_PIXELS = 100_000_000
"""Larger pictures are refused by their header: 300 MB of RGB are a bomb or a mistake."""

MAX_SIDE = 100_000
"""Longer ones are refused too: a resize goes by way of a picture as high as the original and as wide as the result."""


def _has_avif() -> bool:
    """Whether this Pillow reads AVIF, without importing it: this is needed while Luigi builds its graph."""
    spec = find_spec("PIL")
    folders = spec.submodule_search_locations or [] if spec else []
    return any(True for folder in folders for _ in Path(folder).glob("_avif.*"))


EXTENSIONS = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"),  # an MPO begins with a JPEG, which is what counts
    "PNG": (".png", ".apng"),
    "GIF": (".gif",),
    "BMP": (".bmp", ".dib"),
    "WEBP": (".webp",),
    "TIFF": (".tif", ".tiff"),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
    **({"AVIF": (".avif", ".avifs")} if _has_avif() else {}),
    "JPEG2000": (".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx"),
    "ICO": (".ico",),
    "CUR": (".cur",),
    "ICNS": (".icns",),
    "QOI": (".qoi",),
    "SGI": (".sgi", ".rgb", ".rgba", ".bw"),
    "SUN": (".ras",),
    "PSD": (".psd",),
    "MSP": (".msp",),
    "XBM": (".xbm",),
    "XPM": (".xpm",),
    "IM": (".im",),
    "PCX": (".pcx",),
    "DCX": (".dcx",),
    "TGA": (".tga", ".icb", ".vda", ".vst"),
    "DIB": (),
}
"""Every format that Pillow reads without running a program, and the endings of its files. Those whose first bytes say
little stand last. Left out are: PostScript, which is a program; what Pillow only recognises (WMF, MPEG, BUFR, GRIB,
HDF5); what holds measurements and no colours (FITS, PFM, SPIDER, McIDAS); textures of games, which it reads pixel by
pixel in Python (DDS, BLP, FTEX: minutes each); and what nothing here can write, to try it (FLI, GBR, PCD, PIXAR)."""

FORMATS = tuple(EXTENSIONS)
"""What is decoded, whatever a file is called."""

PICTURES = frozenset(ending for endings in EXTENSIONS.values() for ending in endings)
"""The endings of files that are taken for pictures."""

_OTHERS = {
    "HEIC": ".heic .heif .hif",
    "AVIF": ".avif .avifs",
    "JPEG XL": ".jxl",
    "JPEG XR": ".jxr .wdp .hdp",
    "SVG": ".svg .svgz",
    "PDF": ".pdf",
    "PostScript": ".eps .ps .ai",
    "a camera's raw format": ".cr2 .cr3 .nef .nrw .arw .dng .orf .rw2 .raf .pef .srw .raw",
    "a video": ".mp4 .mov .m4v .avi .mkv .webm .mpg .mpeg",
    "a Windows drawing": ".wmf .emf",
    "floating-point pixels": ".pfm .exr .hdr .fits .fit .fts",
}
"""Formats that people keep pictures in, and that are not decoded here."""

_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
_HEADS = {
    b"\xff\x0a": "JPEG XL",
    b"\0\0\0\x0cJXL ": "JPEG XL",
    b"II\xbc": "JPEG XR",
    b"%PDF": "PDF",
    b"%!PS": "PostScript",
    b"\xc5\xd0\xd3\xc6": "PostScript",
    b"<svg": "SVG",
    b"\x1a\x45\xdf\xa3": "a video",
    b"FUJIFILMCCD-RAW": "a camera's raw format",
    b"\xd7\xcd\xc6\x9a": "a Windows drawing",
    b"PF\n": "floating-point pixels",
    b"Pf\n": "floating-point pixels",
}


def unread_by_name(ending: str) -> str:
    """What a file with this ending holds, if that is known and not decoded here; else ""."""
    names = [name for name, endings in _OTHERS.items() if ending.lower() in endings.split()]
    return "" if ending.lower() in PICTURES else "".join(names[:1])


def unread_by_content(head: bytes) -> str:
    """What a file holds that begins with these bytes, if that is known and not decoded here; else ""."""
    if head[4:8] == b"ftyp":
        brand = head[8:12]
        return "HEIC" if brand in _BRANDS else "AVIF" if brand in (b"avif", b"avis") else "a video"
    return next((name for start, name in _HEADS.items() if head.lstrip().startswith(start)), "")
