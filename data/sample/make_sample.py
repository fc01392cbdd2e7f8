"""The embedded sample: a small VQA dataset that the project draws itself, in the very formats of the real ones."""

from __future__ import annotations

import json
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from data.base.progress import Progress, silent
from data.sample.scene_questions import SceneQuestion, answers_of_ten, ask, choices
from data.sample.scenes import draw, make_scene

QUESTIONS = 12
"""About each picture. VQA asks 3 to 5; with this many, 400 pictures give thousands of questions to learn from."""

DIMENSIONS = 300
_LARGEST_ID = 581929  # of COCO 2014: ids are as sparse here as there
_UNKNOWN = ("colour", "here", "thing")  # words that the vectors lack: real questions have such words too
_UNUSED = ("dog", "bus", "man", "woman", "pizza", "umbrella", "zebra", "seven", "pink", "brown")
_INFO = {"description": "Coloured shapes, drawn by this project", "version": "1.0"}
_LICENCE = {"name": "MIT"}


@dataclass(frozen=True)
class _Entry:
    """One question as it goes into the files."""

    question_id: int
    image_id: int
    question: SceneQuestion
    answers: list[str]
    choices: list[str]


def make_sample(
    folder: Path, pictures_train: int, pictures_val: int, seed: int, progress: Progress = silent
) -> dict[str, Any]:
    """Write the sample's zips into `folder`; the same bytes for the same numbers on one machine.

    sample-<split>.zip (JPEG pictures under COCO names), Questions_<Split>_sample.zip (open-ended and multiple-choice
    questions), Annotations_<Split>_sample.zip (ten answers each) and glove.sample.zip (seeded 300-d vectors).
    Returns facts: pictures, questions, distinct questions and answers of each split.
    """
    total = pictures_train + pictures_val
    ids = Random(f"{seed} ids").sample(range(1, _LARGEST_ID), total)
    splits = {"train": sorted(ids[:pictures_train]), "val": sorted(ids[pictures_train:])}
    facts: dict[str, Any] = {}
    questions: list[str] = []
    done = 0
    for split, image_ids in splits.items():
        entries: list[_Entry] = []
        with _Zip(folder / f"sample-{split}.zip") as file:
            for image_id in image_ids:
                picture, of_picture = _picture(image_id, Random(f"{seed} {image_id}"))
                file.add(f"sample-{split}/COCO_sample-{split}_{image_id:012}.jpg", picture, packed=False)
                entries += of_picture
                done += 1
                progress(done, total, split)
        _write_questions(folder, split, entries)
        _write_annotations(folder, split, entries)
        questions += [entry.question.question for entry in entries]
        facts[split] = _facts(image_ids, entries)
    facts["words"] = _write_vectors(folder / "glove.sample.zip", questions, seed)
    return facts


def _picture(image_id: int, rng: Random) -> tuple[bytes, list[_Entry]]:
    """One picture as JPEG, and its questions."""
    scene = make_scene(rng)
    picture = draw(scene, rng)
    entries = []
    for number, question in enumerate(ask(scene, QUESTIONS, rng)):
        answers = answers_of_ten(question, rng)
        offered = choices(question, answers, rng)
        entries.append(_Entry(image_id * 1000 + number, image_id, question, answers, offered))
    return picture, entries


def _write_questions(folder: Path, split: str, entries: list[_Entry]) -> None:
    questions = [
        {"image_id": entry.image_id, "question": entry.question.question, "question_id": entry.question_id}
        for entry in entries
    ]
    offered = [
        question | {"multiple_choices": entry.choices}
        for question, entry in zip(questions, entries, strict=True)
    ]
    subset = {"info": _INFO, "license": _LICENCE, "data_type": "sample", "data_subtype": split}
    with _Zip(folder / f"Questions_{split.capitalize()}_sample.zip") as file:
        open_ended = {**subset, "task_type": "Open-Ended", "questions": questions}
        file.add(f"OpenEnded_sample_{split}_questions.json", _json(open_ended))
        multiple_choice = {
            **subset,
            "task_type": "Multiple-Choice",
            "num_choices": len(entries[0].choices) if entries else 0,
            "questions": offered,
        }
        file.add(f"MultipleChoice_sample_{split}_questions.json", _json(multiple_choice))


def _write_annotations(folder: Path, split: str, entries: list[_Entry]) -> None:
    annotations = [
        {
            "question_type": entry.question.question_type,
            "multiple_choice_answer": entry.question.answer,
            "answers": [
                {
                    "answer": answer,
                    "answer_confidence": "yes" if answer == entry.question.answer else "maybe",
                    "answer_id": number,
                }
                for number, answer in enumerate(entry.answers, start=1)
            ],
            "image_id": entry.image_id,
            "answer_type": entry.question.answer_type,
            "question_id": entry.question_id,
        }
        for entry in entries
    ]
    content = {
        "info": _INFO,
        "license": _LICENCE,
        "data_type": "sample",
        "data_subtype": split,
        "annotations": annotations,
    }
    with _Zip(folder / f"Annotations_{split.capitalize()}_sample.zip") as file:
        file.add(f"sample_{split}_annotations.json", _json(content))


def _write_vectors(path: Path, questions: list[str], seed: int) -> int:
    """GloVe's text format: a word and its numbers a line. Most words of the questions, and some that are not used."""
    used = {word for question in set(questions) for word in _words(question)}
    words = sorted((used | set(_UNUSED)) - set(_UNKNOWN))
    with _Zip(path) as file:
        file.add("glove.sample.300d.txt", "".join(_vector_lines(words, seed)).encode())
    return len(words)


def _vector_lines(words: list[str], seed: int) -> Iterator[str]:
    for word in words:
        rng = Random(f"{seed} {word}")  # a word's vector depends on no other word
        # 0.38: the standard deviation of the numbers in glove.6B.300d is about that
        yield " ".join([word, *(f"{rng.gauss(0, 0.38):.5f}" for _ in range(DIMENSIONS))]) + "\n"


def _words(question: str) -> list[str]:
    return question.lower().replace("?", " ?").replace(",", " ,").split()


def _facts(image_ids: list[int], entries: list[_Entry]) -> dict[str, Any]:
    return {
        "pictures": len(image_ids),
        "questions": len(entries),
        "distinct_questions": len({entry.question.question for entry in entries}),
        "answers": len({entry.question.answer for entry in entries}),
        "answer_types": dict(sorted(Counter(entry.question.answer_type for entry in entries).items())),
    }


def _json(content: dict[str, Any]) -> bytes:
    return json.dumps(content, separators=(",", ":")).encode()


class _Zip(zipfile.ZipFile):
    """A zip file for writing whose bytes do not tell when or where it was made."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, "w")

    def add(self, name: str, content: bytes, packed: bool = True) -> None:
        entry = zipfile.ZipInfo(name)  # dated 1980
        entry.create_system = 3  # Unix, on Windows too
        entry.external_attr = 0o644 << 16
        entry.compress_type = zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED
        self.writestr(entry, content)
