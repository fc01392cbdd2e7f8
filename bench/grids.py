"""Training and prediction from a table of grids that stays on the disk: memory, and how long rows are waited for.

python -m bench.grids --gigabytes 30 --sparse    # a file with holes: memory that no file backs stays below BUDGET
python -m bench.grids --gigabytes 6              # written here, so in the system's cache: the share of waiting
python -m bench.grids --gigabytes 0.3            # a trial

Grids are 7 x 7 x 2048, 200,704 bytes a picture; an epoch has --questions about each. Prediction answers the same
questions. Memory is RssAnon of /proc/self/status at its highest, libraries and the model included. The exit code is 1
where a figure is beyond BUDGET.
"""

from __future__ import annotations

import argparse
import re
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from bench.peers import ANSWERS, EMBEDDING, VOCABULARY, make_embeddings, make_questions
from bench.turns import add_device
from data.pictures.feature_file import feature_frame

SHAPE = (7, 7, 2048)
BUDGET = {"memory in training, GB": 3.0, "memory in prediction, GB": 3.5, "waiting for rows, %": 5.0}
ABOUT = {"backbone": "made up", "layer": "grid", "weights": "none", "transform": "none"}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--gigabytes", type=float, default=6, help="of the table")
    parser.add_argument("--sparse", action="store_true", help="a file with a hole for the rows: all are zero")
    parser.add_argument("--questions", type=int, default=5, help="about each picture")
    parser.add_argument("--model", default="saaa")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--folder", type=Path, help="where the table is written, and removed")
    add_device(parser)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        path = Path(folder) / "features.h5"
        write_table(path, int(options.gigabytes * 1e9 / (2 * np.prod(SHAPE))), options.sparse)
        figures = measure(path, options)
    beyond = [name for name, most in BUDGET.items() if figures[name] > most]
    for name, value in figures.items():
        print(f"{name:28} {value:12,.2f}{'  beyond ' + str(BUDGET[name]) if name in beyond else ''}")
    raise SystemExit(bool(beyond))


def write_table(path: Path, pictures: int, sparse: bool) -> None:
    names = [f"{number:08}.jpg" for number in range(pictures)]
    frame = feature_frame(np.arange(1, pictures + 1), names, SHAPE, ABOUT, path.parent)
    with path.open("wb") as file:
        file.write(frame.head)
        if not sparse:
            some = np.maximum(np.random.default_rng(0).standard_normal((331, *SHAPE), np.float32), 0)
            rows = some.astype(np.float16).tobytes()
            for start in range(0, len(frame.rows), len(rows)):
                file.write(rows[: len(frame.rows) - start])
        file.seek(frame.rows.stop)
        file.write(frame.tail)
        file.truncate(frame.size())


def measure(path: Path, options: argparse.Namespace) -> dict[str, float]:
    from models.openmp import spin_briefly

    spin_briefly()
    from data.pictures.feature_file import read_features
    from models.classifiers.architecture import Architecture
    from models.classifiers.names import CLASSIFIERS
    from models.prediction import predict
    from models.training.inputs import TrainingData, TrainingOptions
    from models.training.loop import train

    features = read_features(path, in_memory=0).features
    rows = np.resize(np.arange(len(features)), len(features) * options.questions)
    tokens, rng = make_questions(len(rows), 0), np.random.default_rng(1)
    classes = rng.integers(0, ANSWERS, len(rows)).astype(np.int32)
    data = TrainingData(tokens, rows, features, classes)
    entry = CLASSIFIERS[options.model]
    recipe = {name: int(entry.recipe[name]) for name in ("hidden", "joint", "batch_size")}
    batch = recipe.pop("batch_size")
    training = TrainingOptions(options.epochs, batch, optimiser=entry.recipe["optimiser"], **entry.training)
    architecture = Architecture(options.model, VOCABULARY, EMBEDDING, ANSWERS, SHAPE, **recipe)
    where = {"device": options.device, "precision": options.precision}
    with highest_memory() as in_training:
        trained = train(data, architecture, make_embeddings(), training, **where)
    last, began = trained.history[-1], time.perf_counter()
    with highest_memory() as in_prediction:
        predict(trained.module, tokens, rows, features, classes=classes, **where)
    return {
        "pictures": len(features),
        "pictures in a block": trained.facts.get("block_pictures", len(features)),
        "training, samples a second": last["samples_per_second"],
        "waiting for rows, %": 100 * last.get("seconds_waited_for_rows", 0) / last["seconds"],
        "memory in training, GB": in_training[0] / 1e9,
        "prediction, questions a second": len(rows) / (time.perf_counter() - began),
        "memory in prediction, GB": in_prediction[0] / 1e9,
    }


@contextmanager
def highest_memory() -> Iterator[list[int]]:
    """The most bytes that no file backs, as the only item of a list that is right at the end."""
    highest, ended = [0], threading.Event()

    def watch() -> None:
        while not ended.wait(0.02):
            resident = re.search(r"^RssAnon:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
            highest[0] = max(highest[0], int(resident[1]) * 1024 if resident else 0)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield highest
    finally:
        ended.set()
        watcher.join()


if __name__ == "__main__":
    from bench.one_line import in_one_line

    in_one_line(main)
