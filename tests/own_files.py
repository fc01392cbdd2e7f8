"""Small files of your own: pictures by their names alone, tables, and what the conversion wrote."""

from __future__ import annotations

from data.catalog.entries import ImageSet, Source
from data.pictures.image_sets import open_images
from data.text.official_json import read_annotations, read_questions
from data.text.pairing import in_order


def pictures(folder, *names, ids="paths"):
    """Nothing is decoded here: any bytes will do. `ids`: as the image set has it."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return open_images(folder, ImageSet("mine", Source("mine", "mine"), None, "", ids))


def table(folder, text, name="qa.csv", encoding="utf-8"):
    path = folder / name
    path.write_bytes(text.encode(encoding) if isinstance(text, str) else text)
    return path


def read_split(folder, split):
    questions = read_questions(folder / f"{split}-questions.json")
    annotations = read_annotations(folder / f"{split}-annotations.json", None, True)
    return list(zip(questions, in_order(annotations, questions), strict=True))
