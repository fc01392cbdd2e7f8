"""The vocabulary's rows of a GloVe text file, read inside its zip or by itself; only these rows are parsed."""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterator, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO

import h5py
import msgspec
import numpy as np
from numpy.typing import NDArray

from data.base.errors import DataError
from data.base.files import FILE_BYTES, open_plain
from data.base.progress import Progress, silent
from data.containers import hdf5
from data.containers.archives import Archive
from data.text.questions import Vocabulary

_NUMBERS = msgspec.json.Decoder(list[float])
_LONGEST_LINE = 1 << 20  # bytes; GloVe's have 3,000 at 300 dimensions
_TOLD = 1000  # lines from one report of progress to the next


@dataclass(frozen=True)
class Embeddings:
    """matrix (V, D) float32: row i is the vector of word id i; found (V,) bool: which rows have one.

    The others are zeros: padding, the unknown word, and words that GloVe lacks.
    """

    matrix: NDArray[np.float32]
    found: NDArray[np.bool_]


def read_vectors(
    path: Path, member: str, words: Sequence[str], dimensions: int, progress: Progress = silent
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """(len(words), D) float32 and (len(words),) bool: the vectors of `words`, zeros where there is none.

    `path` is a zip with the text `member`, or this text itself.
    A line is a word, then D numbers, separated by single spaces; a word may hold spaces itself, as some of
    glove.840B do. Only the lines of these words are parsed and checked. DataError, with the line's number:
    not D numbers, one that is not finite (in float32), a word twice (the published files hold none, so it is
    a sign of a damaged or concatenated file).
    """
    rows = {word.encode(): row for row, word in enumerate(words)}
    if len(rows) != len(words):
        raise DataError(f"{len(words) - len(rows)} words are asked for twice; expected each once.")
    firsts = {word.partition(b" ")[0] for word in rows}
    matrix, lines = np.zeros((len(words), dimensions), np.float32), np.zeros(len(words), np.int64)
    file = str(path) if path.name == PurePosixPath(member).name else f"{path}: {member}"
    with np.errstate(over="ignore"):
        for number, line in _lines(path, member, file, firsts, progress):
            word, values = _parse(line, dimensions, file, number)
            row = rows.get(word)
            if row is not None and lines[row]:
                raise DataError(f"{file}, line {number:,}: a second vector of {_shown(word)}; expected one.")
            if row is not None:
                matrix[row] = array("d", values)  # as a buffer: a list takes numpy ten times as long
                lines[row] = number
    for row in np.flatnonzero(~np.isfinite(matrix).all(axis=1))[:1]:
        place = f"{file}, line {lines[row]:,}"
        raise DataError(f"{place}: the vector of {words[row]!r} holds a number that is not finite.")
    return matrix, lines > 0


def _lines(
    path: Path, member: str, name: str, firsts: Set[bytes], progress: Progress
) -> Iterator[tuple[int, bytes]]:
    """The lines that begin with one of `firsts` and a space, and the first line, numbered from 1."""
    done = 0
    with _opened(path, member) as (file, size):
        for number, line in enumerate(iter(partial(file.readline, _LONGEST_LINE), b""), start=1):
            length = len(line)
            done += length
            if length == _LONGEST_LINE:
                raise DataError(
                    f"{name}, line {number:,}: {length:,} bytes without an end; expected word vectors."
                )
            if line[: line.find(b" ")] in firsts or number == 1:
                yield number, line
            if not number % _TOLD:
                progress(done, size, "")
    progress(done, size, "")


@contextmanager
def _opened(path: Path, member: str) -> Iterator[tuple[IO[bytes], int]]:
    """The text and how many bytes it has."""
    if path.name == PurePosixPath(member).name:
        with open_plain(path, FILE_BYTES) as file:
            yield file, os.fstat(file.fileno()).st_size
        return
    archive = Archive(path)
    with archive.open(member) as inside:
        yield inside, archive.size(member)


def _parse(line: bytes, dimensions: int, file: str, number: int) -> tuple[bytes, list[float]]:
    """Word and values of a line. If not all behind the first space is numbers, the word holds spaces."""
    line = line.rstrip(b"\r\n ")
    word, _, rest = line.partition(b" ")
    values = _floats(rest)
    if not values:
        word, *last = line.rsplit(b" ", dimensions)
        values = _floats(b" ".join(last))
    if len(values) != dimensions:
        first, *numbers = line.split(b" ")
        has = f"{_shown(first)} has {len(numbers)} values; expected {dimensions} numbers"
        raise DataError(f"{file}, line {number:,}: {has}.")
    return word, values


def _floats(text: bytes) -> list[float]:
    """Numbers between single spaces, or none if something else is among them."""
    try:
        return _NUMBERS.decode(b"[" + text.replace(b" ", b",") + b"]")  # float()'s results in less time
    except msgspec.DecodeError:
        pass
    try:
        return [float(number) for number in text.split(b" ")]  # numbers, but none of JSON's: .5, +1, nan
    except ValueError:
        return []


def _shown(word: bytes) -> str:
    return repr(word[:40].decode(errors="replace"))


def embedding_matrix(
    vocabulary: Vocabulary, path: Path, member: str, dimensions: int, progress: Progress = silent
) -> Embeddings:
    """The vectors of a vocabulary, a row for each word id. DataError as in `read_vectors`."""
    matrix, found = read_vectors(path, member, vocabulary.words, dimensions, progress)
    ends = ((1, 1), (0, 0))  # padding before the words, the unknown word after them
    return Embeddings(np.pad(matrix, ends), np.pad(found, 1))


def write_embeddings(path: Path, embeddings: Embeddings) -> None:
    """embeddings.h5: matrix and found. Equal content gives equal bytes."""
    with hdf5.create(path) as file:
        file.create_dataset("matrix", data=embeddings.matrix, track_times=False)
        file.create_dataset("found", data=embeddings.found, track_times=False)


def read_embeddings(path: Path) -> Embeddings:
    """The arrays of an embeddings.h5. DataError where it is not one."""
    try:
        with h5py.File(path, "r") as file:
            embeddings = Embeddings(file["matrix"][...], file["found"][...])
    except (OSError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path}: no embeddings ({error}). Expected HDF5 with matrix and found.") from error
    if embeddings.matrix.ndim != 2 or embeddings.found.shape != embeddings.matrix.shape[:1]:
        shapes = f"matrix {embeddings.matrix.shape}, found {embeddings.found.shape}"
        raise DataError(f"{path}: {shapes}; expected (V, D) and (V,).")
    return embeddings
