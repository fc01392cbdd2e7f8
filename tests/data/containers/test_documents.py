"""JSON and tables as people keep them: packed or not, marked or not, everywhere the same."""

from __future__ import annotations

import codecs
import gzip
import io
import json
import tracemalloc
import zipfile

import pytest

from data.base.errors import DataError
from data.containers.documents import inner_name, read_document
from data.own.tables import read_rows
from data.scoring.figures import score
from data.seed_files.read_seed_files import read_names

TEXT = '{"é": "größer ☃"}'


def zipped(content, *names, method=zipfile.ZIP_DEFLATED):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", method) as file:
        for name in names or ("inside.json",):
            file.writestr(name, content)
    return packed.getvalue()


KEPT = {
    "plain": lambda text: text.encode(),
    "UTF-8 with its mark": lambda text: text.encode("utf-8-sig"),
    "UTF-16, little end first": lambda text: codecs.BOM_UTF16_LE + text.encode("utf-16-le"),
    "UTF-16, big end first": lambda text: codecs.BOM_UTF16_BE + text.encode("utf-16-be"),
    "UTF-32": lambda text: text.encode("utf-32"),
    "gzip": lambda text: gzip.compress(text.encode()),
    "gzip in two pieces": lambda text: gzip.compress(text[:5].encode()) + gzip.compress(text[5:].encode()),
    "gzip of a marked text": lambda text: gzip.compress(text.encode("utf-8-sig")),
    "gzip of UTF-16": lambda text: gzip.compress(text.encode("utf-16")),
    "zip": lambda text: zipped(text.encode()),
    "zip, stored": lambda text: zipped(text.encode(), "a/b.json", method=zipfile.ZIP_STORED),
    "zip of a marked text, beside macOS's own": lambda text: zipped(
        text.encode("utf-8-sig"), "q.json", "__MACOSX/._q.json", ".DS_Store"
    ),
}


@pytest.mark.parametrize("kind", KEPT)
def test_a_text_is_the_same_however_it_is_kept(tmp_path, kind):
    path = tmp_path / "text.json"
    path.write_bytes(KEPT[kind](TEXT))
    assert str(read_document(path), "utf-8") == TEXT


@pytest.mark.parametrize("kind", ["UTF-8 with its mark", "UTF-16, little end first", "gzip", "zip"])
def test_every_json_that_is_read_may_be_kept_so(tmp_path, kind):
    """Questions, annotations, results, the original's names, tables of your own."""
    files = {
        "q": {"questions": [{"question_id": 1, "image_id": 1, "question": "Is it?"}]},
        "a": {"annotations": [{"question_id": 1, "image_id": 1, "answers": [{"answer": "yes"}]}]},
        "r": [{"question_id": 1, "answer": "yes"}],
        "names": {"ix_to_word": {"1": "UNK"}, "ix_to_ans": {"1": "yes"}}
        | {"unique_img_train": ["a.jpg"], "unique_img_test": ["b.jpg"]},
        "rows": [{"image": "a.jpg", "question": "Is it?", "answer": "yes"}],
    }
    paths = {name: tmp_path / f"{name}.json" for name in files}
    for name, content in files.items():
        paths[name].write_bytes(KEPT[kind](json.dumps(content)))
    assert score(paths["a"], paths["q"], paths["r"])["overall"] == 100
    assert read_names(paths["names"]).answers == ("yes",)
    [row], _ = read_rows(paths["rows"])
    assert (row.image, row.answers) == ("a.jpg", ("yes",))


@pytest.mark.parametrize(
    "content, message",
    [
        (zipped(b"{}", "a.json", "b.json"), r"a zip that holds 2 files \(a\.json, b\.json\)"),
        (zipped(b"", "empty/"), "a zip that holds no file"),
        (
            zipped(b"{}", "xl/workbook.xml", "xl/s.xml", "docProps/app.xml", "x.rels"),
            "saved as CSV by its own",
        ),
        (zipped(b"{}" * 50)[:-30], "not a readable zip"),
        (gzip.compress(b"{}" * 5000)[:-9], "damaged gzip"),
        (gzip.compress(b"{}")[:-5] + b"?????", "damaged gzip"),
        (gzip.compress(b"{}") + b"more", "damaged gzip"),
        (b"\x1f\x8b\x08", "damaged gzip"),
        (gzip.compress(b" " * (70 << 20)), "inflates to more than 67,108,864 bytes"),
        (zipped(b" " * (70 << 20)), "a zip bomb"),
        (gzip.compress("{}".encode("utf-16-le")), "byte 1 is zero"),
        (codecs.BOM_UTF16_LE + b"{", "mark of UTF-16-LE, but is not"),
        (codecs.BOM_UTF16_BE + b"\xd8\x00\x00 ", "mark of UTF-16-BE, but is not"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",  # gzip's bytes hold the time
)
def test_what_is_none_is_one_line(tmp_path, content, message):
    path = tmp_path / "text.json"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read_document(path)
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


def test_a_gzip_bomb_is_refused_before_it_fills_the_memory(tmp_path):
    """A part of it is enough, whatever is behind: 1.5 GB of spaces, 3 GB of zeros."""
    (tmp_path / "spaces.json").write_bytes(gzip.compress(b" " * (30 << 20)) * 50)
    (tmp_path / "zeros.json").write_bytes(gzip.compress(bytes(30 << 20)) * 100)
    tracemalloc.start()
    for name, why in (("spaces", "inflates to more than 67,108,864"), ("zeros", "byte 0 is zero")):
        with pytest.raises(DataError, match=why):
            read_document(tmp_path / f"{name}.json")
    assert tracemalloc.get_traced_memory()[1] < 160 << 20
    tracemalloc.stop()


def test_the_name_below_the_packing_tells_the_kind(tmp_path):
    for name, content in {"qa.csv": b"", "qa.CSV.GZ": b"", "x.zip": zipped(b"", "a/qa.csv")}.items():
        (tmp_path / name).write_bytes(content)
        assert inner_name(tmp_path / name).lower() == "qa.csv"
