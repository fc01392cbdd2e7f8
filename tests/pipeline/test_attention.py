"""A model that looks at places, from RunAll to the map of where it looked."""

from __future__ import annotations

import json
import zipfile
from random import Random

import h5py
import numpy as np
import pytest
from PIL import Image

from data.sample.scenes import Scene, Thing, make_scene

FLAGS = ("--model", "saaa", "--layer", "layer4", "--weights", "random:0", "--standardise")


@pytest.mark.slow
def test_where_it_looked_is_kept_reported_and_drawn(tiny):
    tiny("luigi", "RunAll", *FLAGS)
    with h5py.File(tiny.artifact("predict-answers", "saaa") / "predictions.h5") as file:
        shares = file["attention"][...]
    assert shares.dtype == np.float16 and shares.shape[1:] == (7, 7)
    np.testing.assert_allclose(shares.sum(axis=(1, 2), dtype=np.float64), 1, atol=0.01)
    page = (tiny.artifact("report", "saaa") / "report.html").read_text()
    assert "Where the model looked in picture" in page
    with zipfile.ZipFile(next(tiny.artifact("download-images", "val").glob("*.zip"))) as pictures:
        name = next(name for name in pictures.namelist() if name.endswith(".jpg"))
        (tiny.folder / "photo.jpg").write_bytes(pictures.read(name))
    words = ("photo.jpg", "What colour is the circle?", "How many circles are there?", "--run", "saaa")
    said = json.loads(tiny("pipeline", "ask", *words, "--map", "map.png", "--json"))
    assert np.array(said["asked"][1]["attention"]).shape == (2, 7, 7)
    with Image.open(tiny.folder / "map.png") as drawn, Image.open(tiny.folder / "photo.jpg") as photo:
        panel = [round(length * 500 / max(photo.size)) for length in photo.size]
        assert (drawn.format, *drawn.size) == ("PNG", 2 * panel[0] + 8, 2 * panel[1] + 8)
    tiny("luigi", "TrainModel")
    refused = tiny("pipeline", "ask", *words[:2], "--run", "deeper-lstm", "--map", "none.png", code=1)
    assert "has no attention, so it can't say where it looked; ask a run of saaa, top-down" in refused
    assert not (tiny.folder / "none.png").exists()


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_on_the_sample_it_answers_and_looks_at_what_is_asked_about(shell):
    """The figures that README gives of the sample, from nothing."""
    process = shell.start("luigi", "RunAll", "--model", "saaa")
    said, _ = process.communicate(timeout=2300)
    assert process.returncode == 0, said
    [evaluation] = (shell.artifacts / "evaluate-model").glob("saaa-*/accuracy.json")
    assert json.loads(evaluation.read_text())["overall"] >= 88
    inside, box = np.mean([shares_of(*example) for example in about_one_of_a_pair(shell.artifacts)], axis=0)
    assert inside >= 2 * box


def about_one_of_a_pair(artifacts):
    """(scene, the thing that a question is about, the shares of the places) for each question about one of a pair."""
    [archive] = (artifacts / "download-questions").glob("sample-val-*/*.zip")
    with zipfile.ZipFile(archive) as file:
        questions = json.loads(file.read("OpenEnded_sample_val_questions.json"))["questions"]
    [predictions] = (artifacts / "predict-answers").glob("saaa-*/predictions.h5")
    with h5py.File(predictions) as file:
        maps = dict(
            zip(file["question_ids"][...].tolist(), file["attention"][...].astype(float), strict=True)
        )
    for question in questions:
        scene = make_scene(Random(f"0 {question['image_id']}"))
        things = [thing for thing in scene.things if named(thing, question["question"])]
        if scene.pair and len(things) == 1:
            yield scene, things[0], maps[question["question_id"]]


def named(thing: Thing, question: str) -> bool:
    return f" {thing.shape}" in question or f"on the {thing.side}?" in question


def shares_of(scene: Scene, thing: Thing, shares: np.ndarray) -> tuple[float, float]:
    """What lies inside the thing's box: of the attention, and of the picture."""
    side = thing.radius * min(scene.width, scene.height)
    across, down = (
        covered(centre - side / length, centre + side / length, cells)
        for centre, length, cells in (
            (thing.x, scene.width, shares.shape[1]),
            (thing.y, scene.height, shares.shape[0]),
        )
    )
    return float(down @ shares @ across), float(down.mean() * across.mean())


def covered(low: float, high: float, cells: int) -> np.ndarray:
    """The share of each of so many cells, side by side from 0 to 1, that lies between low and high."""
    edges = np.linspace(0, 1, cells + 1)
    return np.clip(np.minimum(edges[1:], high) - np.maximum(edges[:-1], low), 0, None) * cells
