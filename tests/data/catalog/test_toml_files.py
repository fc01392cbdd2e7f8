"""TOML as people write it."""

from __future__ import annotations

import pytest

from data.base.errors import DataError
from data.catalog.toml_files import Table, read_toml


@pytest.fixture
def file(tmp_path):
    def write(content):
        path = tmp_path / "mine.toml"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_any_encoding_that_can_be_told(file, encoding, end):
    assert read_toml(file(f'[own.mine]{end}a = "où"{end}'.encode(encoding))) == {"own": {"mine": {"a": "où"}}}


@pytest.mark.parametrize(
    "content, said",
    [
        ("[own.a]\na = photos\n", "line 2: `a = photos`: Invalid value; put text in quotation marks"),
        ("[own.a]\na = “photos”\n", "line 2: .*put text in quotation marks"),
        ('\n\na = "C:\\photos"\n', "line 3: .*write / for "),
        ('a = "x\nb = 1\n', "line 1: .*close the quotation mark"),
        ("[own.a]\nb = 1\n[own.a]\n", "line 3: .*put its settings under one heading"),
        ("a = 1\na = 2\n", "line 2: .*leave one of them"),
        ("[own.my data]\n", r"line 1: .*or \[own.'my data'\]"),
        ("a: 1\n", "line 1: .*expected `name ="),
        (
            "a = 1\nb = 'é'\n".encode("cp1252"),
            r"line 2: `b = '\\xe9'` is not UTF-8 text; save the file as UTF-8",
        ),
        ("a = 1\n".encode("utf-16-le"), "line 1: has a zero byte"),
        ("a = " + "[" * 5000, " nested too deeply"),
    ],
)
def test_a_slip_is_answered_by_its_line_and_what_mends_it(file, content, said):
    with pytest.raises(DataError, match=f"mine.toml(: is|, ){said}"):
        read_toml(file(content))


@pytest.mark.parametrize(
    "content, number",
    [
        ('[own.b]\n[own.a]\n"val" = 3\n', 3),
        ("[own.a.val]\nx = 1\n", 1),
        ("\n[ own . 'a' ]\n", 2),
        ("own.a.val = 3\n", 1),
        ("[own]\na = { val = 3 }\n", 2),
    ],
)
def test_what_is_wrong_is_found_in_its_line(file, content, number):
    table = Table.of(file(content), "own").table("own").table("a")
    assert f"mine.toml, line {number}: own.a: val = 3" in str(table.wrong("val = 3: expected x"))


def test_paths_may_name_variables_of_the_environment(file, monkeypatch, tmp_path):
    monkeypatch.setenv("WHERE", "here")
    table = Table.of(file("[a]\nx = 1\n"), "a").table("a")
    assert table.located("x", "${WHERE}/$WHERE") == tmp_path / "here" / "here"
    with pytest.raises(
        DataError, match=r"line 2: a: x = \$NOWHERE/a: the environment has no variable NOWHERE"
    ):
        table.located("x", "$NOWHERE/a")
