"""manifest.json: the bytes that are written, what older and later versions wrote, and what is refused."""

from __future__ import annotations

import json

import pytest

from tasks.contract.manifest import File, Input, Key, Manifest, digest, parse

KEY = {"stage": "Toy", "version": 1, "parameters": {"seed": 1}, "upstream": {"source": "ab"}}
OLDEST = {
    "key": KEY,
    "files": {"a.txt": {"size": 2, "sha256": "cd"}},
    "digest": "ef",
    "inputs": {"source": {"path": "/a/source/x-ab", "digest": "01"}},
    "facts": {"pictures": 3},
    "warnings": ["ä"],
    "started": 1.5,
    "finished": 2,
    "seconds": 0.5,
}


def as_bytes(value: object) -> bytes:
    return json.dumps(value).encode()


def changed(path: str, value: object) -> dict:
    """OLDEST with another value at a path such as 'key/version'."""
    manifest = json.loads(as_bytes(OLDEST))
    *folders, name = path.split("/")
    place = manifest
    for folder in folders:
        place = place[folder]
    place[name] = value
    return manifest


def test_what_is_written_is_read_and_has_these_bytes(tmp_path):
    manifest = Manifest(
        manifest_version=1,
        key=Key("Toy", 1, {"seed": 1}, {"source": "ab"}),
        files={"a.txt": File(2, "cd")},
        digest="ef",
        inputs={"source": Input("/a/source/x-ab", "01")},
        facts={"pictures": 3},
        warnings=["ä"],
        started=1.5,
        finished=2,
        seconds=0.5,
    )
    manifest.write(tmp_path)
    written = (tmp_path / "manifest.json").read_bytes()
    later = {"manifest_version": 1, "flags": {}, "host": "", "source": "", "versions": {}, "commit": None}
    expected = OLDEST | later | {"platform": ""}
    assert written.decode() == json.dumps(expected, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    assert parse(written) == manifest and manifest.size == 2


def test_what_an_older_version_wrote_is_read():
    manifest = parse(as_bytes(OLDEST))
    assert manifest.flags == {} and manifest.host == manifest.source == "" and manifest.commit is None
    assert manifest.inputs["source"].digest == "01" and manifest.facts == {"pictures": 3}


def test_fields_of_later_versions_are_passed_over_but_those_of_the_key_count():
    manifest = parse(
        as_bytes(OLDEST | {"colour": 1, "files": {"a.txt": {"size": 2, "sha256": "cd", "mode": 3}}})
    )
    assert manifest == parse(as_bytes(OLDEST))
    key = parse(as_bytes(changed("key/host", "x"))).key
    assert key.as_json() == KEY | {"host": "x"} and key.fingerprint != manifest.key.fingerprint


@pytest.mark.parametrize("name", OLDEST)
def test_a_missing_field_is_refused(name):
    with pytest.raises(ValueError):
        parse(as_bytes({field: value for field, value in OLDEST.items() if field != name}))


@pytest.mark.parametrize(
    "path, value",
    [
        *(
            ("key", []),
            ("key/stage", 1),
            ("key/version", "1"),
            ("key/parameters", None),
            ("key/upstream", []),
        ),
        *(("files", {}), ("files", []), ("files/a.txt", "cd"), ("files/a.txt/size", "2")),
        *(("files/a.txt/sha256", 2), ("inputs", None), ("inputs/source", "text"), ("inputs/source/path", 1)),
        *(("digest", 1), ("facts", []), ("warnings", "none"), ("started", "1"), ("finished", None)),
        *(("seconds", None), ("flags", []), ("host", 1), ("versions", "3"), ("commit", 1), ("source", None)),
    ],
)
def test_a_field_of_another_type_is_refused(path, value):
    with pytest.raises(ValueError):
        parse(as_bytes(changed(path, value)))


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff\xfe\0", b'"text"'])
def test_what_is_not_an_object_is_refused(content):
    with pytest.raises(ValueError):
        parse(content)


def test_the_digest_is_over_the_result_files_alone():
    files = {"b.log": File(1, "x"), "a.txt": File(2, "cd")}
    assert digest(files, ("*.log",)) == digest({"a.txt": File(9, "cd")}, ())
    assert digest(files, ("*.log",)) == "f1759b35f7cc1d86d60fa37037356a3c464d0a29ff2e4999554b5b3236d79626"
    assert digest(files, ()) != digest(files, ("*.log",))
