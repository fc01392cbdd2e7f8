"""What bench/train.py and bench/predict.py share: generated arrays, the Keras model, and interleaved workers.

Each competitor is a separate process that does one round when its standard input says so, and answers
with a line of JSON. Rounds take turns, so that a slow minute of the machine falls on all of them.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from bench.real_questions import LENGTHS
from data.base.errors import DataError

ROOT = Path(__file__).resolve().parents[1]
VOCABULARY, EMBEDDING, ANSWERS, FEATURES, STEPS, BATCH = 12602, 300, 1000, 4096, 26, 256


def make_questions(count: int, seed: int) -> np.ndarray:
    """(count, 26) int32 like real questions: their lengths, their common beginnings, a question mark at the end.

    Each word is drawn from few likely successors of the one before. The exponent is chosen so that questions share
    their beginnings as real ones do. LSTM states a question, made and real (8,977 of VQA v2): 5.8 and 5.7 in batches
    of 256, 4.1 and 4.1 over 8,977; and 83% and 84% of these are distinct.
    """
    rng = np.random.default_rng(seed)
    shares = np.array(list(LENGTHS.values())) / sum(LENGTHS.values())
    lengths = rng.choice(list(LENGTHS), count, p=shares)
    tokens = np.zeros((count, STEPS), np.int32)
    word = np.zeros(count, np.int64)
    for place in range(int(lengths.max()) - 1):
        word = (word * 7919 + rng.zipf(1.78, count)) % (VOCABULARY - 2)
        rows = np.flatnonzero(lengths - 1 > place)
        tokens[rows, STEPS - lengths[rows] + place] = word[rows] + 2
    tokens[:, -1] = 1
    return tokens


def make_features(path: Path, pictures: int, seed: int) -> None:
    """(pictures, 4096) float16 with the zeros that a ReLU leaves, written block by block."""
    rng = np.random.default_rng(seed)
    table = np.lib.format.open_memmap(path, "w+", np.float16, (pictures, FEATURES))
    for i in range(0, pictures, 2048):
        block = rng.standard_normal((min(2048, pictures - i), FEATURES), np.float32)
        table[i : i + 2048] = np.maximum(block, 0)
    table.flush()


def make_embeddings() -> np.ndarray:
    matrix = np.random.default_rng(3).normal(scale=0.4, size=(VOCABULARY, EMBEDDING)).astype(np.float32)
    matrix[0] = 0
    return matrix


def keras_model(matrix: np.ndarray | None = None, answers: int = ANSWERS, sees: bool = True) -> Any:
    """The original's model in Keras 3, compiled for training; without `sees` it has no picture.

    matrix: the word vectors, by default `make_embeddings()`.
    """
    import keras

    layers = keras.layers
    vectors = make_embeddings() if matrix is None else matrix
    question, picture = keras.Input((STEPS,), dtype="int32"), keras.Input((FEATURES,))
    start = keras.initializers.Constant(vectors)
    x = layers.Embedding(*vectors.shape, embeddings_initializer=start, trainable=False)(question)
    x = layers.Dropout(0.5)(layers.LSTM(512, return_sequences=True)(x))
    x = layers.Dropout(0.5)(layers.LSTM(512)(x))
    x = layers.Dense(1024, activation="tanh")(x)
    if sees:
        x = layers.Multiply()([x, layers.Dense(1024, activation="tanh")(picture)])
    x = layers.Dense(1024, activation="tanh")(layers.Dropout(0.5)(x))
    x = layers.Dense(answers, activation="softmax")(layers.Dropout(0.5)(x))
    model = keras.Model([question, picture] if sees else question, x)
    model.compile(keras.optimizers.RMSprop(1e-3), "sparse_categorical_crossentropy")
    return model


def normalised(features: np.ndarray) -> np.ndarray:
    rows = features.astype(np.float32)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def check_device(name: str) -> None:
    """Called before the arrays are made: ModelError where ours can't compute there."""
    from models.openmp import spin_briefly

    spin_briefly()
    from models.devices import pick_device

    pick_device(name)


def check_python(python: str, backends: list[str]) -> None:
    """Called before the arrays are made: DataError where Keras is asked for and its Python is not there."""
    if backends and shutil.which(python) is None:
        raise DataError(
            f"--keras-python {python}: not a program; expected the Python of a place that has Keras"
        )


class Worker:
    """A competitor in its own process."""

    def __init__(
        self, name: str, python: str, script: str, arguments: list[str], environment: dict[str, str]
    ):
        self.name, self.memory = name, 0.0
        self.rates: list[float] = []
        self.process = subprocess.Popen(
            [python, str(ROOT / "bench" / script), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3", **environment},
        )

    def round(self) -> float:
        """Samples per second of one round."""
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        for line in self.process.stdout:
            if line.startswith('{"rate"'):
                result = json.loads(line)
                self.memory = result["memory_gb"]
                return float(result["rate"])
        raise SystemExit(f"{self.name} ended with exit code {self.process.wait()}.")

    def end(self) -> None:
        self.process.communicate()


def await_round() -> bool:
    """In a worker: wait for the next round. False when there are no more."""
    return bool(sys.stdin.readline())


def report_round(rate: float) -> None:
    """In a worker: answer with samples per second and the most memory held so far."""
    import resource

    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(json.dumps({"rate": rate, "memory_gb": memory}), flush=True)


def compete(workers: list[Worker], rounds: int) -> None:
    """A round each to warm up, then `rounds` rounds in turn; prints medians, spreads and ratios."""
    for turn in range(rounds + 1):
        for worker in workers:
            rate = worker.round()
            if turn:
                worker.rates.append(rate)
            print(f"  round {turn} {worker.name}: {rate:,.0f} samples/s", file=sys.stderr, flush=True)
    for worker in workers:
        worker.end()
    peers = [worker for worker in workers if worker.name.startswith("Keras")]
    best = max(peers, key=lambda worker: statistics.median(worker.rates), default=None)
    columns = ("samples/s", "lowest", "highest", "memory GB", "times the best Keras")
    print(f"{'':<24}{columns[0]:>10}{columns[1]:>10}{columns[2]:>10}{columns[3]:>11}{columns[4]:>22}")
    for worker in workers:
        line = f"{worker.name:<24}{statistics.median(worker.rates):>10,.0f}{min(worker.rates):>10,.0f}"
        line += f"{max(worker.rates):>10,.0f}{worker.memory:>11.2f}"
        if best and not worker.name.startswith("Keras"):
            ratios = [ours / theirs for ours, theirs in zip(worker.rates, best.rates, strict=True)]
            line += f"{statistics.median(ratios):>8.2f}  ({min(ratios):.2f} to {max(ratios):.2f})"
        print(line)
