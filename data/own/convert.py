"""Pictures, questions and answers of your own, turned into the official files that all later code reads.

A table is a .csv or JSON file with a question a row, or a pair of .json files in the official format. Nothing is
left out silently: rows that can't be used are refused together, with their numbers and their count.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.base.errors import DataError, listed
from data.base.words import counted
from data.catalog.entries import Own
from data.own.official_questions import Pairs, read_official
from data.own.picture_names import PictureNames, described, name_of, plain_name
from data.own.spellings import doubtful_spellings
from data.own.tables import Row, read_rows
from data.own.unusable import UnusableRows, refuse_together
from data.pictures.image_sets import Images
from data.text.official import Annotation, Question
from data.text.official_json import read_annotations, read_questions
from data.text.pairing import in_order


@dataclass(frozen=True)
class Converted:
    """What was written: `counts` of each split. `doubts`: warnings about what is used as it is and may be a mistake."""

    counts: dict[str, dict[str, int]]
    doubts: list[str]


def convert(own: Own, images: dict[str, Images], folder: Path, listing: Path | None = None) -> Converted:
    """Write <split>-questions.json and <split>-annotations.json for train and val into `folder`.

    `images` by split, or one set under "". Question ids of plain tables are 1.. in the order of their rows, train
    before val. Types and consensus answers that the tables lack are filled in. DataError names the files, the rows
    and their count, and writes all of them into `listing`: an empty text, no such picture, not one to ten answers;
    or says that a column is missing, or that a split would be left with nothing.
    """
    splits: dict[str, Pairs] = {}
    doubts: list[str] = []
    errors: list[DataError] = []
    for split, path in own.questions.items():
        pictures = images.get(split) or images[""]
        try:
            if split in own.annotations:
                splits[split] = read_official(path, own.annotations[split], pictures)
            else:
                before = sum(map(len, splits.values()))
                splits[split] = _plain(path, pictures, before, folder, doubts)
        except DataError as error:
            errors.append(error)
    refuse_together(errors, listing)
    doubts += doubtful_spellings([said for pairs in splits.values() for _, said in pairs])
    if "" in splits:
        splits = _split(splits[""], images[""], own)
    for split, pairs in splits.items():
        _write(folder, split, [question for question, _ in pairs], [annotation for _, annotation in pairs])
    counts = {
        split: {"questions": len(pairs), "pictures": len({question.image_id for question, _ in pairs})}
        for split, pairs in splits.items()
    }
    return Converted(counts, doubts)


def _plain(path: Path, images: Images, before: int, folder: Path, doubts: list[str]) -> Pairs:
    """The rows of a table with their ids. They go through the official files' readers, which fill in the types."""
    rows, unread = read_rows(path)
    if unread:
        doubts.append(f"{path.name}: columns not read: {listed(unread)}")
    ids = _picture_ids(path, rows, images, doubts)
    numbers = range(before + 1, before + len(rows) + 1)
    questions = [
        Question(number, image_id, row.question)
        for number, image_id, row in zip(numbers, ids, rows, strict=True)
    ]
    annotations = [
        Annotation(
            question.question_id, question.image_id, row.question_type, row.answer_type, "", row.answers
        )
        for question, row in zip(questions, rows, strict=True)
    ]
    _write(folder, "plain", questions, annotations)
    paths = folder / "plain-questions.json", folder / "plain-annotations.json"
    questions = read_questions(paths[0])
    pairs = list(zip(questions, in_order(read_annotations(paths[1], None, True), questions), strict=True))
    for written in paths:
        written.unlink()
    return pairs


def _picture_ids(path: Path, rows: Sequence[Row], images: Images, doubts: list[str]) -> list[int]:
    """The id of each row's picture. UnusableRows names all rows that can't be used, for whatever reason."""
    names = PictureNames(images, (row.image for row in rows if row.image))
    results = [names.find(row.image) if row.image else "" for row in rows]
    faults = []
    for row, picture in zip(rows, results, strict=True):
        whys = (*row.faults, *([picture] if isinstance(picture, str) and picture else []))
        if whys:
            faults.append(f"row {row.number}: {', '.join(whys)}")
    if faults:
        missing = any(isinstance(picture, str) and picture for picture in results)
        raise UnusableRows(path, faults, f"{len(rows):,} rows", described(images) if missing else "")
    if names.elsewhere:
        doubts.append(f"{path.name}: {names.told_elsewhere()}")
    return [number for number in results if isinstance(number, int)]


def _split(pairs: Pairs, images: Images, own: Own) -> dict[str, Pairs]:
    """Hold out a share of the pictures, with all their questions.

    The pictures are ordered by a hash of the seed and their name, so that the choice depends on nothing else.
    """
    image_ids = sorted(
        {question.image_id for question, _ in pairs},
        key=lambda image_id: _rank(own.seed, plain_name(name_of(images, image_id))),
    )
    held = set(image_ids[: round(own.val * len(image_ids))])
    if not 0 < len(held) < len(image_ids):
        left = "val" if not held else "train"
        raise DataError(
            f"{own.questions['']}: val = {own.val:g} of {counted(len(image_ids), 'picture')} with questions leaves "
            f"nothing for {left}; it needs more pictures, or another share"
        )
    return {
        "train": [pair for pair in pairs if pair[0].image_id not in held],
        "val": [pair for pair in pairs if pair[0].image_id in held],
    }


def _rank(seed: int, name: str) -> bytes:
    return hashlib.sha256(f"{seed} {name}".encode(errors="surrogatepass")).digest()


def _write(
    folder: Path, split: str, questions: Sequence[Question], annotations: Sequence[Annotation]
) -> None:
    about = {"info": {}, "license": {}, "data_type": "own", "data_subtype": split}
    question_entries = [_question(question) for question in questions]
    annotation_entries = [_annotation(annotation) for annotation in annotations]
    _write_json(
        folder / f"{split}-questions.json",
        {**about, "task_type": "Open-Ended", "questions": question_entries},
    )
    _write_json(folder / f"{split}-annotations.json", {**about, "annotations": annotation_entries})


def _question(question: Question) -> dict[str, Any]:
    entry = {
        "image_id": question.image_id,
        "question": question.question,
        "question_id": question.question_id,
    }
    return entry | ({"multiple_choices": question.multiple_choices} if question.multiple_choices else {})


def _annotation(annotation: Annotation) -> dict[str, Any]:
    return {
        "question_type": annotation.question_type,
        "multiple_choice_answer": annotation.multiple_choice_answer,
        "answers": [
            {"answer": answer, "answer_confidence": "yes", "answer_id": number}
            for number, answer in enumerate(annotation.answers, start=1)
        ],
        "image_id": annotation.image_id,
        "answer_type": annotation.answer_type,
        "question_id": annotation.question_id,
    }


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")
