"""Classes of consensus and human answers, and soft scores that are the official accuracy of each class."""

from __future__ import annotations

import gzip
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.base.errors import DataError
from data.scoring.accuracy import question_scores
from data.text.answers import NO_HUMAN, OUTSIDE, encode_answers, read_answers, write_answers
from data.text.official import Annotation
from data.text.official_json import read_annotations, read_questions
from data.text.questions import Vocabulary, build_vocabulary

REAL = Path(__file__).parents[3].parent / "shared" / "data" / "vqa_v2_real"
ARRAYS = ("consensus", "humans", "question_ids", "soft_classes", "soft_scores")


def annotation(number, *answers, consensus=None):
    return Annotation(number, 1, "what", "other", consensus or answers[0], answers)


def vocabulary_of(*answers):
    return Vocabulary((), (), answers, (1,) * len(answers), 1, 1)


def soft(encoded, row):
    """{class: score} of a row, padding checked."""
    classes, scores = encoded.soft_classes[row], encoded.soft_scores[row]
    assert not scores[classes == NO_HUMAN].any()
    return {int(c): round(float(s), 4) for c, s in zip(classes, scores, strict=True) if c != NO_HUMAN}


def test_classes_of_consensus_and_humans():
    encoded = encode_answers(
        [annotation(7, *["red"] * 6, "blue", "Red", "x", "x"), annotation(5, "x", "red", consensus="x")],
        vocabulary_of("blue", "red"),
    )
    assert encoded.consensus.tolist() == [1, OUTSIDE]
    assert encoded.humans.tolist() == [[1] * 6 + [0] + [OUTSIDE] * 3, [OUTSIDE, 1] + [NO_HUMAN] * 8]
    assert encoded.question_ids.tolist() == [7, 5] and encoded.classes == 2
    kinds = [getattr(encoded, name).dtype for name in ARRAYS]
    assert kinds == [np.int32, np.int32, np.int64, np.int32, np.float32]


def test_soft_scores_are_the_official_ones():
    ten = [*["a"] * 4, *["b"] * 3, *["c"] * 2, "d"]
    encoded = encode_answers([annotation(1, *ten)], vocabulary_of("d", "c", "b", "a"))
    assert soft(encoded, 0) == {3: 1.0, 2: 0.9, 1: 0.6, 0: 0.3}


def test_soft_scores_compare_processed_strings():
    encoded = encode_answers(
        [
            annotation(1, *["two"] * 5, *["2"] * 4, "three"),
            annotation(2, *["two"] * 10),  # unanimous: nothing is processed
            annotation(3, *["The Dog"] * 5, *["cat"] * 5),
        ],
        vocabulary_of("2", "two", "dog"),
    )
    assert soft(encoded, 0) == {0: 1.0, 1: 1.0}
    assert soft(encoded, 1) == {1: 1.0}
    assert soft(encoded, 2) == {2: 1.0}
    assert encoded.humans[2].tolist() == [OUTSIDE] * 10


def test_nothing_among_the_classes():
    encoded = encode_answers([annotation(1, *["x"] * 10)], vocabulary_of("y"))
    assert encoded.soft_classes.tolist() == [[NO_HUMAN]] and encoded.soft_scores.tolist() == [[0]]


WORDS = st.sampled_from(["a", "two", "2", "Two", "the two", " two", "no.", "no", "1,000", "", "x y", "x-y"])


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.one_of(st.lists(WORDS, min_size=10, max_size=10), st.lists(WORDS, min_size=1, max_size=9))),
    st.lists(WORDS, min_size=1, unique=True),
)
def test_every_class_earns_its_official_accuracy(humans, answers):
    if not humans:
        return
    encoded = encode_answers([annotation(n, *ten) for n, ten in enumerate(humans)], vocabulary_of(*answers))
    for number, answer in enumerate(answers):
        official = question_scores([answer] * len(humans), humans)
        ours = np.where(encoded.soft_classes == number, encoded.soft_scores, 0).sum(axis=1)
        assert np.allclose(ours, official, atol=1e-6)
    for row, given_answers in enumerate(humans):
        raw = [answers.index(text) if text in answers else OUTSIDE for text in given_answers]
        assert encoded.humans[row].tolist() == raw + [NO_HUMAN] * (encoded.humans.shape[1] - len(raw))


def test_answers_file(tmp_path):
    encoded = encode_answers([annotation(1, "a", "b"), annotation(2, "b")], vocabulary_of("a", "b"))
    for name in ("one.h5", "two.h5"):
        write_answers(tmp_path / name, encoded)
    assert (tmp_path / "one.h5").read_bytes() == (tmp_path / "two.h5").read_bytes()
    again = read_answers(tmp_path / "one.h5")
    assert again.classes == 2
    for name in ARRAYS:
        before, after = getattr(encoded, name), getattr(again, name)
        assert before.dtype == after.dtype and np.array_equal(before, after)
    (tmp_path / "bad.h5").write_bytes(b"no HDF5")
    with pytest.raises(DataError, match="not encoded answers"):
        read_answers(tmp_path / "bad.h5")


@pytest.mark.skipif(not REAL.is_dir(), reason="shared/data/vqa_v2_real is not here")
def test_real_answers(tmp_path):
    for packed in REAL.glob("*.json.gz"):
        (tmp_path / packed.stem).write_bytes(gzip.decompress(packed.read_bytes()))
    questions = read_questions(tmp_path / "v2_OpenEnded_mscoco_train2014_questions.json")
    annotations = read_annotations(tmp_path / "v2_mscoco_train2014_annotations.json")
    vocabulary = build_vocabulary(questions, annotations, 1_000)
    encoded = encode_answers(annotations, vocabulary)
    inside = encoded.consensus != OUTSIDE
    assert inside.sum() == vocabulary.kept_questions == 8_388
    assert np.array_equal(np.bincount(encoded.consensus[inside]), vocabulary.answer_counts)
    assert encoded.humans.shape == (8_977, 10) and encoded.humans.min() == OUTSIDE
    assert any("," in answer for answer in vocabulary.answers)
    for row, annotation in enumerate(annotations):
        names = [vocabulary.answers[number] for number in encoded.humans[row] if number != OUTSIDE]
        assert names == [text for text in annotation.answers if text in vocabulary.answer_ids]
        classes = encoded.soft_classes[row][encoded.soft_classes[row] != NO_HUMAN].tolist()
        assert len(set(classes)) == len(classes)
        if encoded.consensus[row] != OUTSIDE:  # the commonest answer earns most: all of it where four agree
            most = Counter(annotation.answers)[annotation.multiple_choice_answer]
            at = classes.index(encoded.consensus[row])
            assert encoded.soft_scores[row][at] >= min(1, 0.3 * most) - 1e-6
    for number in range(0, 1_000, 97):
        official = question_scores(
            [vocabulary.answers[number]] * len(annotations), [a.answers for a in annotations]
        )
        ours = np.where(encoded.soft_classes == number, encoded.soft_scores, 0).sum(axis=1)
        assert np.allclose(ours, official, atol=1e-6)
