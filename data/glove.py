"""The vocabulary's rows of a GloVe text file, read inside its zip; only these rows are parsed."""

from __future__ import annotations

import math
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
    """matrix (V, D) float32: row i is the vector of word id i, zeros for padding, the unknown word and words
    without a vector; found (V,) bool: which rows have one.
    """

    matrix: NDArray[np.float32]
    found: NDArray[np.bool_]


def read_vectors(
    zip_path: Path, member: str, words: Sequence[str], dimensions: int, progress: Progress = silent
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """(len(words), D) float32 and (len(words),) bool: the vectors of `words` in `member`, zeros where it has none.

    A line is a word, then D numbers, separated by single spaces; words may hold spaces themselves. DataError, with
    the line's number: a wanted word with another number of values, with one that is no finite number, or twice.
    """
    wanted = {word.encode(): row for row, word in enumerate(words)}
    if len(wanted) != len(words):
        raise DataError(f"{len(words) - len(wanted)} words are asked for twice; expected each once.")
    firsts = {word.partition(b" ")[0] for word in wanted}
    matrix = np.zeros((len(words), dimensions), np.float32)
    found = np.zeros(len(words), bool)
    with open_member(zip_path, member) as file:
        for number, line in enumerate(file, 1):
            if line[: line.find(b" ")] not in firsts and number > 1:
                continue
            word, values = _split(line, dimensions, f"{zip_path}: {member}, line {number:,}")
            row = wanted.get(word)
            if row is None:
                continue
            if found[row]:
                raise DataError(
                    f"{zip_path}: {member}, line {number:,}: {words[row]!r} has a vector already."
                )
            matrix[row] = values
            found[row] = True
            progress(int(found.sum()), len(words), "")
    return matrix, found


def _split(line: bytes, dimensions: int, place: str) -> tuple[bytes, list[float]]:
    """Word and values of a line, checked."""
    word, *numbers = line.rstrip(b"\r\n ").rsplit(b" ", dimensions)
    try:
        values = [float(text) for text in numbers]
    except ValueError:
        values = [math.nan]
    if len(values) != dimensions or not all(map(math.isfinite, values)):
        raise DataError(
            f"{place}: no {dimensions} finite numbers behind {word[:40].decode(errors='replace')!r}."
        )
    return word, values


def embedding_matrix(
    vocabulary: Vocabulary, zip_path: Path, member: str, dimensions: int, progress: Progress = silent
) -> Embeddings:
    """The vectors of a vocabulary, a row for each word id. DataError as in `read_vectors`."""
    matrix, found = read_vectors(zip_path, member, vocabulary.words, dimensions, progress)
    ends = ((1, 1), (0, 0))  # padding before the words, the unknown word after them
    return Embeddings(np.pad(matrix, ends), np.pad(found, 1))


def write_embeddings(path: Path, embeddings: Embeddings) -> None:
    """embeddings.h5: matrix and found. Equal content gives equal bytes."""
    with h5py.File(path, "w") as file:
        file.create_dataset("matrix", data=embeddings.matrix, track_times=False)
        file.create_dataset("found", data=embeddings.found, track_times=False)


def read_embeddings(path: Path) -> Embeddings:
    """The arrays of an embeddings.h5. DataError where it is none."""
    try:
        with h5py.File(path, "r") as file:
            embeddings = Embeddings(file["matrix"][...], file["found"][...])
    except (OSError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path}: no embeddings ({error}). Expected HDF5 with matrix and found.") from error
    if embeddings.matrix.ndim != 2 or embeddings.found.shape != embeddings.matrix.shape[:1]:
        shapes = f"matrix {embeddings.matrix.shape}, found {embeddings.found.shape}"
        raise DataError(f"{path}: {shapes}; expected (V, D) and (V,).")
    return embeddings
