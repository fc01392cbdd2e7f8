"""A picture that a table names is found however its name is written; else the message says what lies there."""

from __future__ import annotations

import struct
import unicodedata
import zipfile
import zlib
from pathlib import Path

import pytest

from data.base.errors import DataError
from data.containers.archives import Archive
from data.own.picture_names import PictureNames, described, name_of
from data.pictures.image_sets import open_images


def zipped(path: Path, *names: bytes, flag: bool = False, fields: dict[bytes, bytes] | None = None) -> Path:
    """A zip whose names are these bytes, with the UTF-8 flag or without, and with extra fields by name."""

    class Entry(zipfile.ZipInfo):
        def _encodeFilenameFlags(self):
            return self.written, 0x800 if flag else 0

    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            entry = Entry(name.hex())
            entry.written, entry.create_system = name, 3
            entry.extra = (fields or {}).get(name, b"")
            archive.writestr(entry, name)
    return path


def unicode_path(written: bytes, name: str) -> bytes:
    content = b"\1" + struct.pack("<L", zlib.crc32(written)) + name.encode()
    return struct.pack("<2H", 0x7075, len(content)) + content


def contents(path: Path, *wanted: str) -> list[bytes | str]:
    """The bytes of the pictures of these names, or why there are none."""
    images = open_images(path)
    names = PictureNames(images, wanted)
    results = [names.find(name) for name in wanted]
    return [images.read(images.row(result)) if isinstance(result, int) else result for result in results]


@pytest.mark.parametrize(
    ("encoding", "names"),
    [
        ("utf-8", ["Zürich/Brücke.jpg", "naïve.png", "写真.jpg"]),
        ("cp437", ["Zürich/Brücke.jpg", "mañana.png", "Åse.jpg"]),
        ("cp850", ["Zürich/Brücke.jpg", "São Paulo.png", "Ísafjörður.jpg"]),
        ("cp852", ["Łódź/most.jpg", "Čechy.png"]),
        ("cp866", ["Москва/мост.jpg", "кот.png"]),
        ("cp1252", ["Zürich/Brücke.jpg", "Œuvre.png"]),
        ("cp1251", ["Москва/мост.jpg", "кот.png"]),
        ("gbk", ["照片/猫.jpg", "狗.png", "誠\u4e57.jpg"]),
        ("big5", ["照片/貓.jpg", "狗.png", "功.jpg"]),
        ("cp932", ["写真/猫.jpg", "表.png", "ソ.jpg"]),
        ("cp949", ["사진/고양이.jpg", "개.png"]),
    ],
)
def test_names_in_any_encoding_are_found_by_those_that_are_asked_for(tmp_path, encoding, names):
    written = [name.encode(encoding) for name in names]
    path = zipped(tmp_path / "a.zip", *written, b"plain.jpg")
    assert contents(path, *names, "plain.jpg") == [*written, b"plain.jpg"]
    last = names[0].rpartition("/")[2]
    assert contents(path, unicodedata.normalize("NFD", last)) == [written[0]]


@pytest.mark.parametrize("flag", [True, False])
@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize("name", ["Ånger/é.jpg", "한글.jpg", "Việt Nam.png"])
def test_accents_may_be_letters_of_their_own(tmp_path, name, form, flag):
    written = unicodedata.normalize(form, name).encode()
    path = zipped(tmp_path / "a.zip", written, flag=flag)
    for spelling in ("NFC", "NFD"):
        assert contents(path, unicodedata.normalize(spelling, name)) == [written]


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_so_they_may_in_a_folder_and_the_very_spelling_comes_first(tmp_path, form):
    both = [unicodedata.normalize(spelling, "é.jpg") for spelling in ("NFC", "NFD")]
    wanted = unicodedata.normalize(form, "é.jpg")
    (tmp_path / both[0]).write_bytes(b"NFC")
    assert contents(tmp_path, wanted, f"./{wanted}") == [b"NFC", b"NFC"]
    (tmp_path / both[1]).write_bytes(b"NFD")
    assert contents(tmp_path, wanted) == [form.encode()]


def test_the_unicode_path_field_names_a_member(tmp_path):
    written = {b"cat_.jpg": "котёнок.jpg", b"\x8e.jpg": "é.jpg", b"dog.jpg": "개.jpg"}
    fields = {name: unicode_path(name, text) for name, text in written.items() if not name.isascii()}
    fields[b"\x8f.jpg"] = unicode_path(
        b"another name", "wrong.jpg"
    )  # of a name that was changed since: not counted
    path = zipped(tmp_path / "a.zip", *written, b"\x8f.jpg", fields=fields)
    assert list(open_images(path).names) == ["cat_.jpg", "dog.jpg", "Å.jpg", "é.jpg"]
    assert contents(path, "é.jpg", "Å.jpg") == [b"\x8e.jpg", b"\x8f.jpg"]


def test_where_two_encodings_give_other_pictures_none_is_taken(tmp_path):
    """é is one byte in CP437, and two in UTF-8."""
    path = zipped(tmp_path / "a.zip", "é.jpg".encode("cp437"), "é.jpg".encode(), b"b.jpg")
    said, other = contents(path, "é.jpg", "b.jpg")
    assert (
        other == b"b.jpg" and "'é.jpg' depends on the encoding of the zip's names, which it does not" in said
    )
    assert "UTF-8: " in said and "CP437: é.jpg" in said and len(said) < 300


def test_a_name_that_tells_its_encoding_comes_first(tmp_path):
    """The same name in UTF-8, known by the field, and in CP850, which the zip does not tell."""
    certain, other = "Ø.jpg".encode(), "Ø.jpg".encode("cp850")
    path = zipped(tmp_path / "a.zip", other, certain, fields={certain: unicode_path(certain, "Ø.jpg")})
    assert contents(path, "Ø.jpg") == [certain]


def test_names_of_several_encodings_are_not_mixed(tmp_path):
    """ä in CP1252 is õ in CP850, in which all the others are: it was not meant."""
    path = zipped(tmp_path / "a.zip", *(f"{name}.jpg".encode("cp850") for name in ("é", "Ø", "õ")))
    results = contents(path, "é.jpg", "Ø.jpg", "ä.jpg")
    assert results[:2] == ["é.jpg".encode("cp850"), "Ø.jpg".encode("cp850")]
    assert str(results[2]).startswith("no picture 'ä.jpg'")


def test_what_a_zip_holds_is_shown_where_no_encoding_fits(tmp_path):
    images = open_images(zipped(tmp_path / "a.zip", "Brücke.jpg".encode("cp850"), "猫.jpg".encode("gbk")))
    said = described(images)
    assert (
        "2 pictures" in said
        and "does not say in which encoding 2 of its names are: one is 'Brücke.jpg' in CP437" in said
    )
    assert "It does not say" not in described(open_images(zipped(tmp_path / "b.zip", b"b.jpg")))
    [why] = contents(images.path, "Brucke.jpg")
    assert why == "no picture 'Brucke.jpg'; nearest: 'Brücke.jpg'"


@pytest.mark.parametrize("name", ["Fragen/Übung.json", "质问.json", "вопросы.json"])
def test_any_member_is_found_so(tmp_path, name):
    for encoding in ("utf-8", "gb18030", "cp866", "cp850"):
        try:
            written = name.encode(encoding)
        except UnicodeEncodeError:
            continue
        archive = Archive(zipped(tmp_path / "a.zip", written, b"b.json"))
        assert archive.read(name) == written
    with pytest.raises(DataError, match=r"no member c\.json; nearest: b\.json\. It holds 2 files"):
        archive.read("c.json")


# ----------------------------------------------------------------------------------------- what is not there


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    names = ["dog.jpg", "kitchen/Table_01.JPG", "kitchen/lamp.png", "IMG 0042.jpg"]
    for name in (
        *[
            *names,
            "cat.heic",
            "hall/door.CR2",
            "scan.pdf",
            "drawing.svg",
            "notes.txt",
            "photo",
            "film.mov",
            "moon.jxl",
        ],
        *[
            ".secret.jpg",
            ".thumbs/bird.jpg",
            "a/.b/c/fish.jpg",
            "@eaDir/frog.jpg",
            "__MACOSX/._dog.jpg",
            "x/Thumbs.db",
        ],
        *["x/.DS_Store", "x/@eaDir/dog.jpg/SYNOPHOTO_THUMB_M.jpg", "$RECYCLE.BIN/old.jpg"],
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "far.jpg").write_bytes(b"x")
    (folder / "linked").symlink_to(tmp_path / "elsewhere")
    return folder


@pytest.fixture(params=["folder", "zip"])
def place(request, photos):
    """The same files in a zip, but for the link."""
    if request.param == "folder":
        return photos
    with zipfile.ZipFile(photos.parent / "photos.zip", "w") as archive:
        for path in sorted(photos.rglob("*")):
            if path.is_file() and "linked" not in path.parts:
                archive.write(path, f"photos/{path.relative_to(photos)}")
    return photos.parent / "photos.zip"


def test_what_programs_leave_and_what_is_hidden_is_skipped(place):
    names = {name.removeprefix("photos/") for name in open_images(place).names}
    assert names == {"dog.jpg", "kitchen/Table_01.JPG", "kitchen/lamp.png", "IMG 0042.jpg"}


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("cat.heic", "cat.heic is there, but is HEIC, not decoded here: convert it to JPEG"),
        ("cat.jpg", "cat.heic is there, but is HEIC, not decoded here: convert it to JPEG"),
        ("hall/door.CR2", "but is a camera's raw format, not decoded here: convert it to JPEG"),
        ("photos/hall/door.jpg", "door.CR2 is there, but is a camera's raw format"),
        ("scan.pdf", "scan.pdf is there, but is PDF"),
        ("drawing.svg", "drawing.svg is there, but is SVG"),
        ("moon.jxl", "moon.jxl is there, but is JPEG XL"),
        ("film.mov", "film.mov is there, but is a video"),
        ("notes.txt", "notes.txt is there, but ends in .txt, unlike pictures: rename it or convert it"),
        ("photo", "photo is there, but has no ending, unlike pictures"),
        (".secret.jpg", ".secret.jpg is there, but is hidden, as its name begins with a dot"),
        (".thumbs/bird.jpg", "bird.jpg is there, but is in the hidden folder .thumbs"),
        ("bird.jpg", "bird.jpg is there, but is in the hidden folder .thumbs"),
        ("a/.b/c/fish.jpg", "fish.jpg is there, but is in the hidden folder .b"),
        ("@eaDir/frog.jpg", "frog.jpg is there, but is in @eaDir, where a program keeps its own files"),
        ("old.jpg", "old.jpg is there, but is in $RECYCLE.BIN"),
        ("Dog.JPEG", "; nearest: 'dog.jpg'"),
        ("kitchen/table-01.jpg", "; nearest: 'kitchen/Table_01.JPG'"),
        ("img_0042.png", "; nearest: 'IMG 0042.jpg'"),
        ("kitchen/lmap.png", "; nearest: 'kitchen/lamp.png'"),
        ("zebra.jpg", "no picture 'zebra.jpg'"),
    ],
)
def test_what_is_not_found_is_answered_with_what_lies_there(place, asked, said):
    images = open_images(place)
    why = PictureNames(images, [asked]).find(asked)
    assert isinstance(why, str) and why.startswith(f"no picture {asked!r}") and "\n" not in why
    assert said in why.replace("photos/", "" if "photos/" not in asked else "photos/") and len(why) < 140


@pytest.mark.parametrize(
    "asked", ["linked/far.jpg", "far.jpg", "photos/linked/far.jpg", "/mnt/photos/far.jpg"]
)
def test_a_linked_folder_is_told(photos, asked):
    why = PictureNames(open_images(photos), [asked]).find(asked)
    assert why == (
        f"no picture {asked!r}: it is behind the link linked, and links to folders are not followed: copy it"
    )


def test_a_path_that_leads_elsewhere_is_not_looked_for(photos):
    names = PictureNames(open_images(photos), ["/etc/passwd", "../elsewhere/far2.jpg"])
    assert names.find("/etc/passwd") == "no picture '/etc/passwd'"
    assert "link" not in str(names.find("../elsewhere/far2.jpg"))


def test_many_absent_names_take_little_time(tmp_path):
    for number in range(300):
        (tmp_path / f"picture-{number}.jpg").write_bytes(b"x")
    absent = [f"absent {number}.jpg" for number in range(50_000)]
    names = PictureNames(open_images(tmp_path), absent)
    assert all(isinstance(names.find(name), str) for name in absent)


def test_only_names_that_are_asked_for_are_held(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for number in range(2000):
            archive.writestr(f"a/b/{number}.jpg", b"")
    images = open_images(tmp_path / "a.zip")
    names = PictureNames(images, ["7.jpg", "b/8.jpg", "a/b/9.jpg"])
    ids = [names.find(name) for name in ("7.jpg", "b/8.jpg", "a/b/9.jpg")]
    assert [name_of(images, int(number)) for number in ids] == [f"a/b/{number}.jpg" for number in (7, 8, 9)]
    assert sum(len(table.exact) + len(table.ends) for table in names.tables.values()) < 10
