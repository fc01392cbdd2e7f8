"""Questions as words and as ids: the tokeniser, the vocabulary, and rows of 26 ids with zeros on the left."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import count
from pathlib import Path
from typing import Any

import h5py
import msgspec
import numpy as np
from numpy.typing import NDArray

from data.base.errors import DataError
from data.containers import hdf5
from data.text.official import Annotation, Question
from data.text.pairing import in_order

MAX_LENGTH = 26
"""Words of a question that count. The longest of VQA v1 has 26 tokens; own questions may be longer."""

PAD = 0
"""The id on the left of shorter questions: row 0 of the embedding matrix, which is zeros."""


class _Word(msgspec.Struct):
    word: str
    count: int


class _Answer(msgspec.Struct):
    answer: str
    count: int


class _VocabularyFile(msgspec.Struct):
    words: list[_Word]
    unknown_id: int
    answers: list[_Answer]
    questions: int
    kept_questions: int


@dataclass(frozen=True)
class Vocabulary:
    """Words have the ids 1..W by count, then alphabet; answers the classes 0..A-1 by the same rule.

    `questions`: how many training questions there were; `kept_questions`: those whose consensus answer is
    among the answers, and whose words were counted.
    """

    words: tuple[str, ...]
    word_counts: tuple[int, ...]
    answers: tuple[str, ...]
    answer_counts: tuple[int, ...]
    questions: int
    kept_questions: int

    @cached_property
    def word_ids(self) -> dict[str, int]:
        """{word: id}, without PAD and the unknown word."""
        return {word: number for number, word in enumerate(self.words, PAD + 1)}

    @cached_property
    def answer_ids(self) -> dict[str, int]:
        """{raw answer: class}."""
        return {answer: number for number, answer in enumerate(self.answers)}

    @property
    def unknown_id(self) -> int:
        """The id of every word that training did not have."""
        return PAD + 1 + len(self.words)

    @property
    def size(self) -> int:
        """V, rows of the embedding matrix: padding, the words, the unknown word."""
        return self.unknown_id + 1

    def to_json(self) -> str:
        """The text of vocabulary.json."""
        words = [_Word(*pair) for pair in zip(self.words, self.word_counts, strict=True)]
        answers = [_Answer(*pair) for pair in zip(self.answers, self.answer_counts, strict=True)]
        file = _VocabularyFile(words, self.unknown_id, answers, self.questions, self.kept_questions)
        return msgspec.json.format(msgspec.json.encode(file), indent=1).decode() + "\n"

    @classmethod
    def from_json(cls, text: str) -> Vocabulary:
        """The vocabulary of a vocabulary.json's text. DataError where it is not one or contradicts itself."""
        try:
            file = msgspec.json.decode(text, type=_VocabularyFile)
        except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
            raise DataError(f"Not a vocabulary ({error}); expected what BuildVocabulary writes.") from None
        vocabulary = cls(
            tuple(entry.word for entry in file.words),
            tuple(entry.count for entry in file.words),
            tuple(entry.answer for entry in file.answers),
            tuple(entry.count for entry in file.answers),
            file.questions,
            file.kept_questions,
        )
        twice = len(vocabulary.words) - len(vocabulary.word_ids)
        twice += len(vocabulary.answers) - len(vocabulary.answer_ids)
        if twice or file.unknown_id != vocabulary.unknown_id or not vocabulary.answers:
            raise DataError(
                f"Not a vocabulary: {twice} words or answers are there twice, unknown_id is {file.unknown_id} "
                f"(expected {vocabulary.unknown_id}), and there are {len(vocabulary.answers)} answers."
            )
        return vocabulary


@dataclass(frozen=True)
class EncodedQuestions:
    """tokens (Q, 26) int32, zeros on the left; lengths (Q,) int32; question_ids and image_ids (Q,) int64."""

    tokens: NDArray[np.int32]
    lengths: NDArray[np.int32]
    question_ids: NDArray[np.int64]
    image_ids: NDArray[np.int64]


# ---------------------------------------------------------------------------------------------------- tokens

# Most questions consist of pieces between spaces that no rule of NLTK connects: letters and digits, single
# signs between them, a clitic, one mark at the end. Such a piece has its tokens wherever it stands, so they
# are remembered by piece. What is not so plain (quotes, a full stop at an end, brackets, anything outside
# ASCII) is given to NLTK as a whole question. That both ways agree is tested.
_PIECE = re.compile(r"([a-z0-9]+?(?:[-./][a-z0-9]+?)*)('(?:s|m|d|ll|re|ve)|n't)?([?!,])?")
_TWO_WORDS = re.compile("cannot|gimme|gonna|gotta|lemme|wanna")  # NLTK splits these
PIECES = 100_000  # that are remembered, some 20 MB at most
PIECE_LENGTH = 64  # characters of a piece that is remembered


class _Pieces(dict[str, tuple[str, ...] | None]):
    """The tokens of pieces of questions, by piece; None if they may depend on what stands around it.

    Bounded, for `serve` reads whatever people type: the questions of VQA have some ten thousand pieces.
    """

    def __missing__(self, piece: str) -> tuple[str, ...] | None:
        plain = None if _TWO_WORDS.search(piece) else _PIECE.fullmatch(piece)
        tokens = tuple(filter(None, plain.groups())) if plain else None
        if len(self) >= PIECES:
            self.clear()
        if len(piece) <= PIECE_LENGTH:
            self[piece] = tokens
        return tokens


_pieces = _Pieces()


def tokenize(question: str) -> list[str]:
    """NLTK's Treebank tokens of the lower-cased question. DataError where NLTK takes too long over it."""
    text = question.lower()
    if text.isascii() and text.isprintable():  # so that a space is the only thing that split() splits at
        tokens: list[str] = []
        for piece in text.split():
            piece_tokens = _pieces[piece]
            if piece_tokens is None:
                return _nltk(text)
            tokens += piece_tokens
        return tokens
    return _nltk(text)


def _nltk(text: str) -> list[str]:
    try:
        return list(_tokenizer().tokenize(text))
    except TimeoutError as error:  # NLTK bounds the time of its regular expressions
        raise DataError(
            f"NLTK gave up on a question of {len(text):,} characters: {text[:60]!r}..."
        ) from error


@cache
def _tokenizer() -> Any:
    from nltk.tokenize import NLTKWordTokenizer  # half a second: only where questions are read

    return NLTKWordTokenizer()


# ------------------------------------------------------------------------------------------------ vocabulary


def count_words(questions: Iterable[str]) -> Counter[str]:
    """How often each word stands among the first 26 of a question; a repeated question is split once."""
    counts: Counter[str] = Counter()
    for question, times in Counter(questions).items():
        for word in tokenize(question)[:MAX_LENGTH]:
            counts[word] += times
    return counts


def build_vocabulary(
    questions: Sequence[Question], annotations: Sequence[Annotation], answers: int
) -> Vocabulary:
    """The `answers` commonest consensus answers of training, and the words of the questions that have them.

    Both by count, then alphabet; every word counts, however rare. DataError unless questions and annotations
    are pairs, and where no answers are asked for.
    """
    if answers < 1:
        raise DataError(f"{answers} answer classes were asked for; expected at least one.")
    ordered = in_order(annotations, questions)
    top = _by_count(Counter(annotation.multiple_choice_answer for annotation in ordered))[:answers]
    classes = {answer for answer, _ in top}
    kept = [
        question.question
        for question, annotation in zip(questions, ordered, strict=True)
        if annotation.multiple_choice_answer in classes
    ]
    words = _by_count(count_words(kept))
    return Vocabulary(
        tuple(word for word, _ in words),
        tuple(times for _, times in words),
        tuple(answer for answer, _ in top),
        tuple(times for _, times in top),
        len(questions),
        len(kept),
    )


def _by_count(counts: Counter[str]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def unknown_words(question: str, vocabulary: Vocabulary) -> list[str]:
    """The words of a question that training did not have, as they come, each once."""
    return list(dict.fromkeys(word for word in tokenize(question) if word not in vocabulary.word_ids))


# -------------------------------------------------------------------------------------------------- encoding


def encode(questions: Sequence[Question], vocabulary: Vocabulary) -> EncodedQuestions:
    """Rows of 26 ids, zeros on the left; of a longer question the first 26 words, of an empty one none."""
    numbers: defaultdict[str, int] = defaultdict(count().__next__)  # distinct questions, as they come
    rows = np.fromiter((numbers[question.question] for question in questions), np.int64, len(questions))
    tokens, lengths = encode_texts(list(numbers), vocabulary)
    return EncodedQuestions(
        tokens[rows],
        lengths[rows],
        np.fromiter((question.question_id for question in questions), np.int64, len(questions)),
        np.fromiter((question.image_id for question in questions), np.int64, len(questions)),
    )


def encode_texts(texts: Sequence[str], vocabulary: Vocabulary) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """tokens (T, 26) int32 and lengths (T,) int32 of questions that are bare text."""
    ids = defaultdict(lambda: vocabulary.unknown_id, vocabulary.word_ids)
    flat: list[int] = []
    lengths = np.zeros(len(texts), np.int32)
    for row, text in enumerate(texts):
        words = tokenize(text)[:MAX_LENGTH]
        lengths[row] = len(words)
        flat += map(ids.__getitem__, words)
    tokens = np.full((len(texts), MAX_LENGTH), PAD, np.int32)
    tokens[np.arange(MAX_LENGTH) >= MAX_LENGTH - lengths[:, None]] = flat
    return tokens, lengths


def write_encoded(path: Path, encoded: EncodedQuestions) -> None:
    """questions.h5: tokens, lengths, question_ids, image_ids. Equal content gives equal bytes."""
    with hdf5.create(path) as file:
        for name in EncodedQuestions.__annotations__:
            file.create_dataset(name, data=getattr(encoded, name), track_times=False)


def read_encoded(path: Path) -> EncodedQuestions:
    """The arrays of a questions.h5. DataError where it is not one."""
    try:
        with h5py.File(path, "r") as file:
            encoded = EncodedQuestions(*(file[name][...] for name in EncodedQuestions.__annotations__))
    except (OSError, KeyError, TypeError, AttributeError) as error:
        expected = f"HDF5 with {', '.join(EncodedQuestions.__annotations__)}"
        raise DataError(f"{path}: not encoded questions ({error}). Expected {expected}.") from error
    rows = len(encoded.tokens)
    if encoded.tokens.shape[1:] != (MAX_LENGTH,) or any(
        array.shape != (rows,) for array in (encoded.lengths, encoded.question_ids, encoded.image_ids)
    ):
        raise DataError(f"{path}: tokens are {encoded.tokens.shape}; expected {MAX_LENGTH} ids a question.")
    return encoded
