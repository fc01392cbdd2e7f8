"""Questions as ids: the tokeniser, the vocabulary, and rows of 26 with zeros on the left."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import h5py
import msgspec
import numpy as np
from numpy.typing import NDArray

from data.annotations import Annotation, Question
from data.errors import DataError

MAX_LENGTH = 26
"""Ids a question: no question of VQA v1 is longer (docs/text.md)."""

PAD = 0
"""The id that fills a row from the left; its word vector is zeros."""

# Where none of these stand, Treebank's rules split at white space alone but for a sentence's last mark. Apostrophes,
# digits' commas, quotes, brackets and words like "cannot" or "gonna" go the long way.
_PLAIN = re.compile(r"[a-z0-9 ]+\??")
_SPLIT_WORDS = re.compile(r"\b(cannot|gimme|gonna|gotta|lemme|wanna|d'ye|more'n|'tis|'twas)\b")


def tokenize(question: str) -> list[str]:
    """NLTK's Treebank tokens of the lower-cased question, as the original's prepro takes them."""
    text = question.lower()
    if _PLAIN.fullmatch(text) and not _SPLIT_WORDS.search(text):
        return text[:-1].split() + ["?"] if text.endswith("?") else text.split()
    return _treebank()(text)


@cache
def _treebank():  # type: ignore[no-untyped-def]
    from nltk.tokenize import NLTKWordTokenizer  # needs no data download, unlike word_tokenize

    return NLTKWordTokenizer().tokenize


@dataclass(frozen=True)
class Vocabulary:
    """Words (id 1 for the first, 0 is padding) and answer classes (from 0), each with its count.

    Both are ordered by count, then alphabet. `unknown_id` follows the last word.
    """

    words: list[str]
    word_counts: list[int]
    answers: list[str]
    answer_counts: list[int]
    questions: int
    kept_questions: int

    @property
    def unknown_id(self) -> int:
        return len(self.words) + 1

    @property
    def size(self) -> int:
        """Rows of the embedding matrix: padding, the words, UNK."""
        return len(self.words) + 2

    @cached_property
    def word_ids(self) -> dict[str, int]:
        return {word: number for number, word in enumerate(self.words, start=1)}

    @cached_property
    def answer_classes(self) -> dict[str, int]:
        return {answer: number for number, answer in enumerate(self.answers)}

    def classes_of(self, choices: Sequence[Sequence[str]]) -> NDArray[np.int32]:
        """Multiple choice: the classes (Q, C) int32 of each question's choices, −1 outside the classes."""
        width = max(map(len, choices), default=0)
        classes = np.full((len(choices), width), -1, np.int32)
        for row, texts in enumerate(choices):
            classes[row, : len(texts)] = [self.answer_classes.get(text, -1) for text in texts]
        return classes

    def to_json(self) -> str:
        """vocabulary.json, a word or an answer a line."""
        words = [{"word": w, "count": c} for w, c in zip(self.words, self.word_counts, strict=True)]
        answers = [{"answer": a, "count": c} for a, c in zip(self.answers, self.answer_counts, strict=True)]
        lines = {
            "words": words,
            "unknown_id": self.unknown_id,
            "answers": answers,
            "questions": self.questions,
            "kept_questions": self.kept_questions,
        }
        return json.dumps(lines, ensure_ascii=False, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Vocabulary:
        """The inverse; DataError for a file of another form."""
        try:
            file = msgspec.json.decode(text, type=_File)
        except (msgspec.DecodeError, UnicodeError) as error:
            raise DataError(f"vocabulary.json is not a vocabulary: {error}; build it again") from None
        return cls(
            [one.word for one in file.words],
            [one.count for one in file.words],
            [one.answer for one in file.answers],
            [one.count for one in file.answers],
            file.questions,
            file.kept_questions,
        )


class _Word(msgspec.Struct):
    word: str
    count: int


class _Class(msgspec.Struct):
    answer: str
    count: int


class _File(msgspec.Struct):
    words: list[_Word]
    answers: list[_Class]
    questions: int
    kept_questions: int


def build_vocabulary(
    questions: Sequence[Question], annotations: Iterable[Annotation], answers: int
) -> Vocabulary:
    """Count the training split: the `answers` commonest consensus answers, and the words of their questions.

    As the original's prepro: a question whose consensus answer is not among the classes does not count; the first
    26 tokens of a longer question do.
    """
    consensus = {one.question_id: one.multiple_choice_answer for one in annotations}
    without = sum(one.question_id not in consensus for one in questions)
    if without or not questions:
        raise DataError(f"{without:,} of {len(questions):,} training questions have no annotation")
    top = _by_count(Counter(consensus[one.question_id] for one in questions))[:answers]
    classes = {answer for answer, _ in top}
    kept = Counter(one.question for one in questions if consensus[one.question_id] in classes)
    words: Counter[str] = Counter()
    for text, times in kept.items():
        for token in tokenize(text)[:MAX_LENGTH]:
            words[token] += times
    ranked = _by_count(words)
    return Vocabulary(
        [word for word, _ in ranked],
        [count for _, count in ranked],
        [answer for answer, _ in top],
        [count for _, count in top],
        len(questions),
        kept.total(),
    )


def _by_count(counts: Counter[str]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))


@dataclass(frozen=True)
class Encoded:
    """tokens (Q, 26) int32, zeros on the left; lengths (Q,) int32; question_ids and image_ids (Q,) int64."""

    tokens: NDArray[np.int32]
    lengths: NDArray[np.int32]
    question_ids: NDArray[np.int64]
    image_ids: NDArray[np.int64]


def encode(questions: Sequence[Question], vocabulary: Vocabulary) -> Encoded:
    """Rows of ids in the order of the questions. Each distinct question is tokenised once."""
    number_of: dict[str, int] = {}
    rows = np.fromiter(
        (number_of.setdefault(one.question, len(number_of)) for one in questions), np.int64, len(questions)
    )
    distinct = np.zeros((len(number_of), MAX_LENGTH), np.int32)
    lengths = np.zeros(len(number_of), np.int32)
    for text, row in number_of.items():
        ids = encode_one(text, vocabulary)
        lengths[row] = len(ids)
        if ids:
            distinct[row, -len(ids) :] = ids
    return Encoded(
        distinct[rows],
        lengths[rows],
        np.fromiter((one.question_id for one in questions), np.int64, len(questions)),
        np.fromiter((one.image_id for one in questions), np.int64, len(questions)),
    )


def encode_one(question: str, vocabulary: Vocabulary) -> list[int]:
    """The ids of one question's first 26 tokens, unpadded."""
    ids, unknown = vocabulary.word_ids, vocabulary.unknown_id
    return [ids.get(token, unknown) for token in tokenize(question)[:MAX_LENGTH]]


def unknown_words(question: str, vocabulary: Vocabulary) -> list[str]:
    """The tokens that the vocabulary lacks, in their order."""
    return [token for token in tokenize(question)[:MAX_LENGTH] if token not in vocabulary.word_ids]


def write_encoded(path: Path, encoded: Encoded) -> None:
    """questions.h5, the same bytes for the same arrays."""
    with h5py.File(path, "w", track_order=False) as file:
        for name, array in vars(encoded).items():
            file.create_dataset(name, data=array, track_times=False)


def read_encoded(path: Path) -> Encoded:
    """The inverse; DataError for a file of another form."""
    try:
        with h5py.File(path, "r") as file:
            return Encoded(*(file[name][...] for name in ("tokens", "lengths", "question_ids", "image_ids")))
    except (OSError, KeyError) as error:
        raise DataError(f"{path}: not encoded questions ({error})") from error
