"""Tables as spreadsheets and libraries write them, and what of them can't be used: all of it in one round."""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import time

import pytest
from own_files import pictures, read_split, table

from data.base.errors import DataError
from data.catalog.entries import Own
from data.own.convert import convert
from data.own.tables import read_rows

ROWS = [("a.jpg", "Is it, or not?", ("yes", "no")), ("b.jpg", 'A "cat"\nor größer?', ("3,5",))]


def written(separator, lines="\r\n", quoting=csv.QUOTE_MINIMAL, more=()):
    """The two rows as a program writes them; `more` cells end each row."""

    class Dialect(csv.excel):
        delimiter, lineterminator = separator, lines

    Dialect.quoting = quoting
    text = io.StringIO()
    rows = [(image, question, "|".join(answers)) for image, question, answers in ROWS]
    csv.writer(text, Dialect).writerows([(*row, *more) for row in [("image", "question", "answer"), *rows]])
    return text.getvalue()


EXPORTS = {
    "LibreOffice, commas": ("qa.csv", written(",", "\n").encode()),
    "LibreOffice, all texts quoted": ("qa.csv", written(";", "\n", csv.QUOTE_ALL).encode()),
    "LibreOffice, tabs, UTF-16": ("qa.csv", written("\t", "\n").encode("utf-16")),
    "Excel, CSV UTF-8": ("qa.csv", written(",").encode("utf-8-sig")),
    "Excel in German": ("qa.csv", written(";").encode("utf-8-sig")),
    "Excel, Unicode text": ("qa.txt", written("\t").encode("utf-16")),
    "Excel's own first line": ("qa.csv", b"sep=;\r\n" + written(";").encode()),
    "Excel's own first line, tabs, marked": ("qa.csv", ("\ufeffsep=\t\r\n" + written("\t")).encode()),
    "Excel, cells that were once used": ("qa.csv", written(",", more=("", " ")).encode() + b",,,,\r\n ,\r\n"),
    "Numbers": ("qa.csv", written(";").encode()),
    "Google Sheets": ("qa.tsv", written("\t").encode()),
    "an old Mac's line ends": ("qa.csv", written(",", "\r").encode()),
    "empty rows above": ("qa.csv", b";;;\r\n\r\n" + written(";").encode()),
    "gzipped by pandas": ("qa.csv.gz", gzip.compress(written(",", "\n").encode())),
    "pandas, records": (
        "qa.json",
        json.dumps([dict(zip(("image", "question", "answer"), row, strict=True)) for row in ROWS]).encode(),
    ),
    "pandas, lines under .json": (
        "qa.json",
        "\n".join(
            json.dumps(dict(zip(("Image", "question", "answer"), row, strict=True))) for row in ROWS
        ).encode(),
    ),
}


@pytest.mark.parametrize("program", EXPORTS)
def test_an_export_is_read_as_it_is(tmp_path, program):
    name, content = EXPORTS[program]
    rows, unread = read_rows(table(tmp_path, content, name))
    assert not unread and not any(row.faults for row in rows)
    assert [(row.image, row.question, row.answers) for row in rows] == ROWS


@pytest.mark.parametrize(
    "text",
    [
        ",image,question,answer\n0,a.jpg,Is it?,yes\n1,b.jpg,Is it?,no\n",  # pandas.to_csv
        '"","image","question","answer"\n"1","a.jpg","Is it?","yes"\n"2","b.jpg","Is it?","no"\n',  # R
    ],
)
def test_an_index_is_a_column_without_a_name(tmp_path, text):
    rows, unread = read_rows(table(tmp_path, text))
    assert [row.image for row in rows] == ["a.jpg", "b.jpg"] and unread == ["one without a name"]


def test_rows_count_as_the_spreadsheet_shows_them(tmp_path):
    """Also behind blank rows and questions of several lines, and where Excel leaves empty cells out."""
    text = 'image;question;answer;answer_type\n\n;;;\na.jpg;"Is\nit?";yes\nb.jpg;Is it?;no;;\n'
    rows, _ = read_rows(table(tmp_path, text))
    assert [(row.number, row.question, row.answer_type) for row in rows] == [
        (4, "Is\nit?", ""),
        (5, "Is it?", ""),
    ]


def test_a_long_cell_is_read_or_refused_with_the_limit(tmp_path):
    for size, fault in ((1 << 20, ()), ((1 << 20) + 1, ("question of 1,048,577 characters",))):
        [row], _ = read_rows(table(tmp_path, f"image,question,answer\na.jpg,{'w' * size},y\n"))
        assert len(row.question) == size and all(map(str.startswith, row.faults, fault))
        assert len(row.faults) == len(fault)
    assert csv.field_size_limit() == 131_072  # the process's own is as before


@pytest.mark.parametrize("has", ["", "image,question,answer,"])
def test_the_time_of_a_wide_table_grows_with_its_size_alone(tmp_path, has):
    text = has + ",".join(f"c{n}" for n in range(200_000)) + "\na.jpg,q,y\n"
    path = table(tmp_path, text)
    begun = time.process_time()
    with pytest.raises(DataError, match=r"row 1 has 200,0.. columns; at most 16,384") as caught:
        read_rows(path)
    assert time.process_time() - begun < 20 and len(str(caught.value)) < 1000  # 0.2 s here; it was 400
    path.write_text(",".join(f"c{n}" for n in range(16_000)) + "\n")
    with pytest.raises(DataError, match=r"found 'c0', 'c1'.*; and 15,990 more") as caught:
        read_rows(path)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("encoding, reads", [("cp1252", "größer?"), ("cp850", "gr”áer?"), ("gbk", "ÄãºÃ")])
def test_another_encoding_is_named_with_its_cure(tmp_path, encoding, reads):
    question = "你好" if encoding == "gbk" else "Was ist größer?"
    ends = "\r" if encoding == "cp850" else "\n"
    content = f"image;question;answer{ends}a.jpg;x;y{ends}b.jpg;{question};y{ends}".encode(encoding)
    with pytest.raises(
        DataError, match=r"line 3 is not UTF-8; as Windows-1252 .*'CSV UTF-8'.*'Unicode"
    ) as caught:
        read_rows(table(tmp_path, content))
    assert reads in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "name, text, message",
    [
        ("qa.json", '{"image": {"0": "a.jpg"}}', 'row 1: image {"0": "a.jpg"} is not a text'),
        ("qa.json", '{"rows": []}', r"one object; expected a list of rows, .*orient='records'"),
        ("qa.json", '{"info": 1, "questions": []}', "official questions; state their annotations"),
        ("qa.json", '[{"image": "a.jpg"}', "not JSON"),
        ("qa.json", "[]", "holds no questions"),
        ("qa.json", '[{"image": "a.jpg", "question": null, "answer": "y"}]', "row 1: no question"),
    ],
)
def test_json_that_is_no_table_is_named(tmp_path, name, text, message):
    own = Own({"": table(tmp_path, text, name)}, {}, 0.5, 0)
    with pytest.raises(DataError) as caught:
        convert(own, {"": pictures(tmp_path / "p", "a.jpg")}, tmp_path)
    assert re.search(message, str(caught.value)), caught.value


def test_a_quote_that_is_not_closed_hides_no_other_row(tmp_path):
    text = 'image,question,answer\na.jpg,"Is it?,y\nb.jpg,,y\nc.jpg,"Is\nit?",y\nd.jpg,"e,y\nf.jpg,q\n'
    rows, _ = read_rows(table(tmp_path, text))
    assert [(row.number, row.image, bool(row.faults)) for row in rows] == [
        *((2, "", True), (3, "b.jpg", True), (4, "c.jpg", False), (5, "", True), (6, "f.jpg", True)),
    ]
    assert [row.faults[0][:24] for row in rows if not row.image] == [
        "not CSV at line 2 (',' e",
        "not CSV at line 6 (unexp",
    ]
    begun = time.process_time()
    rows, _ = read_rows(table(tmp_path, "image,question,answer\n" + 'a.jpg,"b"c,d\n"e\n' * 50_000))
    assert len(rows) >= 50_000 and time.process_time() - begun < 20  # 0.5 s here


def names_found(tmp_path, images, *named):
    """The picture that each row's name means, and the doubts."""
    text = "image,question,answer\n" + "".join(f"{name},q,a\n" for name in named)
    path = table(tmp_path, text)
    own = Own({"train": path, "val": path}, {}, 0.2, 0)
    doubts = convert(own, {"": images}, tmp_path).doubts
    name_of = dict(zip(images.ids.tolist(), images.names, strict=True))
    return [name_of[question.image_id] for question, _ in read_split(tmp_path, "train")], doubts


def test_a_path_from_another_place_is_taken_by_its_end(tmp_path):
    """The picture's folder is told in the table, with either slash, from the disk's root, or on another machine."""
    images = pictures(tmp_path / "photos", "x.jpg", "kitchen/y.jpg", "hall/z.jpg", "attic/z.jpg")
    named = ["photos/x.jpg", ".\\photos\\x.jpg", str(tmp_path / "photos/kitchen/y.jpg"), "../photos/x.jpg"]
    found, doubts = names_found(
        tmp_path, images, *named, "photos\\attic\\z.jpg", "file:///data/photos/hall/z.jpg"
    )
    assert found == ["x.jpg", "x.jpg", "kitchen/y.jpg", "x.jpg", "attic/z.jpg", "hall/z.jpg"] and not doubts
    found, doubts = names_found(
        tmp_path, images, r"C:\Users\me\Pictures\x.jpg", "/mnt/old/y.jpg", "old/attic/z.jpg"
    )
    assert found == ["x.jpg", "kitchen/y.jpg", "attic/z.jpg"]
    assert (
        "3 pictures are named by another place" in doubts[0]
        and "'/mnt/old/y.jpg' is 'kitchen/y.jpg'" in doubts[0]
    )


@pytest.mark.parametrize(
    "named, why",
    [
        ("/mnt/old/z.jpg", "several pictures are called"),  # two have this end
        ("kitchen/x.jpg", "no picture"),  # the kitchen is here, and has none of that name
        ("photos/hall/y.jpg", "no picture"),
        ("photos/w.jpg", "no picture"),
    ],
)
def test_an_end_that_is_not_one_picture_s_is_refused(tmp_path, named, why):
    images = pictures(tmp_path / "photos", "x.jpg", "kitchen/y.jpg", "hall/z.jpg", "attic/z.jpg")
    with pytest.raises(DataError, match=f"row 2: {why}"):
        names_found(tmp_path, images, named)


def test_all_that_can_not_be_used_is_told_in_one_round(tmp_path):
    """Of every kind and both tables: twenty on the screen, all in the file."""
    images = pictures(tmp_path / "photos", "a.jpg")
    wrong = 'a.jpg,,y\na.jpg,What, sir,y\nnone.jpg,q,\na.jpg,"q"x,y\na.jpg,q,' + "y|" * 10 + "y\n"
    text = "image,question,answer\n" + wrong + "".join(f"{n}.jpg,q,y\n" for n in range(25)) + "a.jpg,q,y\n"
    paths = {"train": table(tmp_path, text, "t.csv")}
    paths["val"] = table(tmp_path, '{"image": "b.jpg", "question": 1, "answer": []}\n[1]\n{', "v.jsonl")
    listing = tmp_path / "work" / "all.txt"
    with pytest.raises(DataError) as caught:
        convert(Own(paths, {}, 0.2, 0), {"": images}, tmp_path, listing)
    told, lines = str(caught.value), listing.read_text().splitlines()
    assert lines[1:6] == [
        "row 2: empty question",
        "row 3: 4 cells, expected 3: a text with a comma needs quotes",
        "row 4: empty answer, no picture 'none.jpg'",
        "row 5: not CSV at line 5 (',' expected after '\"'): a quote inside a text is written twice",
        "row 6: 11 answers, expected one to 10",
    ]
    assert len(lines) == 1 + 30 + 1 + 3 and lines[-2:] == ["row 2: not an object", lines[-1]]
    assert (
        lines[32]
        == "row 1: question 1 is not a text: put it in quotes, 0 answers, expected one to 10, no picture 'b.jpg'"
    )
    assert f"t.csv: 30 of 31 rows can't be used; all are listed in {listing} (row 2: empty" in told
    assert "; and 20 more)" in told and "v.jsonl: 3 of 3 rows" in told and "\n" not in told
