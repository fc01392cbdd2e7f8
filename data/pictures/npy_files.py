"""Features as three plain files, for programs that read no HDF5: rows, ids and names."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from data.base.errors import DataError
from data.base.files import check_output, replaced
from data.pictures.feature_file import read_features

BLOCK = 1 << 26  # bytes copied at a time


def npy_paths(rows: Path) -> tuple[Path, Path, Path]:
    """Where rows, ids and names lie: features.npy, features-ids.npy, features-names.json."""
    return rows, rows.with_name(f"{rows.stem}-ids.npy"), rows.with_name(f"{rows.stem}-names.json")


def check_npy(rows: Path) -> None:
    """DataError where one of the three can't be written, or `rows` does not end in .npy."""
    if rows.suffix != ".npy":
        raise DataError(f"--out {rows}: --format npy writes a file that ends in .npy")
    for path in npy_paths(rows):
        check_output(path)


def write_npy(features: Path, rows: Path) -> None:
    """Write a feature file's content as three: rows (N, *shape) float16, ids (N,) int64, names (a JSON list of text).

    A part of the rows is in memory at a time. Each file is whole or as it was before; the rows come last.
    """
    content = read_features(features, in_memory=0)
    array, (_, ids, names) = content.features, npy_paths(rows)
    with replaced(ids) as path, path.open("wb") as file:
        np.save(file, content.image_ids)
    with replaced(names) as path:
        path.write_text(json.dumps(content.image_names, ensure_ascii=False, indent=0), encoding="utf-8")
    step = max(1, BLOCK // max(1, array[:1].nbytes))
    with replaced(rows) as path, path.open("wb") as file:
        header = np.lib.format.header_data_from_array_1_0(array)
        np.lib.format.write_array_header_1_0(file, header)
        for start in range(0, len(array), step):
            file.write(np.ascontiguousarray(array[start : start + step]).data)
