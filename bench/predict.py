"""Answering 121,512 questions about 40,504 pictures (v1's validation split), here and by Keras 3's predict.

    python bench/predict.py --keras-python OTHER/bin/python [--backends tensorflow jax] [--device cuda] [--quick]

Ours answers all of them each round, lengths of features, sorting and all; Keras a sample of them in
ready-made batches of 256 (its default of 32 is slower), which is enough to know its rate.
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

SAMPLE = 20 * BATCH


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--keras-python", default=sys.executable, help="a Python with keras and its backends")
    parser.add_argument("--backends", nargs="*", default=["tensorflow", "jax"])
    parser.add_argument("--precisions", nargs="*", default=["float32", "auto"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="6,000 questions about 2,000 pictures, 2 rounds")
    parser.add_argument("--worker", nargs=2, metavar=("NAME", "FOLDER"), help=argparse.SUPPRESS)
    add_device(parser, what="ours (Keras takes what its backend finds)")
    options = parser.parse_args()
    if options.worker:
        name, folder = options.worker
        work_keras(Path(folder)) if name == "keras" else work_ours(Path(folder), options.device, name)
        return
    check_device(options.device)
    check_python(options.keras_python, options.backends)
    with tempfile.TemporaryDirectory() as folder:
        questions, pictures = (6_000, 2_000) if options.quick else (121_512, 40_504)
        make_features(Path(folder) / "features.npy", pictures, 2)
        np.save(Path(folder) / "tokens.npy", make_questions(questions, 0))
        workers = [
            start(f"ours {p}", sys.executable, p, folder, options.device, {}) for p in options.precisions
        ]
        for backend in options.backends:
            environment = {"KERAS_BACKEND": backend}
            workers.append(
                start(f"Keras {backend}", options.keras_python, "keras", folder, options.device, environment)
            )
        compete(workers, 2 if options.quick else options.rounds)


def start(name: str, python: str, kind: str, folder: str, device: str, environment: dict[str, str]) -> Worker:
    return Worker(name, python, "predict.py", ["--worker", kind, folder, "--device", device], environment)


def load_arrays(folder: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Tokens, each question's row (three a picture, as in v1), features."""
    tokens = np.load(folder / "tokens.npy")
    features = np.load(folder / "features.npy", mmap_mode="r")
    return tokens, np.arange(len(tokens)) // 3, features


def work_ours(folder: Path, device: str, precision: str) -> None:
    from models.openmp import spin_briefly

    spin_briefly()
    from models.classifiers.architecture import Architecture
    from models.classifiers.build import build
    from models.prediction import predict

    tokens, rows, features = load_arrays(folder)
    architecture = Architecture("deeper-lstm", VOCABULARY, EMBEDDING, ANSWERS, (FEATURES,))
    module = build(architecture, make_embeddings())
    while await_round():
        began = time.perf_counter()
        predict(module, tokens, rows, features, device=device, precision=precision)
        report_round(len(tokens) / (time.perf_counter() - began))


def work_keras(folder: Path) -> None:
    tokens, rows, features = load_arrays(folder)
    pick = np.random.default_rng(5).permutation(len(tokens))[:SAMPLE]
    tokens, pictures = tokens[pick], normalised(features[rows[pick]])
    model = keras_model()
    while await_round():
        began = time.perf_counter()
        model.predict([tokens, pictures], batch_size=BATCH, verbose=0)
        report_round(len(tokens) / (time.perf_counter() - began))


if __name__ == "__main__":
    from bench.one_line import in_one_line

    in_one_line(main)
