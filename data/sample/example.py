"""An example of own data: drawn pictures in a folder, and a table of questions about them."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from random import Random

from data.sample.scene_questions import ask
from data.sample.scenes import Scene, draw, make_scene

PICTURES, QUESTIONS = 60, 5
"""How many, and how many questions about each."""

_COLOURS = (
    "red",
    "yellow",
    "blue",
    "white",
)  # of the sample's eight: each is in a quarter of so few pictures
_SHAPES = ("circle", "square", "star")


def make_example(pictures: Path, table: Path, seed: int = 0) -> None:
    """Draw PICTURES pictures into the new folder `pictures`, and write a CSV with QUESTIONS questions about each.

    Its columns are image, question and answer. The same bytes for the same seed on one machine.
    """
    pictures.mkdir()
    with table.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(("image", "question", "answer"))
        for number, (scene, rng) in zip(range(1, PICTURES + 1), _scenes(seed), strict=False):
            name = f"{number:02}.jpg"
            (pictures / name).write_bytes(draw(scene, rng))
            rows.writerows((name, asked.question, asked.answer) for asked in ask(scene, QUESTIONS, rng))


def _scenes(seed: int) -> Iterator[tuple[Scene, Random]]:
    """Scenes, and what drew them: of one kind of thing in few colours and shapes, as 48 pictures teach no more."""
    rng = Random(f"{seed} example")
    while True:
        scene = make_scene(rng)
        if not scene.pair and scene.things[0].colour in _COLOURS and scene.things[0].shape in _SHAPES:
            yield scene, rng
