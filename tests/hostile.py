"""Small files made to do harm, and honest ones to put beside them."""

from __future__ import annotations

import io
import json
import os
import struct
import zlib
from pathlib import Path

from PIL import Image

DEEP = 100_000  # levels of nesting


def picture(kind: str = "JPEG", size: tuple[int, int] = (40, 30), **options: object) -> bytes:
    file = io.BytesIO()
    Image.effect_noise(size, 60).convert("RGB").save(file, kind, **options)
    return file.getvalue()


def png_that_claims(width: int, height: int) -> bytes:
    """A few bytes of PNG whose header promises a picture of this size."""
    content = picture("PNG")
    header = b"IHDR" + struct.pack(">II", width, height) + content[24:29]
    return content[:12] + header + zlib.crc32(header).to_bytes(4, "big") + content[33:]


def jpeg_that_claims(width: int, height: int) -> bytes:
    content = bytearray(picture("JPEG"))
    at = content.index(b"\xff\xc0") + 5
    content[at : at + 4] = struct.pack(">HH", height, width)
    return bytes(content)


class Bomb:
    """A pickle that runs a program when it is read."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return os.system, (f"touch {self.mark}",)


def question(number=1, **changes):
    return {"image_id": 1, "question": "Is it red?", "question_id": number} | changes


def annotation(number=1, **changes):
    answers = [{"answer": "yes", "answer_confidence": "yes", "answer_id": n} for n in range(1, 11)]
    kinds = {"question_type": "is it", "answer_type": "yes/no", "multiple_choice_answer": "yes"}
    return kinds | {"image_id": 1, "question_id": number, "answers": answers} | changes


def asked(*entries, **more) -> bytes:
    return json.dumps({"questions": list(entries), **more}).encode()


def header(fields: dict, length: int | None = None, body: bytes = b"") -> bytes:
    """A safetensors file, its header's length as it is or as `length` claims."""
    text = json.dumps(fields).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + body


def huge(shape: list[int]) -> dict:
    size = 4
    for length in shape:
        size *= length
    return {"fusion.bias": {"dtype": "F32", "shape": shape, "data_offsets": [0, size]}}
