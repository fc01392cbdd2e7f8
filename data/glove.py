"""Word vectors: only the rows that the vocabulary needs are parsed, straight from the zip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from data.archives import open_member
from data.errors import DataError
from data.progress import Progress, silent
from data.questions import Vocabulary


@dataclass(frozen=True)
class Embeddings:
    """matrix (V, D) float32, a row an id (padding and UNK zeros); found (V,) bool: whether GloVe has the word."""

    matrix: NDArray[np.float32]
    found: NDArray[np.bool_]


def read_vectors(
    zip_path: Path, member: str, words: Sequence[str], dimensions: int, progress: Progress = silent
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Vectors of `words`: ((len(words), dimensions) float32, found (len(words),) bool); zeros where there is none.

    A line is a word, then the numbers; words may hold spaces (840B), so it is split from the right. Of a word given
    twice the first line counts. DataError for a needed line of other length or with numbers that are not finite.
    """
    row_of = {word.encode(): row for row, word in enumerate(words)}
    matrix = np.zeros((len(words), dimensions), np.float32)
    found = np.zeros(len(words), bool)
    with open_member(zip_path, member) as lines:
        for number, line in enumerate(lines, start=1):
            head = line.split(b" ", 1)[0]
            row = row_of.get(head)
            if row is None or found[row]:
                continue
            matrix[row] = _numbers(line, head, dimensions, f"{zip_path}: {member} line {number:,}")
            found[row] = True
            progress(int(found.sum()), len(words), "words found")
    return matrix, found


def _numbers(line: bytes, word: bytes, dimensions: int, where: str) -> NDArray[np.float32]:
    parts = line.rstrip().split(b" ")[1:]
    if len(parts) != dimensions:
        raise DataError(f"{where}: {len(parts)} numbers behind {word.decode()!r}; expected {dimensions}")
    try:
        numbers = np.array(parts, np.float32)
    except ValueError as error:
        raise DataError(f"{where}: {error}") from None
    if not np.isfinite(numbers).all():
        raise DataError(f"{where}: numbers that are not finite behind {word.decode()!r}")
    return numbers


def embedding_matrix(
    vocabulary: Vocabulary, zip_path: Path, member: str, dimensions: int, progress: Progress = silent
) -> Embeddings:
    """One row an id of the vocabulary."""
    vectors, known = read_vectors(zip_path, member, vocabulary.words, dimensions, progress)
    matrix = np.zeros((vocabulary.size, dimensions), np.float32)
    found = np.zeros(vocabulary.size, bool)
    matrix[1:-1], found[1:-1] = vectors, known
    return Embeddings(matrix, found)


def write_embeddings(path: Path, embeddings: Embeddings) -> None:
    """embeddings.h5, the same bytes for the same arrays."""
    with h5py.File(path, "w", track_order=False) as file:
        file.create_dataset("matrix", data=embeddings.matrix, track_times=False)
        file.create_dataset("found", data=embeddings.found, track_times=False)


def read_embeddings(path: Path) -> Embeddings:
    """The inverse; DataError for a file of another form."""
    try:
        with h5py.File(path, "r") as file:
            return Embeddings(file["matrix"][...], file["found"][...])
    except (OSError, KeyError) as error:
        raise DataError(f"{path}: not word vectors ({error})") from error
