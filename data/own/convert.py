"""Pictures, questions and answers of one's own, turned into the official files that all later code reads.

A table is a .csv or .jsonl file with a question a row, or a pair of .json files in the official format. Nothing is
left out in silence: rows that can't be used are refused together, with their numbers and their count.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.base.errors import DataError
from data.catalog.entries import Own
from data.own.official_questions import Pairs, read_official
from data.own.picture_names import PictureNames, described, plain_name
from data.own.tables import Row, faults_text, read_rows
from data.pictures.image_sets import Images
from data.text.official import Annotation, Question
from data.text.official_json import read_annotations, read_questions
from data.text.pairing import in_order


@dataclass(frozen=True)
class Converted:
    """What was written: `counts` of each split, and columns of the tables that are not read."""

    counts: dict[str, dict[str, int]]
    ignored: list[str]


def convert(own: Own, images: dict[str, Images], folder: Path) -> Converted:
    """Write <split>-questions.json and <split>-annotations.json for train and val into `folder`.

    `images` by split, or one set under "". Question ids of plain tables are 1.. in the order of their rows, train
    before val. Types and consensus answers that the tables lack are filled in. DataError names the file, the rows
    and their count: a column that is missing, an empty text, no such picture, not one to ten answers; or says that
    a split would be left with nothing.
    """
    splits: dict[str, Pairs] = {}
    ignored: list[str] = []
    for split, path in own.questions.items():
        pictures = images.get(split) or images[""]
        if split in own.annotations:
            splits[split] = read_official(path, own.annotations[split], pictures)
        else:
            before = sum(map(len, splits.values()))
            splits[split], unread = _plain(path, pictures, before, folder)
            ignored += [f"{path.name}: {name}" for name in unread]
    if "" in splits:
        splits = _split(splits[""], images[""], own)
    for split, pairs in splits.items():
        _write(folder, split, [one for one, _ in pairs], [one for _, one in pairs])
    counts = {
        split: {"questions": len(pairs), "pictures": len({one.image_id for one, _ in pairs})}
        for split, pairs in splits.items()
    }
    return Converted(counts, ignored)


def _plain(path: Path, images: Images, before: int, folder: Path) -> tuple[Pairs, list[str]]:
    """The rows of a table with their ids. They go through the official files' readers, which fill in the types."""
    rows, ignored = read_rows(path)
    ids = _picture_ids(path, rows, images)
    numbers = range(before + 1, before + len(rows) + 1)
    questions = [
        Question(number, image_id, row.question)
        for number, image_id, row in zip(numbers, ids, rows, strict=True)
    ]
    annotations = [
        Annotation(one.question_id, one.image_id, row.question_type, row.answer_type, "", row.answers)
        for one, row in zip(questions, rows, strict=True)
    ]
    _write(folder, "plain", questions, annotations)
    paths = folder / "plain-questions.json", folder / "plain-annotations.json"
    questions = read_questions(paths[0])
    pairs = list(zip(questions, in_order(read_annotations(paths[1], None, True), questions), strict=True))
    for written in paths:
        written.unlink()
    return pairs, ignored


def _picture_ids(path: Path, rows: Sequence[Row], images: Images) -> list[int]:
    """The id of each row's picture: named by its path inside the folder or zip, or by the end of that path."""
    names = PictureNames(images)
    found = [names.find(row.image) for row in rows]
    faults = [(row.number, why) for row, why in zip(rows, found, strict=True) if isinstance(why, str)]
    if faults:
        raise DataError(f"{faults_text(path, faults, len(rows))}. {described(images)}")
    return [number for number in found if isinstance(number, int)]


def _split(pairs: Pairs, images: Images, own: Own) -> dict[str, Pairs]:
    """Hold out a share of the pictures, with all their questions.

    The pictures are ordered by a hash of the seed and their name, so that the choice depends on nothing else.
    """
    name_of = dict(zip(images.ids.tolist(), map(plain_name, images.names), strict=True))
    asked = sorted(
        {question.image_id for question, _ in pairs}, key=lambda one: _rank(own.seed, name_of[one])
    )
    held = set(asked[: round(own.val * len(asked))])
    if not 0 < len(held) < len(asked):
        left = "val" if not held else "train"
        raise DataError(
            f"{own.questions['']}: val = {own.val:g} of {len(asked):,} pictures with questions leaves nothing for "
            f"{left}; it needs more pictures, or another share"
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
    asked = [_question(one) for one in questions]
    said = [_annotation(one) for one in annotations]
    _write_json(folder / f"{split}-questions.json", {**about, "task_type": "Open-Ended", "questions": asked})
    _write_json(folder / f"{split}-annotations.json", {**about, "annotations": said})


def _question(one: Question) -> dict[str, Any]:
    entry = {"image_id": one.image_id, "question": one.question, "question_id": one.question_id}
    return entry | ({"multiple_choices": one.multiple_choices} if one.multiple_choices else {})


def _annotation(one: Annotation) -> dict[str, Any]:
    return {
        "question_type": one.question_type,
        "multiple_choice_answer": one.multiple_choice_answer,
        "answers": [
            {"answer": answer, "answer_confidence": "yes", "answer_id": number}
            for number, answer in enumerate(one.answers, start=1)
        ],
        "image_id": one.image_id,
        "answer_type": one.answer_type,
        "question_id": one.question_id,
    }


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")
