"""The tokeniser is NLTK's by either way; vocabulary and rows follow the rules, on real questions too."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.base.errors import DataError
from data.text import questions as module
from data.text.official import Annotation, Question
from data.text.official_json import read_annotations, read_questions
from data.text.questions import (
    MAX_LENGTH,
    PAD,
    Vocabulary,
    build_vocabulary,
    count_words,
    encode,
    read_encoded,
    tokenize,
    unknown_words,
    write_encoded,
)

REAL = Path(__file__).parents[3].parent / "shared" / "data" / "vqa_v2_real"
needs_real = pytest.mark.skipif(not REAL.is_dir(), reason="shared/data/vqa_v2_real is not here")


def nltk_tokens(text):
    from nltk.tokenize import NLTKWordTokenizer

    return NLTKWordTokenizer().tokenize(text.lower())


def questions_of(*texts):
    return [Question(number, number, text) for number, text in enumerate(texts, 1)]


def answered(*answers):
    return [
        Annotation(number, number, "what", "other", text, (text,) * 10)
        for number, text in enumerate(answers, 1)
    ]


PIECES = [
    "what", "Is", "man's", "isn't", "can't", "n't", "'s", "cannot", "gonna", "gotta's", "wanna?", "d'ye",
    "more'n", "'tis", "dogs'", "t-shirt", "--", "a--b", "x-ray's", "he'd've", "they're", "i'll", "I'm",
    "3.5", "3,000", "$5", "9:30", "p.m.", "u.s", "...", ".", "?", "??", "!", ",", ",,", "a,b", "red,",
    "red,?", "no.", "his/her", '"hi"', "``", "''", "(a)", "[b]", "{", "#1", "50%", "a&b", "*", "don't,",
    "o'clock", "rock'n'roll", "lemme-go", "x.gimme", "n't?", "it's!", "café", "“q”", "—", "\t", "\n",
    "\u00a0", "\u0130",
]  # fmt: skip


@settings(max_examples=1_000, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=8), st.sampled_from([" ", "  ", "", " \n"]))
def test_pieces_of_all_kinds_have_nltks_tokens(pieces, separator):
    text = separator.join(pieces)
    assert tokenize(text) == nltk_tokens(text)


@settings(max_examples=1_000, deadline=None)
@given(st.text(alphabet="abdegilmnorstvwy'-.,?!:/03 \"", max_size=30))
def test_text_near_the_rules_has_nltks_tokens(text):
    assert tokenize(text) == nltk_tokens(text)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=40))
def test_any_text_has_nltks_tokens(text):
    assert tokenize(text) == nltk_tokens(text)


def test_plain_questions_are_not_given_to_nltk(monkeypatch):
    monkeypatch.setattr(module, "_nltk", None)
    assert tokenize("What's the man's t-shirt made of, isn't it wool?") == [
        *["what", "'s", "the", "man", "'s", "t-shirt", "made", "of", ","],
        *["is", "n't", "it", "wool", "?"],
    ]
    assert tokenize("") == []


def test_a_question_that_nltk_gives_up_on(monkeypatch):
    class Slow:
        def tokenize(self, text):
            raise TimeoutError

    monkeypatch.setattr(module, "_tokenizer", Slow)
    with pytest.raises(DataError, match=r"gave up on a question of 3 characters"):
        tokenize('"a"')


def test_long_monsters_end():
    for text in ("'" * 20_000, "a" * 100_000, '"(' * 10_000, ". " * 10_000, "é" * 100_000):
        try:
            assert tokenize(text)
        except DataError as error:
            assert "gave up" in str(error)


def test_words_by_count_then_alphabet():
    vocabulary = build_vocabulary(questions_of("b b a", "a c c?", "zzz"), answered("y", "x", "x"), 2)
    assert vocabulary.words == ("a", "b", "c", "?", "zzz")
    assert vocabulary.word_counts == (2, 2, 2, 1, 1)
    assert (vocabulary.answers, vocabulary.answer_counts) == (("x", "y"), (2, 1))
    assert vocabulary.word_ids == {"a": 1, "b": 2, "c": 3, "?": 4, "zzz": 5}
    assert (vocabulary.unknown_id, vocabulary.size) == (6, 7)


def test_words_of_questions_without_a_top_answer_do_not_count():
    vocabulary = build_vocabulary(questions_of("red", "red", "blue"), answered("a", "a", "b"), 1)
    assert (vocabulary.words, vocabulary.questions, vocabulary.kept_questions) == (("red",), 3, 2)


def test_equally_common_answers_by_alphabet():
    assert build_vocabulary(questions_of("q", "q", "q"), answered("c", "a", "b"), 2).answers == ("a", "b")


def test_more_answers_asked_for_than_there_are():
    assert build_vocabulary(questions_of("q"), answered("a"), 1_000).answers == ("a",)


def test_pairs_are_joined_by_id():
    questions, annotations = questions_of("one", "two", "three"), answered("a", "b", "a")
    expected = build_vocabulary(questions, annotations, 1)
    assert build_vocabulary(questions, annotations[::-1], 1) == expected
    with pytest.raises(DataError, match="1 of 3 questions have no annotation"):
        build_vocabulary(questions, annotations[:2], 1)


def test_no_answers_asked_for():
    with pytest.raises(DataError, match="at least one"):
        build_vocabulary(questions_of("q"), answered("a"), 0)


def test_only_the_first_words_of_a_long_question_count():
    text = " ".join(f"w{number}" for number in range(40))
    assert count_words([text, text]) == Counter({f"w{number}": 2 for number in range(MAX_LENGTH)})


@settings(deadline=None)
@given(st.lists(st.text(alphabet="ab c?", max_size=70), min_size=1, max_size=6))
def test_rows_hold_the_ids_on_the_right(texts):
    vocabulary = build_vocabulary(questions_of("a b", "c"), answered("x", "x"), 1)
    encoded = encode(questions_of(*texts), vocabulary)
    for text, row, length in zip(texts, encoded.tokens, encoded.lengths, strict=True):
        words = tokenize(text)[:MAX_LENGTH]
        assert length == len(words)
        ids = [vocabulary.word_ids.get(word, vocabulary.unknown_id) for word in words]
        assert row.tolist() == [PAD] * (MAX_LENGTH - length) + ids


def test_encoded_questions_keep_ids_and_types():
    encoded = encode([Question(2**62, 5, ""), Question(1, 2**63 - 1, "a")], vocabulary_of("a"))
    assert encoded.question_ids.tolist() == [2**62, 1]
    assert encoded.image_ids.tolist() == [5, 2**63 - 1]
    kinds = [
        array.dtype for array in (encoded.tokens, encoded.lengths, encoded.question_ids, encoded.image_ids)
    ]
    assert kinds == [np.int32, np.int32, np.int64, np.int64]


def vocabulary_of(*words):
    return Vocabulary(words, (1,) * len(words), ("x",), (1,), 1, 1)


def test_unknown_words():
    assert unknown_words("Is a XYZZY a xyzzy?", vocabulary_of("is", "a")) == ["xyzzy", "?"]


def test_questions_file(tmp_path):
    encoded = encode(questions_of("a b", "", "c"), vocabulary_of("a", "b"))
    for name in ("one.h5", "two.h5"):
        write_encoded(tmp_path / name, encoded)
    assert (tmp_path / "one.h5").read_bytes() == (tmp_path / "two.h5").read_bytes()
    again = read_encoded(tmp_path / "one.h5")
    for name in ("tokens", "lengths", "question_ids", "image_ids"):
        before, after = getattr(encoded, name), getattr(again, name)
        assert before.dtype == after.dtype and np.array_equal(before, after)
    (tmp_path / "bad.h5").write_bytes(b"no HDF5")
    with pytest.raises(DataError, match="not encoded questions"):
        read_encoded(tmp_path / "bad.h5")


def test_vocabulary_file():
    vocabulary = Vocabulary(("a", "é\n", '"'), (3, 2, 1), ("yes, it is", "no"), (2, 1), 4, 3)
    text = vocabulary.to_json()
    assert Vocabulary.from_json(text) == vocabulary and text.endswith("}\n")
    content = json.loads(text)
    assert content["words"][1] == {"word": "é\n", "count": 2} and content["unknown_id"] == 4
    assert content["answers"][0] == {"answer": "yes, it is", "count": 2}
    assert (content["questions"], content["kept_questions"]) == (4, 3)


@pytest.mark.parametrize(
    "change, why",
    [
        ({"unknown_id": 9}, "unknown_id is 9"),
        ({"words": [{"word": "a", "count": 1}] * 2}, "1 words or answers are there twice"),
        ({"answers": []}, "0 answers"),
        ({"words": None}, "Not a vocabulary"),
    ],
)
def test_a_vocabulary_that_contradicts_itself(change, why):
    content = json.loads(vocabulary_of("a", "b").to_json()) | change
    with pytest.raises(DataError, match=why):
        Vocabulary.from_json(json.dumps(content))


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    folder = tmp_path_factory.mktemp("real")
    paths = {}
    for packed in REAL.glob("*.json.gz"):
        paths[packed.stem.split("_")[-1]] = folder / packed.stem
        (folder / packed.stem).write_bytes(gzip.decompress(packed.read_bytes()))
    return read_questions(paths["questions.json"]), read_annotations(paths["annotations.json"])


@needs_real
def test_real_questions_have_nltks_tokens(real):
    for question in real[0]:
        assert tokenize(question.question) == nltk_tokens(question.question)


@needs_real
def test_real_vocabulary(real):
    questions, annotations = real
    vocabulary = build_vocabulary(questions, annotations, 1_000)
    classes = Counter(annotation.multiple_choice_answer for annotation in annotations)
    assert len(vocabulary.answers) == 1_000 and vocabulary.questions == len(questions)
    assert dict(zip(vocabulary.answers, vocabulary.answer_counts, strict=True)).items() <= classes.items()
    assert vocabulary.kept_questions == sum(vocabulary.answer_counts)
    left_out = set(classes) - set(vocabulary.answers)
    assert max(classes[answer] for answer in left_out) <= vocabulary.answer_counts[-1]
    kept = [
        tokenize(question.question)[:MAX_LENGTH]
        for question, annotation in zip(questions, annotations, strict=True)
        if annotation.multiple_choice_answer in vocabulary.answer_ids
    ]
    assert sum(vocabulary.word_counts) == sum(map(len, kept))
    assert set(vocabulary.words) == {word for words in kept for word in words}
    keys = list(zip([-count for count in vocabulary.word_counts], vocabulary.words, strict=True))
    assert keys == sorted(keys) and vocabulary.words[0] == "?"
    assert all(word == word.lower() and not word.isspace() for word in vocabulary.words)


@needs_real
def test_real_rows_read_back_as_the_questions(real):
    questions, annotations = real
    vocabulary = build_vocabulary(questions, annotations, 1_000)
    encoded = encode(questions, vocabulary)
    words = ["", *vocabulary.words, "<unknown>"]
    unknown = 0
    for question, row, length in zip(questions, encoded.tokens, encoded.lengths, strict=True):
        expected = tokenize(question.question)
        assert 2 <= length == len(expected) <= MAX_LENGTH
        assert not row[: MAX_LENGTH - length].any() and row[MAX_LENGTH - length :].all()
        read_back = [words[number] for number in row[MAX_LENGTH - length :]]
        assert all(token in (word, "<unknown>") for token, word in zip(read_back, expected, strict=True))
        unknown += read_back.count("<unknown>")
    assert unknown == (encoded.tokens == vocabulary.unknown_id).sum()
    assert 0 < unknown < 0.01 * encoded.lengths.sum()  # words of the 589 questions without a class only


def test_pieces_are_remembered_up_to_a_bound(monkeypatch):
    monkeypatch.setattr(module, "PIECES", 100)
    for number in range(1_000):
        text = f"word{number} isn't word{number % 7}?"
        assert tokenize(text) == nltk_tokens(text)
        assert len(module._pieces) <= 100
    long = "a" * 1_000_000
    assert tokenize(f"is {long}?") == ["is", long, "?"]
    assert max(map(len, module._pieces)) < 1_000
