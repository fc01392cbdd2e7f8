"""The vocabulary's vectors out of a zip, and what is refused; what reads the zip under them."""

from __future__ import annotations

import os
import random
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.base.errors import DataError
from data.catalog.entries import Source
from data.containers.archives import open_member, read_member
from data.download.local_copies import local_copy
from data.text.glove import embedding_matrix, read_embeddings, read_vectors, write_embeddings
from data.text.questions import Vocabulary

MEMBER = "glove.txt"


@pytest.fixture
def glove(tmp_path):
    """Write lines, or bytes, as the member of a zip and return its path."""

    def write(*lines, method=zipfile.ZIP_DEFLATED, content=None):
        path = tmp_path / "glove.zip"
        with zipfile.ZipFile(path, "w", method) as archive:
            archive.writestr("other.txt", "not this one")
            archive.writestr(
                MEMBER, content if content is not None else "".join(f"{line}\n" for line in lines)
            )
        return path

    return write


def test_rows_in_the_order_of_the_words(glove):
    path = glove("the 0.5 -1 2e-3", "Ünï 1 2 3", "of 4 5 6", "’s 7 8 9")
    matrix, known = read_vectors(path, MEMBER, ["of", "missing", "’s", "the", "Ünï", "th"], 3)
    assert matrix.dtype == np.float32 and known.tolist() == [True, False, True, True, True, False]
    expected = [[4, 5, 6], [0] * 3, [7, 8, 9], [0.5, -1, 2e-3], [1, 2, 3], [0] * 3]
    assert np.array_equal(matrix, np.array(expected, np.float32))


def test_vectors_are_those_of_the_plain_way(glove):
    rng = random.Random(0)
    lines = [f"w{n} " + " ".join(f"{rng.gauss(0, 0.4):.5g}" for _ in range(50)) for n in range(300)]
    matrix, _ = read_vectors(glove(*lines), MEMBER, [f"w{n}" for n in range(300)], 50)
    plain = np.stack([np.asarray(line.split()[1:], dtype="float32") for line in lines])
    assert np.array_equal(matrix, plain)


def test_numbers_as_c_and_python_write_them(glove):
    matrix, _ = read_vectors(glove("a 1 2 3 4 5", "b .5 -1. +2 1E-3 -0"), MEMBER, ["b"], 5)
    assert matrix.tolist() == [[0.5, -1, 2, np.float32(1e-3), 0]]


def test_words_with_spaces_split_from_the_right(glove):
    path = glove(". . . 1 2", "at name@domain.com 3 4", "at 5 6", ". 7 8", "a\u00a0b 9 9")
    matrix, known = read_vectors(path, MEMBER, [".", "at", ". . .", "a\u00a0b"], 2)
    assert known.all() and matrix.tolist() == [[7, 8], [5, 6], [1, 2], [9, 9]]


@pytest.mark.parametrize("content", ["a 1 2\r\nb 3 4\r\n", "a 1 2\nb 3 4", "a 1 2 \nb 3 4 \n\n"])
def test_line_ends(glove, content):
    matrix, _ = read_vectors(glove(content=content), MEMBER, ["b", "a"], 2)
    assert matrix.tolist() == [[3, 4], [1, 2]]


def test_a_stored_member(glove):
    assert read_vectors(glove("a 1", method=zipfile.ZIP_STORED), MEMBER, ["a"], 1)[0].tolist() == [[1]]


@pytest.mark.parametrize(
    "lines, why",
    [
        (["x 1 2", "a 1"], r"line 2: 'a' has 1 values; expected 2 numbers"),
        (["x 1 2", "a 1 2 3"], r"line 2: 'a' has 3 values"),
        (["x 1 2 3", "a 1 2 3"], r"line 1: 'x' has 3 values"),
        (["x 1", "a 1"], r"line 1: 'x' has 1 values"),
        (["x 1 2", "a 1 b"], r"line 2: 'a' has 2 values; expected 2 numbers"),
        (["x 1 2", "a 1 nan"], r"line 2: the vector of 'a' holds a number that is not finite"),
        (["x 1 2", "a inf 1"], r"not finite"),
        (["x 1 2", "a 1e39 1"], r"not finite"),
        (["x 1 2", "a 1 2", "y 1 2", "a 1 2"], r"line 4: a second vector of 'a'"),
        (["x 1 2", "a  1 2"], r"line 2: 'a' has"),
    ],
)
def test_bad_lines_are_named(glove, lines, why):
    if lines[1] == "a  1 2":  # a double space: the word ends in one, and is none of ours
        assert not read_vectors(glove(*lines), MEMBER, ["a"], 2)[1].any()
        return
    with pytest.raises(DataError, match=why):
        read_vectors(glove(*lines), MEMBER, ["a"], 2)


def test_lines_of_other_words_are_not_parsed(glove):
    assert read_vectors(glove("a 1", "b what 7 nan"), MEMBER, ["a"], 1)[1].all()


def test_no_word_vectors_at_all(glove):
    with pytest.raises(DataError, match="without an end"):
        read_vectors(
            glove(content=random.Random(0).randbytes(3_000_000).replace(b"\n", b"")), MEMBER, ["a"], 1
        )
    with pytest.raises(DataError, match=r"no member g\.txt"):
        read_vectors(glove("a 1"), "g.txt", ["a"], 1)
    with pytest.raises(DataError, match="asked for twice"):
        read_vectors(glove("a 1"), MEMBER, ["a", "a"], 1)


def test_progress_ends_at_the_member_size(glove):
    seen = []
    read_vectors(glove("a 1", "b 2"), MEMBER, ["a"], 1, progress=lambda *told: seen.append(told))
    assert seen[-1][:2] == (8, 8)


def test_padding_and_the_unknown_word_are_zeros(glove, tmp_path):
    vocabulary = Vocabulary(("a", "zz", "b"), (1, 1, 1), ("x",), (1,), 1, 1)
    embeddings = embedding_matrix(vocabulary, glove("b 1 2", "a 3 4", "<unk> 5 6"), MEMBER, 2)
    assert embeddings.matrix.tolist() == [[0, 0], [3, 4], [0, 0], [1, 2], [0, 0]]
    assert embeddings.found.tolist() == [False, True, False, True, False]
    assert len(embeddings.matrix) == vocabulary.size
    for name in ("one.h5", "two.h5"):
        write_embeddings(tmp_path / name, embeddings)
    assert (tmp_path / "one.h5").read_bytes() == (tmp_path / "two.h5").read_bytes()
    again = read_embeddings(tmp_path / "one.h5")
    assert again.matrix.dtype == np.float32 and np.array_equal(again.matrix, embeddings.matrix)
    assert np.array_equal(again.found, embeddings.found)
    (tmp_path / "bad.h5").write_bytes(b"no HDF5")
    with pytest.raises(DataError, match="no embeddings"):
        read_embeddings(tmp_path / "bad.h5")


@settings(max_examples=30, deadline=None)
@given(
    content=st.binary(max_size=300).map(lambda block: block * 5_000),
    method=st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]),
)
def test_what_is_read_is_the_member(tmp_path_factory, content, method):
    path = tmp_path_factory.mktemp("zip") / "a.zip"
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("before", b"x" * 99)
        archive.writestr("member", content)
    with open_member(path, "member") as file:
        assert b"".join(iter(lambda: file.read(30_001), b"")) == content
    with open_member(path, "member") as file:
        assert b"".join(file) == content
    assert read_member(path, "member") == content


def test_a_damaged_member_is_refused(glove):
    content = random.Random(1).randbytes(400_000).hex()
    good = glove(content=content).read_bytes()
    for at in (len(good) // 3, len(good) // 2, len(good) - 300):
        path = glove(content=content)
        path.write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
        with pytest.raises(DataError, match="damaged"):
            read_member(path, MEMBER)
        with pytest.raises(DataError, match="damaged"), open_member(path, MEMBER) as file:
            list(file)


def test_a_member_larger_than_it_declares_is_refused(glove):
    path = glove(content="a" * 100_000)
    declared = (100_000).to_bytes(4, "little")
    path.write_bytes(path.read_bytes().replace(declared, (50_000).to_bytes(4, "little")))
    with pytest.raises(DataError, match="damaged: Incorrect length"):
        read_member(path, MEMBER)
    with pytest.raises(DataError, match="more than the 10 allowed"):
        read_member(path, MEMBER, max_bytes=10)


@pytest.mark.parametrize("stated", ["unpacked/glove.txt", "unpacked"])
def test_an_unpacked_text_and_a_folder_with_it_are_read(tmp_path, stated):
    text = tmp_path / "unpacked" / MEMBER
    text.parent.mkdir()
    text.write_bytes(b"a 1 2\nb 3 4\n" + b"c 0 0\n" * 5000 + b"d nan 1\n")
    path = local_copy(Source("vectors", "v", path=tmp_path / stated), text=MEMBER)
    told = []
    matrix, _ = read_vectors(path, MEMBER, ["b", "a"], 2, lambda done, total, _: told.append((done, total)))
    assert matrix.tolist() == [[3, 4], [1, 2]] and told[-1] == (text.stat().st_size,) * 2
    with pytest.raises(DataError, match=r"unpacked/glove\.txt, line 5,003.*not finite"):
        read_vectors(path, MEMBER, ["d"], 2)
    with pytest.raises(
        DataError, match=r"unpacked: is a folder without other\.txt; expected this file, or the zip"
    ):
        local_copy(Source("vectors", "v", path=text.parent), text="other.txt")


def test_a_zip_is_one_whatever_it_is_called(tmp_path, glove):
    path = glove("a 1 2").rename(tmp_path / "vectors")
    assert local_copy(Source("vectors", "vectors", path=path), text=MEMBER) == path
    assert read_vectors(path, MEMBER, ["a"], 2)[0].tolist() == [[1, 2]]


@pytest.mark.parametrize("place", ["", "glove.6B"])
def test_a_mirror_s_unpacked_vectors_serve_where_its_zip_is_gone(tmp_path, place):
    source = Source("GloVe", "glove.6B.zip", ("https://127.0.0.1/glove.6B.zip",))
    (tmp_path / place).mkdir(exist_ok=True)
    (tmp_path / place / MEMBER).write_text("a 1\n")
    assert local_copy(source, tmp_path.as_uri(), text=MEMBER) == tmp_path / place / MEMBER
    assert local_copy(source, tmp_path.as_uri(), text="other.txt") is None
    with zipfile.ZipFile(tmp_path / "glove.6B.zip", "w"):
        pass
    assert local_copy(source, tmp_path.as_uri(), text=MEMBER) == tmp_path / "glove.6B.zip"


@pytest.mark.parametrize(
    "name, content, why",
    [
        ("vectors.txt", b"a 1 2\n", r"not a zip; a text by itself has to be called glove\.txt"),
        ("vectors.zip", b"a 1 2\n", "not a readable zip"),
        ("glove.txt.gz", b"\x1f\x8b\x08", r"is gzipped; expected glove\.txt, or the zip"),
        (MEMBER, b"PK\x03\x04", "is packed, though its name says that it is a text"),
        (MEMBER, b"\x1f\x8b\x08", "is packed"),
        (MEMBER, b"a\0b", "byte 1 is zero"),
        (MEMBER, None, f"{MEMBER}: is a pipe"),
    ],
)
def test_what_is_neither_is_refused_by_what_it_is(tmp_path, name, content, why):
    os.mkfifo(tmp_path / name) if content is None else (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=why):
        local_copy(Source("vectors", name, path=tmp_path / name), text=MEMBER)
