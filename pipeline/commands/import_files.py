"""`python -m pipeline import`: the original project's three files as a dataset."""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from data.base.errors import DataError
from data.base.files import replaced
from data.base.words import show
from data.catalog import entries, sources
from tasks.stages.imported import imported_catalog

if TYPE_CHECKING:
    pass


IMPORTED = "seed-v1"
"""The dataset that `import` makes."""


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--from", dest="source", type=Path, required=True, help="data_train_val.zip, or a folder"
    )
    parser.add_argument("--annotations", default="vqa-v1", help="dataset whose annotations judge it (vqa-v1)")


def import_files(flags: argparse.Namespace) -> int:
    """`import --from ZIP`: the original's three files as dataset seed-v1."""
    show(*import_(flags.source, flags.annotations))
    return 0


def import_(source: Path, annotations: str) -> list[str]:
    """Check the names and questions in `source` and register it as dataset seed-v1; return lines that say what.

    The files are used where they lie, and features are checked when ImportFeatures reads them. An earlier import is
    replaced. DataError for files that `data.seed_files.read_seed_files` refuses.
    """
    from data.seed_files.read_seed_files import check_images, opened, read_half, read_names
    from data.seed_files.write_seed_files import ARRAYS, NAMES

    if not os.path.lexists(source):
        raise DataError(
            f"{source}: no such file or folder; expected a zip with {', '.join(entries.SEED_FILES)}."
        )
    if sources.dataset(annotations).ready_made:
        raise DataError(f"--annotations {annotations}: expected a dataset of the catalog, such as vqa-v1.")
    check_images(source)
    with tempfile.TemporaryDirectory() as room:
        with opened(source, NAMES, Path(room)) as path:
            names = read_names(path)
        with opened(source, ARRAYS, Path(room)) as path:
            train, test = (read_half(path, half, names) for half in ("train", "test"))
    catalog = imported_catalog()
    catalog.parent.mkdir(parents=True, exist_ok=True)
    with replaced(catalog) as path:
        path.write_text(
            "# Written by `python -m pipeline import`; remove this file to forget the dataset.\n"
            f"[ready_made.{IMPORTED}]\npath = {json.dumps(os.path.realpath(source), ensure_ascii=False)}\n"
            f"annotated_by = {json.dumps(annotations)}\nanswers = {len(names.answers)}\n",
            encoding="utf-8",
        )
    return [
        f"dataset {IMPORTED}: {len(train.tokens):,} questions of train, {len(test.tokens):,} of val, "
        f"{len(names.words):,} words, {len(names.answers):,} answers; judged by the annotations of {annotations}",
        f"next: luigi --module pipeline EvaluateModel --dataset {IMPORTED}",
    ]


# ---------------------------------------------------------------------------------------- the run's artifacts
