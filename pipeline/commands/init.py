"""`python -m pipeline init`: your own pictures and questions as a dataset, ready to run."""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import shutil
import tempfile
from pathlib import Path
from typing import Any

from data.base.errors import DataError, listed, refusal
from data.base.files import check_folder, replaced
from data.base.words import counted, show, visible
from data.catalog import sources
from data.catalog.entries import Source
from data.download.local_copies import local_copy
from tasks.setup.few_questions import ENOUGH, TOO_FEW

DATASET, SETTINGS = "dataset.toml", "luigi.cfg"
"""The two files that are written."""
PHOTOS, TABLE = "photos", "qa.csv"
"""What the example consists of."""


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="a new folder; its name is the dataset's")
    parser.add_argument("--pictures", type=Path, help="folder or zip of pictures, used where it is")
    parser.add_argument(
        "--questions", type=Path, help="table (.csv, .jsonl, ...) with the columns image, question, answer"
    )
    parser.add_argument(
        "--example", action="store_true", help="in their place 60 drawn pictures and 300 questions about them"
    )


def init(flags: argparse.Namespace) -> int:
    """`init FOLDER`: write dataset.toml and luigi.cfg, and say what to type next."""
    named = [path for path in (flags.pictures, flags.questions) if path]
    if len(named) != (0 if flags.example else 2):
        raise DataError(
            "expected --pictures and --questions, or --example alone, which draws some: init FOLDER --pictures photos/ "
            "--questions qa.csv"
        )
    check_free(flags.folder, *named)
    name = dataset_name(flags.folder)
    if flags.example:
        draw_example(flags.folder)
        named = [flags.folder / PHOTOS, flags.folder / TABLE]
    pictures, questions = named
    said = checked(name, pictures, questions)
    write(flags.folder, name, pictures, questions)
    show(*said, *next_lines(flags.folder, name, flags.example))
    return 0


def dataset_name(folder: Path) -> str:
    """The folder's own name. DataError where a dataset can't be called so, or another one is."""
    name = folder.resolve().name
    if not re.fullmatch(r"\w[\w .-]*", name):
        raise DataError(
            f"{folder}: the dataset gets the folder's name, but {name!r} can't be one; expected letters, digits, '-', "
            "'_' and '.', the first a letter or a digit"
        )
    if name in {**sources.catalog().datasets, **sources.catalog().image_sets}:
        raise DataError(
            f"{folder}: the dataset gets the folder's name, but there is one called {name!r} already; name another"
        )
    return name


def check_free(folder: Path, *named: Path) -> None:
    """DataError where files can't be written into a folder, or it holds others than `named`: nothing is overwritten.

    Hidden ones do not count: .git, .DS_Store, what a killed `draw_example` left.
    """
    check_folder(folder, make=True)
    used = {os.path.realpath(path) for path in named}
    there = sorted(path for path in folder.iterdir() if path.name[0] != ".") if folder.exists() else []
    if others := [path.name for path in there if os.path.realpath(path) not in used]:
        raise DataError(
            f"{folder}: is not empty: {listed(others, 3)}; name a new folder, so that nothing is overwritten"
        )


def draw_example(folder: Path) -> None:
    """Coloured shapes and a table of questions about them, or nothing. DataError where they can't be written."""
    from data.sample.example import make_example

    room = folder / ".drawing"
    shutil.rmtree(room, ignore_errors=True)  # of one that was killed
    try:
        room.mkdir(parents=True)
        make_example(room / PHOTOS, room / TABLE)
        for name in (PHOTOS, TABLE):
            (room / name).rename(folder / name)
    except OSError as error:
        raise DataError(refusal(error, folder)) from error
    finally:
        shutil.rmtree(room, ignore_errors=True)


def checked(name: str, pictures: Path, questions: Path) -> list[str]:
    """Convert the table as ConvertOwnData will, and drop the result: lines that say what was found.

    DataError as by `data.own.convert`, and for paths that are not there, or not of a kind that is read.
    """
    from data.catalog.read_catalog import OWN_TABLES, load
    from data.own.convert import convert
    from data.pictures.image_sets import open_images

    local_copy(Source("--pictures", pictures.name, path=pictures), unpacked=True)
    if not questions.name.lower().removesuffix(".gz").endswith(OWN_TABLES):
        raise DataError(
            f"--questions {questions}: expected {', '.join(OWN_TABLES)} (or one of these as .gz); a spreadsheet is "
            "saved as CSV by its own program"
        )
    with tempfile.TemporaryDirectory() as room:
        trial = Path(room) / DATASET
        trial.write_text(stated(name, pictures.absolute(), questions.absolute()), encoding="utf-8")
        catalog = load(trial)
        own = catalog.datasets[name].own
        assert own is not None
        converted = convert(own, {"": open_images(pictures, catalog.image_sets[name])}, Path(room))
    train, val = (told(converted.counts[split]) for split in ("train", "val"))
    lines = [f"{name}: {train} to learn from, {val} to judge by"]
    if converted.counts["train"]["questions"] < ENOUGH:
        lines.append(f"warning: {train} are {TOO_FEW}")
    return lines + [f"warning: {doubt}" for doubt in converted.doubts]


def told(counts: dict[str, int]) -> str:
    return f"{counted(counts['questions'], 'question')} about {counted(counts['pictures'], 'picture')}"


def write(folder: Path, name: str, pictures: Path, questions: Path) -> None:
    """The dataset's file, and the settings that name it."""
    folder.mkdir(parents=True, exist_ok=True)
    with replaced(folder / DATASET) as path:
        path.write_text(stated(name, from_folder(folder, pictures), from_folder(folder, questions)), "utf-8")
    with replaced(folder / SETTINGS) as path:
        path.write_text(
            f"# Settings of what is run in this folder.\n[sources]\ndatasets = {DATASET}\n", encoding="utf-8"
        )


def stated(name: str, pictures: Path, questions: Path) -> str:
    """The dataset's entry, as a catalog file has it."""
    heading = name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else quoted(name)
    return (
        "# Written by `python -m pipeline init`; docs/own-data.md says what else can stand here.\n"
        f"[own.{heading}]\npictures = {quoted(pictures)}\nquestions = {quoted(questions)}\n"
    )


def quoted(text: Any) -> str:
    """A text of TOML. DataError for a path that would be read as another one, or not at all."""
    written = str(text)
    if visible(written) != written:
        raise DataError(f"{written}: control characters stand in its name; rename it")
    if "$" in written or written.startswith("~"):
        raise DataError(
            f"{written}: a $, or a ~ at its beginning, would be read as a variable or a home; rename it"
        )
    return json.dumps(written, ensure_ascii=False)


def from_folder(folder: Path, path: Path) -> Path:
    """A path as it is seen from a folder where it lies in or beside it, so that both can be moved; else the whole."""
    relative = os.path.relpath(os.path.abspath(path), os.path.realpath(folder))
    return path.absolute() if relative.startswith(os.path.join("..", "..")) else Path(relative)


def next_lines(folder: Path, name: str, example: bool) -> list[str]:
    """What was written, and the next command."""
    go = "" if folder.resolve() == Path.cwd() else f"cd {shlex.quote(str(folder))} && "
    run = f"{go}luigi --module pipeline RunAll --dataset {shlex.quote(name)}"
    untrained = "--weights random:0 --glove none"
    drawn = [f"drawn     {folder / PHOTOS}, {folder / TABLE}"] if example else []
    lines = [*drawn, f"written   {folder / DATASET}, {folder / SETTINGS}"]
    if example:
        return [*lines, f"next      {run} {untrained}"]
    return [*lines, f"next      {run}", f"or        with {untrained}: no download, to see it run"]
