"""`python -m pipeline export`: a finished run as the original project's three files."""

from __future__ import annotations

import argparse
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import luigi

from data.base.errors import DataError
from data.base.files import check_folder, replaced
from data.base.words import show
from data.catalog import entries, sources
from pipeline.commands.root_task import task_from
from tasks.contract import artifacts
from tasks.contract.stage import Stage
from tasks.setup.flags import ExperimentFlags
from tasks.stages.download_texts import DownloadQuestions
from tasks.stages.extract import ExtractFeatures
from tasks.stages.part import ChoosePictures
from tasks.stages.text import BuildVocabulary, EncodeAnswers, EncodeQuestions

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from data.seed_files.half_pictures import HalfPictures
    from data.seed_files.write_seed_files import Half
    from data.text.questions import EncodedQuestions, Vocabulary


_NO_FEATURES = "whose picture has no features"


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--to", metavar="DIR", type=Path, required=True, help="folder that the three files are written into"
    )


def export_files(flags: argparse.Namespace) -> int:
    """`export [TASK flags] --to DIR`: the artifacts of a finished run as the original's three files."""
    show(*export(task_from(flags.words, flags.parser), flags.to))
    return 0


def export(root: luigi.Task, to: Path) -> list[str]:
    """Write data_img.h5, data_prepro.h5 and data_prepro.json into the folder `to`; return lines that say what.

    DataError where an artifact of the run is not there or damaged, or `to` holds one of the files already.
    """
    from data.pictures.feature_file import read_features
    from data.seed_files.half_pictures import HalfPictures
    from data.seed_files.write_seed_files import (
        ARRAYS,
        IMAGES,
        NAMES,
        Names,
        write_arrays,
        write_images,
        write_names,
    )
    from data.text.questions import Vocabulary, read_encoded

    _check_absent(to, (IMAGES, ARRAYS, NAMES))
    run = _finished(root)
    vocabulary = Vocabulary.from_json((run.vocabulary.path / "vocabulary.json").read_text(encoding="utf-8"))
    stores = {
        name: read_features(stage.path / "features.h5", in_memory=0) for name, stage in run.features.items()
    }
    train, test = HalfPictures(stores, run.train_sets), HalfPictures(stores, run.test_sets)
    encoded = {part: read_encoded(stage.path / "questions.h5") for part, stage in run.questions.items()}
    left: dict[str, Counter[str]] = {"train": Counter(), "test": Counter()}
    halves = (
        _joined([_train_half(run, part, encoded[part], train, left["train"]) for part in run.train]),
        _test_half(run, encoded[run.test], test, vocabulary, left["test"]),
    )
    with _new_files(to, (IMAGES, ARRAYS, NAMES)) as paths:
        write_arrays(paths[ARRAYS], *halves)
        images = {"train": tuple(train.names), "test": tuple(test.names)}
        write_names(paths[NAMES], Names(vocabulary.words, vocabulary.answers, images))
        write_images(
            paths[IMAGES], {name: half.content() for name, half in (("train", train), ("test", test))}
        )
    return [
        f"{to / IMAGES}: {len(train.names):,} pictures of train, {len(test.names):,} of test",
        f"{to / ARRAYS}: {_counted(halves[0], 'training questions', left['train'])}, "
        f"{_counted(halves[1], 'of test', left['test'])}",
        f"{to / NAMES}: {len(vocabulary.words):,} words and the unknown one, {len(vocabulary.answers):,} answers",
    ]


@dataclass(frozen=True)
class _Run:
    """The stages that an export reads, all complete: `train` and `test` are base splits."""

    dataset: entries.Dataset
    train: tuple[str, ...]
    test: str
    vocabulary: Stage
    questions: dict[str, Stage]
    answers: dict[str, Stage]
    features: dict[str, Stage]  # by image set
    question_file: DownloadQuestions

    @property
    def train_sets(self) -> list[str]:
        """Image sets of training, each once: own data may have one for both of its splits."""
        return list(dict.fromkeys(self.dataset.split(part).image_set for part in self.train))

    @property
    def test_sets(self) -> list[str]:
        return [self.dataset.split(self.test).image_set]


def _finished(task: luigi.Task) -> _Run:
    if not isinstance(task, ExperimentFlags):
        raise DataError(
            f"{task.task_family} does not say which split is judged; name RunAll, EvaluateModel or PredictAnswers."
        )
    root: Any = task  # its flags are descriptors to a type checker
    dataset = sources.dataset(root.dataset)
    if dataset.ready_made:
        raise DataError(
            f"{dataset.name} was imported: {dataset.ready_made.path} is what an export would write."
        )
    train, test = dataset.parts(root.train_split), root.eval_split
    if any(ChoosePictures.limit_of(root, split) for split in (*train, test)):
        raise DataError(
            f"--limit-pictures {root.limit_pictures}: an export has all pictures of a split; run and export with "
            "--limit-pictures 0"
        )
    sets = {dataset.split(part).image_set for part in (*train, test)}
    run = _Run(
        dataset,
        train,
        test,
        root.clone(BuildVocabulary),
        {part: root.clone(EncodeQuestions, split=part) for part in (*train, test)},
        {part: root.clone(EncodeAnswers, split=part) for part in train},
        {name: root.clone(ExtractFeatures, image_set=name) for name in sorted(sets)},
        root.clone(DownloadQuestions, split=test),
    )
    stages = (
        run.vocabulary,
        *run.questions.values(),
        *run.answers.values(),
        *run.features.values(),
        run.question_file,
    )
    for stage in stages:
        _check(stage)
    return run


def _check(stage: Stage) -> None:
    """As a stage checks its inputs: complete, and every byte as the manifest says."""
    state = stage.state()
    if state.status != "complete" or state.manifest is None:
        raise DataError(
            f"{stage.stage_name()} {stage.slug}: {state.why or state.status}. An export reads a finished run: give "
            "`luigi --module pipeline RunAll` the same flags first."
        )
    with stage.hashing() as progress:
        wrong = artifacts.verify(stage.path, state.manifest, progress)
    if wrong:
        raise DataError(
            f"{stage.path} is damaged: {'; '.join(wrong)}. Run the same flags again to repair it."
        )


def _counted(half: Half, what: str, left: Counter[str]) -> str:
    """How many questions of how many, and why the others are left out."""
    kept, why = len(half.tokens), "; ".join(f"{count:,} {reason}" for reason, count in left.items() if count)
    return f"{kept:,} of {kept + left.total():,} {what}" + (f" (left out: {why})" if why else "")


def _train_half(
    run: _Run, part: str, encoded: EncodedQuestions, pictures: HalfPictures, left: Counter[str]
) -> Half:
    """The questions of one training split whose consensus answer is a class and whose picture has features."""
    from data.text.answers import read_answers

    consensus = read_answers(run.answers[part].path / "answers.h5").consensus
    rows = pictures.rows(run.dataset.split(part).image_set, encoded.image_ids)
    left["whose consensus answer is not a class"] += int((consensus < 0).sum())
    left[_NO_FEATURES] += int(((consensus >= 0) & (rows < 0)).sum())
    return _half(encoded, rows, (consensus >= 0) & (rows >= 0), consensus, None)


def _test_half(
    run: _Run, encoded: EncodedQuestions, pictures: HalfPictures, vocabulary: Vocabulary, left: Counter[str]
) -> Half:
    rows = pictures.rows(run.test_sets[0], encoded.image_ids)
    left[_NO_FEATURES] += int((rows < 0).sum())
    return _half(encoded, rows, rows >= 0, None, _choices(run, encoded, vocabulary))


def _half(
    encoded: EncodedQuestions,
    rows: NDArray[np.int64],
    kept: NDArray[np.bool_],
    answers: NDArray[np.int32] | None,
    choices: NDArray[np.int32] | None,
) -> Half:
    from data.seed_files.write_seed_files import Half

    return Half(
        encoded.tokens[kept],
        encoded.lengths[kept],
        encoded.question_ids[kept],
        rows[kept],
        None if answers is None else answers[kept],
        None if choices is None else choices[kept],
    )


def _joined(halves: list[Half]) -> Half:
    """Several training splits as one."""
    import numpy as np

    from data.seed_files.write_seed_files import Half

    arrays = {
        name: np.concatenate([getattr(half, name) for half in halves])
        for name in ("tokens", "lengths", "question_ids", "rows", "answers")
    }
    return Half(**arrays)


def _choices(run: _Run, encoded: EncodedQuestions, vocabulary: Vocabulary) -> NDArray[np.int32]:
    """(Q, 18) int32 classes of the answers to choose from; all OUTSIDE for a dataset without such a task."""
    import numpy as np

    from data.seed_files.write_seed_files import CHOICES
    from data.text.answers import OUTSIDE
    from data.text.official_json import read_questions
    from tasks.stages.predict import classes_of

    classes = np.full((len(encoded.question_ids), CHOICES), OUTSIDE, np.int32)
    if "multiple-choice" not in run.dataset.tasks():
        return classes
    questions = read_questions(run.question_file.target, run.dataset.member(run.test, "multiple-choice"))
    by_id = {question.question_id: list(question.multiple_choices or ()) for question in questions}
    texts = [by_id.get(number, []) for number in encoded.question_ids.tolist()]
    if (most := max(map(len, texts))) > CHOICES:
        raise DataError(f"a question has {most} answers to choose from; the format has room for {CHOICES}.")
    if most:
        classes[:, :most] = classes_of(texts, vocabulary.answer_ids)
    return classes


def _check_absent(folder: Path, names: tuple[str, ...]) -> None:
    """DataError unless files of these names can be written into a folder, which need not exist, and none is there."""
    if there := [name for name in names if os.path.lexists(folder / name)]:
        raise DataError(f"{folder} already holds {', '.join(there)}; remove them or name another folder.")
    check_folder(folder, make=True)


@contextmanager
def _new_files(folder: Path, names: tuple[str, ...]) -> Iterator[dict[str, Path]]:
    """Paths to write to, which get their names when all are written; a folder that was made for nothing is removed."""
    made = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with ExitStack() as stack:
            yield {name: stack.enter_context(replaced(folder / name)) for name in names}
    except BaseException:
        if made:
            with suppress(OSError):
                folder.rmdir()
        raise
