"""Training the original's model, here and in Keras 3: samples per second, in turns, on the same generated arrays.

    python bench/train.py --keras-python OTHER/bin/python [--backends tensorflow jax] [--device cuda] [--quick]

The arrays have v1's sizes (82,783 pictures x 4,096 as float16, batches of 256). Keras gets its batches
ready-made in memory as float32; ours gathers, normalises and plans its own within the time. The other
Python needs keras, numpy and the backends.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from bench.peers import (
    ANSWERS,
    BATCH,
    EMBEDDING,
    FEATURES,
    VOCABULARY,
    Worker,
    await_round,
    check_device,
    check_python,
    compete,
    keras_model,
    make_embeddings,
    make_features,
    make_questions,
    normalised,
    report_round,
)
from bench.turns import add_device


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--keras-python", default=sys.executable, help="a Python with keras and its backends")
    parser.add_argument("--backends", nargs="*", default=["tensorflow", "jax"])
    parser.add_argument("--precisions", nargs="*", default=["float32", "auto"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=20, help="batches a round")
    parser.add_argument("--quick", action="store_true", help="3,000 pictures, 2 rounds of 2 batches")
    parser.add_argument("--worker", nargs=2, metavar=("NAME", "FOLDER"), help=argparse.SUPPRESS)
    add_device(parser, what="ours (Keras takes what its backend finds)")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.steps = 2, 2
    if options.worker:
        name, folder = options.worker
        work_keras(Path(folder)) if name == "keras" else work_ours(Path(folder), options.device, name)
        return
    check_device(options.device)
    check_python(options.keras_python, options.backends)
    with tempfile.TemporaryDirectory() as folder:
        make_arrays(Path(folder), 3000 if options.quick else 82_783, options.steps * BATCH)
        workers = [start(f"ours {p}", sys.executable, p, folder, options, {}) for p in options.precisions]
        for backend in options.backends:
            environment = {"KERAS_BACKEND": backend}
            workers.append(
                start(f"Keras {backend}", options.keras_python, "keras", folder, options, environment)
            )
        compete(workers, options.rounds)


def start(
    name: str, python: str, kind: str, folder: str, options: argparse.Namespace, environment: dict[str, str]
) -> Worker:
    arguments = ["--worker", kind, folder, "--device", options.device]
    return Worker(name, python, "train.py", arguments, environment)


def make_arrays(folder: Path, pictures: int, count: int) -> None:
    rng = np.random.default_rng(1)
    make_features(folder / "features.npy", pictures, 2)
    np.save(folder / "tokens.npy", make_questions(count, 0))
    np.save(folder / "rows.npy", rng.integers(0, pictures, count))
    np.save(folder / "classes.npy", rng.integers(0, ANSWERS, count).astype(np.int32))


def load_arrays(folder: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    tokens, rows, classes = (np.load(folder / f"{name}.npy") for name in ("tokens", "rows", "classes"))
    return tokens, rows, classes


def work_ours(folder: Path, device: str, precision: str) -> None:
    """Train with the project's own `train`, an epoch a round; it waits for the next round between epochs."""
    from models.openmp import spin_briefly

    spin_briefly()
    from models.classifiers.architecture import Architecture
    from models.training.inputs import History, TrainingData, TrainingOptions
    from models.training.loop import train

    tokens, rows, classes = load_arrays(folder)
    features = np.load(folder / "features.npy")  # in memory, as the stage holds it

    def each_epoch(history: History) -> None:
        report_round(history[-1]["samples_per_second"])
        if not await_round():
            raise SystemExit

    architecture = Architecture("deeper-lstm", VOCABULARY, EMBEDDING, ANSWERS, (FEATURES,))
    options = TrainingOptions(epochs=10**6, batch_size=BATCH)
    data = TrainingData(tokens, rows, features, classes)
    await_round()
    train(
        data,
        architecture,
        make_embeddings(),
        options,
        device=device,
        precision=precision,
        each_epoch=each_epoch,
    )


def work_keras(folder: Path) -> None:
    """`fit` on the same samples."""
    tokens, rows, classes = load_arrays(folder)
    pictures = normalised(np.load(folder / "features.npy", mmap_mode="r")[rows])
    model = keras_model()
    while await_round():
        began = time.perf_counter()
        model.fit([tokens, pictures], classes, batch_size=BATCH, epochs=1, shuffle=False, verbose=0)
        report_round(len(tokens) / (time.perf_counter() - began))


if __name__ == "__main__":
    from bench.one_line import in_one_line

    in_one_line(main)
