"""Made-up files in the official formats and at the official sizes, to measure the text stages on.

    python -m bench.generate --out DIR --dataset vqa-v2            # 443,757 + 214,354 questions, ten answers each
    python -m bench.generate --out DIR --dataset vqa-v1            # 248,349 + 121,512, with multiple choices
    python -m bench.generate --out DIR --glove glove.6B.300d       # 400,000 words

File and member names and counts are the catalog's. Lengths, how often the humans agree, and how often
apostrophes, commas, hyphens and quotation marks occur are those of 8,977 real VQA v2 questions. How often a whole
dataset repeats its questions can't be seen in so few: see `DISTINCT`.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import zipfile
from collections.abc import Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

from bench.real_questions import LENGTHS
from data.catalog import sources

WORDS = 14_000  # words of questions; v1 has 12,600 in training
ANSWERS = 22_000  # consensus answers
DISTINCT = {"vqa-v1": 0.6, "vqa-v2": 0.45}  # share of distinct questions, chosen: v2 asks most of its twice
HEADS = [
    "how many", "is the", "what", "what is the", "what color is the", "which", "is this a", "is this",
    "how many people are", "are the", "what is", "is there a", "what kind of", "is it", "how", "what time",
    "is there", "what are the", "where is the", "does the", "what type of", "why", "do",
]  # fmt: skip
AGREEMENT = {  # how many humans gave the same answer: 1,000 real questions
    (10,): 351, (9, 1): 149, (8, 2): 52, (8, 1, 1): 45, (7, 3): 34, (6, 4): 27, (7, 2, 1): 25, (7, 1, 1, 1): 21,
    (6, 3, 1): 16, (6, 2, 1, 1): 30, (5, 2, 1, 1, 1): 50, (4, 2, 1, 1, 1, 1): 50, (3, 2, 1, 1, 1, 1, 1): 45,
    (2, 2, 1, 1, 1, 1, 1, 1): 50, (2,) + (1,) * 8: 44, (1,) * 10: 11,
}  # fmt: skip
CONFIDENCE = ("yes",) * 8 + ("maybe", "no")


class Zipf:
    """Draws items, the n-th with a probability like 1 / n^exponent."""

    def __init__(self, items: Sequence[str], exponent: float) -> None:
        self.items = items
        self.weights = list(accumulate(rank**-exponent for rank in range(1, len(items) + 1)))

    def draw(self, rng: random.Random, times: int) -> list[str]:
        return rng.choices(self.items, cum_weights=self.weights, k=times)


def words(rng: random.Random, number: int) -> list[str]:
    """Distinct words of one to four syllables, shorter ones first as in language."""
    syllables = [
        first + vowel for first in "bcdfghjklmnprstvwyz" for vowel in ("a", "e", "i", "o", "u", "an", "er")
    ]
    made: dict[str, None] = {}
    while len(made) < number:
        parts = 1 + len(made) * 3 // number + rng.randrange(2)
        made["".join(rng.choices(syllables, k=parts)) + rng.choice(["", "", "s", "t"])] = None
    return list(made)


def questions(rng: random.Random, lexicon: Sequence[str], number: int) -> list[str]:
    """Distinct questions."""
    zipf = Zipf(lexicon, 1.0)
    lengths = rng.choices(list(LENGTHS), weights=list(LENGTHS.values()), k=number * 2)
    distinct: dict[str, None] = {}
    while len(distinct) < number:
        for length in lengths:
            head = rng.choice(HEADS).split()
            tail = zipf.draw(rng, max(1, length - len(head) - 1))
            _decorate(rng, tail)
            distinct[(" ".join(head + tail) + "?").capitalize()] = None
    return list(distinct)[:number]


def _decorate(rng: random.Random, tail: list[str]) -> None:
    """Add the signs of real questions, as often as they occur there."""
    place, chance = rng.randrange(len(tail)), rng.random()
    for share, form in (
        (0.033, "{}'s"),
        (0.036, "{},"),
        (0.039, "{}-up"),
        (0.040, '"{}"'),
        (0.041, "3.5 {}/x"),
    ):
        if chance < share:
            tail[place] = form.format(tail[place])
            return


class Answers:
    """Ten human answers a question: the first is the consensus answer."""

    def __init__(self, rng: random.Random, lexicon: Sequence[str]) -> None:
        self.rng = rng
        rare = (
            " ".join(rng.sample(lexicon[:5000], rng.choice([1, 1, 1, 2, 2, 3]))) for _ in range(2 * ANSWERS)
        )
        names = list(dict.fromkeys([*map(str, range(30)), *rare]))[:ANSWERS]
        self.zipf, self.lexicon = Zipf(names, 1.05), Zipf(lexicon, 0.8)
        self.patterns, self.weights = list(AGREEMENT), list(accumulate(AGREEMENT.values()))

    def ten(self) -> list[str]:
        """Ten answers, the consensus first; a pattern may come out with more agreement than it asked for."""
        pattern = self.rng.choices(self.patterns, cum_weights=self.weights)[0]
        given = [self.rng.choice(["yes", "no"])] if self.rng.random() < 0.46 else self.zipf.draw(self.rng, 1)
        given += self.zipf.draw(self.rng, len(pattern) - 1)
        for place in range(1, len(pattern)):
            if self.rng.random() < 0.25:
                separator = self.rng.choice([" ", " ", " ", ", "])
                given[place] = separator.join(self.lexicon.draw(self.rng, self.rng.choice([1, 2, 2, 3, 4])))
        return [answer for answer, times in zip(given, pattern, strict=True) for _ in range(times)]


def write_split(
    folder: Path, dataset: str, split: str, number: int, seed: int = 0, *, pictures: int | None = None
) -> list[int]:
    """The questions zip and the annotations zip of one base split, `number` questions. Returns the pictures' ids.

    pictures: how many are asked about, each about as often; where it isn't said, as many as the image set has.
    """
    rng = random.Random(f"{dataset} {split} {seed}")
    lexicon = words(random.Random(seed), WORDS)
    distinct = questions(rng, lexicon, max(1, int(number * DISTINCT[dataset])))
    texts = distinct + Zipf(distinct, 0.7).draw(rng, number - len(distinct))
    rng.shuffle(texts)
    source = sources.dataset(dataset)
    pictures = min(pictures or sources.image_set(source.split(split).image_set).images or number, number)
    image_ids = sorted(rng.sample(range(1, 581_930), pictures))
    ids = _spread(image_ids, number)
    rng.shuffle(ids)
    answers = Answers(rng, lexicon)
    every = [answers.ten() for _ in range(number)]
    scale = 1_000 if dataset == "vqa-v2" else 10
    keyed = [(image, image * scale + place) for image, place in ids]
    _write_questions(folder, dataset, split, keyed, texts, answers)
    _write_annotations(folder, dataset, split, keyed, texts, every, rng)
    return image_ids


def _spread(image_ids: Sequence[int], number: int) -> list[tuple[int, int]]:
    """So many questions: the picture of each, and which of the questions about it this one is."""
    count = len(image_ids)
    rows = [place * count // number for place in range(number)]
    return [(image_ids[row], place + -row * number // count) for place, row in enumerate(rows)]


def _write_questions(
    folder: Path,
    dataset: str,
    split: str,
    ids: Sequence[tuple[int, int]],
    texts: Sequence[str],
    answers: Answers,
) -> None:
    where = sources.dataset(dataset).split(split)
    with zipfile.ZipFile(folder / where.questions.file, "w", zipfile.ZIP_DEFLATED) as archive:
        for task, member in where.members[split].items():
            entries: Iterator[dict[str, Any]] = (
                {"image_id": image, "question": text, "question_id": number}
                | (
                    {"multiple_choices": answers.zipf.draw(answers.rng, 18)}
                    if task == "multiple-choice"
                    else {}
                )
                for (image, number), text in zip(ids, texts, strict=True)
            )
            _write_member(
                archive, member, "questions", {"task_type": task.title(), "data_type": "mscoco"}, entries
            )


def _write_annotations(
    folder: Path,
    dataset: str,
    split: str,
    ids: Sequence[tuple[int, int]],
    texts: Sequence[str],
    every: Sequence[list[str]],
    rng: random.Random,
) -> None:
    where = sources.dataset(dataset).split(split)
    assert where.annotations and where.annotations_member
    entries = (
        _annotation(image, number, text, ten, rng)
        for (image, number), text, ten in zip(ids, texts, every, strict=True)
    )
    with zipfile.ZipFile(folder / where.annotations.file, "w", zipfile.ZIP_DEFLATED) as archive:
        _write_member(archive, where.annotations_member, "annotations", {"data_type": "mscoco"}, entries)


def _annotation(image: int, number: int, text: str, ten: list[str], rng: random.Random) -> dict[str, Any]:
    consensus = ten[0]
    rng.shuffle(ten)
    kind = "yes/no" if consensus in ("yes", "no") else "number" if consensus.isdigit() else "other"
    head = next((head for head in HEADS if text.lower().startswith(head)), "none of the above")
    return {
        "question_type": head,
        "multiple_choice_answer": consensus,
        "answers": [
            {"answer": answer, "answer_confidence": rng.choice(CONFIDENCE), "answer_id": human}
            for human, answer in enumerate(ten, 1)
        ],
        "image_id": image,
        "answer_type": kind,
        "question_id": number,
    }


def _write_member(
    archive: zipfile.ZipFile,
    member: str,
    field: str,
    facts: dict[str, str],
    entries: Iterator[dict[str, Any]],
) -> None:
    info = {"info": {"description": "made up by bench/generate.py"}, "license": {"name": "none"}} | facts
    with archive.open(member, "w", force_zip64=True) as raw, io.BufferedWriter(raw, 1 << 20) as file:
        file.write(json.dumps(info)[:-1].encode() + f', "{field}": ['.encode())
        for place, entry in enumerate(entries):
            file.write((", " if place else "").encode() + json.dumps(entry).encode())
        file.write(b"]}")


def write_glove(folder: Path, name: str, number: int, seed: int = 0) -> None:
    """The vectors' zip with one member: `number` words, the words of the questions spread among the first.

    Rows are two halves out of a pool: deflate looks back 32 kB, a dozen rows, so that it packs them no better
    than new ones. One word of the questions in thirty has no vector.
    """
    glove, rng = sources.glove(name), random.Random(seed)
    lexicon = words(random.Random(seed), WORDS)
    known = [*"?,", "'s", *" ".join(HEADS).split(), *(word for word in lexicon if rng.random() < 29 / 30)]
    listed = list(dict.fromkeys([*known, *(f"{word}{place}" for place in range(99) for word in lexicon)]))[
        :number
    ]
    half = glove.dimensions // 2
    pools = [[" ".join(f"{rng.gauss(0, 0.4):.5g}" for _ in range(size)) for _ in range(1_000)]
             for size in (half, glove.dimensions - half)]  # fmt: skip
    with (
        zipfile.ZipFile(folder / glove.source.file, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open(glove.member, "w", force_zip64=True) as raw,
        io.BufferedWriter(raw, 1 << 20) as file,
    ):
        for word in listed:
            file.write(f"{word} {rng.choice(pools[0])} {rng.choice(pools[1])}\n".encode())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for the zips")
    parser.add_argument("--dataset", choices=sorted(DISTINCT), action="append", default=[])
    parser.add_argument(
        "--glove", action="append", default=[], help="a name of the catalog, such as glove.6B.300d"
    )
    parser.add_argument(
        "--scale", type=float, default=1.0, help="0.01 makes a hundredth of the official counts"
    )
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for dataset in options.dataset:
        for split in ("train", "val"):
            where = sources.dataset(dataset).split(split)
            pictures = sources.image_set(where.image_set).images or 0
            number, pictures = (int(count * options.scale) for count in (where.question_count or 0, pictures))
            write_split(options.out, dataset, split, number, options.seed, pictures=pictures)
            print(f"{options.out}: {dataset} {split}, {number:,} questions", flush=True)
    for name in options.glove:
        number = int((sources.glove(name).words or 0) * options.scale)
        write_glove(options.out, name, number, options.seed)
        print(f"{options.out}: {name}, {number:,} words", flush=True)


if __name__ == "__main__":
    from bench.one_line import in_one_line

    in_one_line(main)
