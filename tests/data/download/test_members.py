"""Pictures out of a remote zip, against servers that serve ranges, or lie about them, or do not know them."""

from __future__ import annotations

import errno
import io
import random
import re
import shutil
import zipfile
from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import pytest
from bad_server import Answer, Babbler, BadServer
from PIL import Image

from data.base.errors import DataError
from data.catalog.entries import ImageSet, Source
from data.containers.archives import Archive
from data.download import remote_zip
from data.download.members import ONE_BY_ONE, fetch_members
from data.download.resume import Part
from data.download.watch import Patience
from data.pictures.image_sets import open_images

QUICK = Patience(attempts=4, connect=5, silence=5, first_wait=0.01, longest_wait=0.2)
COUNT = 60
IDS = range(0, COUNT, 3)


def a_picture(seed: int) -> bytes:
    """A JPEG of about 2 kB."""
    pixels = random.Random(seed).randbytes(3 * 40 * 40)
    buffer = io.BytesIO()
    Image.frombytes("RGB", (40, 40), pixels).save(buffer, "JPEG")
    return buffer.getvalue()


def name_of(image_id: int) -> str:
    return f"train2014/COCO_train2014_{image_id:012}.jpg"


def a_zip(first: int = 0, count: int = COUNT, comment: bytes = b"") -> bytes:
    """Pictures in an order of their own, every seventh deflated, some with an extra field in the local header."""
    buffer = io.BytesIO()
    order = list(range(count))
    random.Random(first).shuffle(order)
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("train2014/", b"")
        for number in order:
            info = zipfile.ZipInfo(name_of(number), (2014, 8, 16, 1, 2, 4))
            info.compress_type = zipfile.ZIP_STORED if number % 7 else zipfile.ZIP_DEFLATED
            info.extra = b"UT\5\0\3abcd" if number % 2 else b""
            archive.writestr(info, a_picture(first + number))
        archive.comment = comment
    return buffer.getvalue()


ZIP = a_zip()
OTHER = a_zip(1000)
PAGE = b"<!DOCTYPE html><html><head><title>Sign in</title></head></html>"


@pytest.fixture
def server():
    with BadServer(train2014_zip=ZIP) as serving:
        yield serving


@pytest.fixture
def fetch(server, tmp_path):
    """Fetch pictures of the server's zip; returns the record once they are found to be the right ones."""

    def run(*more_urls, ids=IDS, content=ZIP, pictures=(), count=COUNT, file_bytes=-1, **options):
        urls = (server.url + "train2014.zip", *more_urls)
        size = len(content) if file_bytes == -1 else file_bytes
        source = Source("train2014", "train2014.zip", urls, sha256="0" * 64, bytes=size)
        image_set = ImageSet("train2014", source, count, "COCO_train2014_", pictures=tuple(pictures))
        to = tmp_path / "out" / "small.zip"
        options = {"parts": tmp_path / "parts", "patience": QUICK} | options
        fetched = fetch_members(image_set, ids, to, **options)
        right(to, ids, content)
        assert (fetched.pictures, fetched.bytes) == (len(ids), to.stat().st_size)
        assert list((tmp_path / "parts").iterdir()) == []
        return fetched

    return run


def right(to: Path, ids, content: bytes = ZIP) -> None:
    with zipfile.ZipFile(io.BytesIO(content)) as whole, zipfile.ZipFile(to) as small:
        assert small.namelist() == [name_of(number) for number in sorted(ids)]
        for info in small.infolist():
            assert small.read(info) == whole.read(info.filename)
            assert info.compress_type == zipfile.ZIP_STORED


def failure(fetch, *words, **options) -> str:
    with pytest.raises(DataError) as caught:
        fetch(*words, **options)
    return str(caught.value)


# --------------------------------------------------------------------------------------------- a good server


def test_the_pictures_come_with_little_else(fetch, server, tmp_path):
    fetched = fetch()
    sizes = [len(a_picture(number)) for number in IDS]
    assert fetched.transferred == server.sent <= sum(sizes) + 600 * len(IDS) + 4096 + 100 * (COUNT + 1)
    assert fetched.url == server.url + "train2014.zip" and fetched.failures == () and fetched.one_by_one == 0
    (tmp_path / "whole.zip").write_bytes(ZIP)
    assert fetched.directory == Archive(tmp_path / "whole.zip").index.directory
    assert server.opened == 1


def test_every_way_gives_the_same_bytes(fetch, tmp_path):
    remote = fetch()
    (tmp_path / "mine").mkdir()
    whole = tmp_path / "mine" / "train2014.zip"
    whole.write_bytes(ZIP)
    assert fetch(have=whole).sha256 == remote.sha256
    mirrored = fetch(mirror=(tmp_path / "mine").as_uri())
    assert (mirrored.sha256, mirrored.transferred, mirrored.directory) == (remote.sha256, 0, remote.directory)
    with zipfile.ZipFile(whole) as archive:
        archive.extractall(tmp_path / "mine")
    whole.unlink()
    assert fetch(mirror=(tmp_path / "mine").as_uri()).sha256 == remote.sha256


def test_what_comes_is_read_as_the_whole_zip_would_be(fetch, tmp_path):
    fetch()
    image_set = ImageSet("train2014", Source("s", "train2014.zip"), None, "COCO_train2014_")
    images = open_images(tmp_path / "out" / "small.zip", image_set)
    assert images.ids.tolist() == list(IDS)
    assert images.read(2) == a_picture(6)


@pytest.mark.parametrize("limit", [None, 2])
def test_several_come_at_a_time_over_connections_that_are_kept(fetch, server, limit):
    """At most 16, and fewer where the server takes no more: its refusals do not end the transfer."""
    content = plain_zip({name_of(number): bytes([number % 251]) * 2000 for number in range(800)}, step=7)
    server.files["train2014.zip"], server.limit = content, limit
    server.usual = Answer(pace=0.002)
    fetched = fetch(ids=range(0, 800, 2), content=content, count=800)
    assert fetched.transferred <= 1.5 * fetched.bytes
    if limit is None:
        assert 1 < server.most_open == server.opened <= 16
    else:
        assert len(server.requests) < 500


def test_neighbours_come_in_one_request(fetch, server):
    content = plain_zip({name_of(number): bytes([number % 251]) * 200 for number in range(800)})
    server.files["train2014.zip"] = content
    fetched = fetch(ids=range(800), content=content, count=800)
    assert len(server.requests) < 200
    assert fetched.transferred <= len(content) + 4096
    assert (
        max(span(request) for request in server.requests[2:]) <= fetched.bytes / 100
    )  # a kill loses as much


def test_what_lies_between_far_neighbours_does_not_come(fetch, server):
    content = plain_zip({name_of(number): bytes([number % 251]) * 3000 for number in range(200)})
    server.files["train2014.zip"] = content
    fetched = fetch(ids=range(0, 200, 2), content=content, count=200)
    assert fetched.transferred <= 100 * 3100 + 200 * 110 + 4096


def plain_zip(members: dict[str, bytes], step: int = 1) -> bytes:
    """Stored members, each `step` places behind the one before it by name."""
    names, buffer = list(members), io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for place in range(len(names)):
            name = names[place * step % len(names)]
            archive.writestr(name, members[name])
    return buffer.getvalue()


def offset_of(image_id: int) -> int:
    return zipfile.ZipFile(io.BytesIO(ZIP)).getinfo(name_of(image_id)).header_offset


def span_start(request: dict[str, str]) -> int:
    return int(request["range"].removeprefix("bytes=").split("-")[0])


def span(request: dict[str, str]) -> int:
    return int(request["range"].split("-")[1]) + 1 - span_start(request)


def test_a_zip_with_a_long_comment_and_headers_with_long_extra_fields(fetch, server):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for number in range(COUNT):
            info = zipfile.ZipInfo(name_of(number))
            info.extra = b"xx\xd0\x07" + bytes(2000)
            archive.writestr(info, a_picture(number))
        archive.comment = b"c" * 60_000
    server.files["train2014.zip"] = buffer.getvalue()
    fetch(content=buffer.getvalue())


def test_an_archive_of_unknown_length(fetch):
    fetch(file_bytes=None)


def test_progress_counts_pictures_and_bytes(fetch):
    seen = []
    fetched = fetch(progress=lambda *now: seen.append(now))
    pictures = [now for now in seen if "pictures" in now[2]]
    assert pictures[-1][2].startswith("20 of 20 pictures, from http")
    assert pictures[-1][0] == pictures[-1][1] < fetched.bytes  # without the small zip's own directory
    assert any(now[2] == "the directory of train2014.zip" and now[0] == now[1] for now in seen)


# ------------------------------------------------------------------------------------- servers that misbehave


def test_drops_and_stalls_are_gone_on_from_where_they_happened(fetch, server):
    server.script = [
        *(Answer(drop_after=1000), Answer(drop_after=0), Answer(), Answer(drop_after=700)),
        *(Answer(stall_after=500), Answer(), Answer(stall_after=0), Answer(drop_after=300)),
    ]
    assert fetch(patience=replace(QUICK, silence=0.5)).transferred == server.sent < len(ZIP)
    assert server.requests[1]["range"] == f"bytes={len(ZIP) - 4096 + 1000}-{len(ZIP) - 1}"
    assert all(request["if-range"] == '"one"' for request in server.requests[1:])


def test_a_piece_in_pieces(fetch, server):
    server.usual = Answer(most=1500)
    fetch()


@pytest.mark.parametrize("status", [429, 503])
def test_busy_servers_are_asked_again(fetch, server, status):
    busy = Answer(status, headers={"Retry-After": "0"})
    server.script = [busy, Answer(), Answer(status), busy, Answer(), Answer(), busy]
    fetch()


def test_a_server_that_stays_busy_is_given_up(fetch, server):
    server.script = [Answer(429, headers={"Retry-After": "3600"})]
    with BadServer(train2014_zip=ZIP) as second:
        fetched = fetch(second.url + "train2014.zip")
    assert "asks to wait 3,600 s" in fetched.failures[0] and len(server.requests) == 1
    server.usual = Answer(503)
    assert "gave up after 4 fruitless attempts: HTTP 503" in failure(fetch)


@pytest.mark.parametrize("first_good", [0, 2, 5])
@pytest.mark.parametrize(
    "bad, why",
    [
        (Answer(404), "HTTP 404"),
        (Answer(shift=1), "was sent bytes"),
        (Answer(total="1000000000"), f"found 1,000,000,000 bytes, expected {len(ZIP):,}"),
        (Answer(total="none"), "was sent no Content-Range"),
        (Answer(more=3), "sends more than the"),
        (Answer(headers={"Content-Encoding": "gzip"}), "another encoding: gzip"),
        (Answer(body=PAGE, ignore_range=True), "found a web page titled 'Sign in', expected train2014.zip"),
        (Answer(body=ZIP[:-1], ignore_range=True), f"found {len(ZIP) - 1:,} bytes, expected {len(ZIP):,}"),
        (Answer(flip=-1), ""),
    ],
)
def test_a_lying_server_is_refused_and_the_next_one_brings_the_rest(fetch, server, bad, why, first_good):
    server.script, server.usual = [Answer()] * first_good, bad
    assert why in failure(fetch)
    server.script = [Answer()] * first_good
    with BadServer(train2014_zip=ZIP) as second:
        fetched = fetch(second.url + "train2014.zip")
    assert fetched.url == second.url + "train2014.zip" and why in fetched.failures[0]


def test_wrong_bytes_are_fetched_again_once(fetch, server):
    server.script = [Answer(), Answer(), Answer(flip=500), Answer(), Answer(flip=500)]
    assert fetch().failures == ()


def test_a_picture_that_stays_wrong_is_named(fetch, server, tmp_path):
    at = offset_of(9) + 200
    server.files["train2014.zip"] = ZIP[:at] + bytes([ZIP[at] ^ 1]) + ZIP[at + 1 :]
    said = failure(fetch)
    assert f"{name_of(9)} is damaged there: Bad CRC-32" in said
    assert "3 pictures that arrived are kept" in said and "[sources] mirror = file:///" in said
    with BadServer(train2014_zip=ZIP) as second:
        fetched = fetch(second.url + "train2014.zip")
    assert fetched.url.startswith(second.url) and second.sent < len(ZIP)


@pytest.mark.parametrize("etag", ['"two"', '"one"', None])
def test_a_zip_that_changes_midway_is_begun_anew(fetch, server, etag):
    """Of one length; where its ETag does not tell, the pictures' CRC does."""
    before, after = (
        plain_zip({name_of(n): bytes([n + more]) * 300 for n in range(COUNT)}) for more in (0, 99)
    )
    server.files["train2014.zip"] = after
    server.script = [Answer(body=before, etag=etag and '"one"')] * 5
    server.usual = Answer(etag=etag)
    assert fetch(content=after).failures == ()


def test_a_zip_that_keeps_changing_comes_to_an_end(fetch, server):
    server.script = [Answer(etag=f'"{number}"', ignore_if_range=True) for number in range(50)]
    assert "the file has changed there: ETag was" in failure(fetch)
    assert len(server.requests) < 10


def test_a_date_tells_as_well(fetch, server):
    dates = [{"Last-Modified": f"Wed, 2{day} Oct 2015 07:28:00 GMT"} for day in (1, 2)]
    server.script = [Answer(etag=None, headers=dates[0], ignore_if_range=True)] * 4
    server.usual = Answer(etag=None, headers=dates[1], ignore_if_range=True)
    fetch()
    assert server.requests[3]["if-range"] == dates[0]["Last-Modified"]


@pytest.mark.parametrize("status", [200, 206])
def test_a_flood_is_not_kept(fetch, server, status):
    head = f"HTTP/1.1 {status} OK\r\nContent-Range: bytes {len(ZIP) - 4096}-{len(ZIP) - 1}/{len(ZIP)}\r\n\r\n"
    with Babbler(head.encode(), b"PK\3\4" * 1000, 0.0) as babbler:
        server.script = [Answer(404)]
        fetched = fetch(f"http://127.0.0.1:{babbler.port}/train2014.zip", server.url + "train2014.zip")
        assert babbler.sent < 32 << 20
    assert len(fetched.failures) == 2


# ----------------------------------------------------------------------- servers that give no parts of a file


def serve_pictures(server: BadServer, ids=IDS) -> str:
    server.usual = Answer(ignore_range=True)
    server.files |= {Path(name_of(number)).name: a_picture(number) for number in ids}
    return server.url


def test_where_range_is_ignored_each_comes_from_its_address(fetch, server, tmp_path):
    base = serve_pictures(server)
    fetched = fetch(pictures=[base])
    assert (fetched.one_by_one, fetched.directory, fetched.url) == (len(IDS), "", base)
    assert fetched.failures == (
        f"{server.url}train2014.zip: sends the whole file where a part was asked for",
    )
    assert server.requests[1]["path"] == f"/{name_of(0)}"
    assert zipfile.ZipFile(tmp_path / "out" / "small.zip").comment == ONE_BY_ONE


def test_a_mirror_that_gives_parts_is_asked_before_that(fetch, server):
    base = serve_pictures(server)
    with BadServer(train2014_zip=ZIP) as second:
        assert fetch(second.url + "train2014.zip", pictures=[base]).one_by_one == 0


def test_no_address_of_single_pictures(fetch, server):
    server.usual = Answer(ignore_range=True)
    assert "sends the whole file where a part was asked for" in failure(fetch)


@pytest.mark.parametrize(
    "bad, why",
    [
        (Answer(404), "HTTP 404"),
        (Answer(body=PAGE), "found a web page"),
        (Answer(body=a_picture(0)[:-900]), "is not a picture: image file is truncated"),
        (Answer(body=a_picture(0), drop_after=500), "500 bytes read"),
        (Answer(body=a_picture(0), chunked=True), "announces no bytes"),
    ],
)
def test_a_picture_that_does_not_come_whole_is_refused(fetch, server, bad, why):
    base = serve_pictures(server)
    server.script = [Answer(ignore_range=True)] + [bad] * 4
    said = failure(fetch, pictures=[base])
    assert why in said and f"{base}: {name_of(0)}: " in said
    server.script = [Answer(ignore_range=True)] + [bad] * 4
    with BadServer() as second:
        serve_pictures(second)
        assert fetch(pictures=[base, second.url]).url == second.url


def test_range_that_is_ignored_midway_leaves_the_directory_in_force(fetch, server):
    """Each picture is then held against it, whatever address it comes from."""
    serve_pictures(server)
    server.script = [Answer()] * 8
    fetched = fetch(pictures=[server.url])
    assert fetched.one_by_one == 0 and fetched.directory
    server.script = [Answer()] * 8
    server.files[Path(name_of(57)).name] = a_picture(1)
    assert f"{name_of(57)}: is not the picture that the zip has" in failure(fetch, pictures=[server.url])


def test_what_came_one_by_one_is_held_against_a_directory_that_comes_later(fetch, server, tmp_path):
    serve_pictures(server, [number for number in IDS if number < 30])
    server.files[Path(name_of(3)).name] = a_picture(1)
    assert "10 pictures that arrived are kept" in failure(fetch, pictures=[server.url])
    server.usual = Answer()
    assert fetch(pictures=[server.url]).one_by_one == 0


# ---------------------------------------------------------------------------------------------- what is kept


def test_a_second_run_goes_on(fetch, server, tmp_path):
    server.script, server.usual = [Answer()] * 10, Answer(404)
    assert "8 pictures that arrived are kept" in failure(fetch)
    names = {path.name for path in (tmp_path / "parts").iterdir()}
    assert names == {
        f"{stem}{end}" for stem in {min(names, key=len)} for end in ("", ".directory", ".directory.json")
    }
    server.usual, before = Answer(), len(server.requests)
    fetch()
    assert [span_start(request) for request in server.requests[before:]] == [
        len(ZIP) - 4096,
        *(offset_of(number) for number in IDS[8:]),
    ]


@pytest.mark.parametrize("which", [".part", ".directory", ".directory.json"])
def test_what_is_damaged_meanwhile_comes_again(fetch, server, tmp_path, which):
    server.script, server.usual = [Answer()] * 10, Answer(404)
    failure(fetch)
    [path] = (path for path in (tmp_path / "parts").iterdir() if path.name.endswith(which))
    content = path.read_bytes()
    path.write_bytes(
        content[:3000] + b"flipped" + content[3007:] if which != ".directory.json" else b"{broken"
    )
    server.usual = Answer()
    fetch()


def test_pictures_of_an_earlier_small_zip_do_not_come_again(fetch, server, tmp_path):
    fetch()
    earlier = tmp_path / "earlier.zip"
    shutil.move(tmp_path / "out" / "small.zip", earlier)
    server.sent = 0
    fetched = fetch(ids=range(0, COUNT, 2), earlier=[earlier, tmp_path / "gone.zip"])
    assert fetched.transferred < 4096 + 100 * COUNT + 20 * 2500
    again = {span_start(request) for request in server.requests[-20:]}
    assert again.isdisjoint(offset_of(number) for number in IDS)


def test_an_earlier_zip_with_another_picture_by_this_name_is_left_aside(fetch, server, tmp_path):
    server.files["train2014.zip"] = OTHER
    fetch(content=OTHER)
    earlier = tmp_path / "earlier.zip"
    shutil.move(tmp_path / "out" / "small.zip", earlier)
    server.files["train2014.zip"] = ZIP
    fetch(earlier=[earlier])


# ------------------------------------------------------------------------------------------------ plain errors


def test_pictures_that_the_zip_lacks_are_counted_and_named(fetch, server, tmp_path):
    lacks = (
        f"lacks 4 of the 6 pictures that are needed: {name_of(60)}, {name_of(77)}, {name_of(78)}; and 1 more"
    )
    assert lacks in failure(fetch, ids=[0, 5, 60, 77, 78, 1000])
    assert len(server.requests) == 2
    (tmp_path / "whole.zip").write_bytes(ZIP)
    said = failure(fetch, ids=[0, 5, 60, 77, 78, 1000], have=tmp_path / "whole.zip")
    assert said == f"{tmp_path}/whole.zip: {lacks}"


def test_a_copy_of_another_length_is_refused(fetch, tmp_path):
    (tmp_path / "whole.zip").write_bytes(ZIP)
    why = f"whole.zip: found {len(ZIP):,} bytes, expected 99"
    assert why in failure(fetch, file_bytes=99, have=tmp_path / "whole.zip")
    url = (tmp_path / "whole.zip").as_uri()
    assert why in failure(fetch, url, file_bytes=99)
    assert fetch("http://127.0.0.1:1/", url, have=None, mirror=None).pictures == len(IDS)


def test_a_damaged_copy_is_refused(fetch, tmp_path):
    at = offset_of(9) + 200
    (tmp_path / "whole.zip").write_bytes(ZIP[:at] + b"flipped" + ZIP[at + 7 :])
    assert f"{name_of(9)} is damaged" in failure(fetch, have=tmp_path / "whole.zip")


def test_ids_that_come_from_the_order_of_all_names_are_refused(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("a.jpg", "b.jpg", "c7.jpg"):
        (folder / name).write_bytes(a_picture(0))
    photos = ImageSet("photos", Source("photos", "photos", path=folder), None, "")
    with pytest.raises(DataError, match="gives pictures their ids by their order"):
        fetch_members(photos, [2], tmp_path / "small.zip", parts=tmp_path / "parts")
    (folder / "b.jpg").rename(folder / "b2.jpg")
    (folder / "a.jpg").rename(folder / "a1.jpg")
    fetch_members(replace(photos, ids="numbers"), [7], tmp_path / "small.zip", parts=tmp_path / "parts")
    assert zipfile.ZipFile(tmp_path / "small.zip").namelist() == ["c7.jpg"]


@pytest.mark.parametrize("content, why", [(b"x" * 5000, "File is not a zip file"), (ZIP[:-500], "")])
def test_what_is_not_a_whole_zip_is_refused(fetch, server, content, why):
    server.files["train2014.zip"] = content
    assert f"not a zip that can be used: {why}" in failure(fetch, file_bytes=len(content))


def test_a_picture_that_declares_more_than_a_picture_has_is_not_fetched(fetch, monkeypatch, server):
    monkeypatch.setattr(remote_zip, "PICTURE_BYTES", 1500)
    assert re.search(rf"{name_of(0)} declares [0-9,]+ bytes; at most 1,500 are read", failure(fetch))
    assert len(server.requests) == 2


def test_a_kill_before_the_last_step_costs_nothing(fetch, server, monkeypatch):
    def killed(*_):
        raise RuntimeError

    with monkeypatch.context() as patch, pytest.raises(RuntimeError):
        patch.setattr(Part, "finish", killed)
        fetch()
    before = len(server.requests)
    fetch()
    assert len(server.requests) == before + 1


def test_a_directory_that_would_fill_the_disk_is_not_fetched(fetch, server):
    end = zipfile.sizeEndCentDir if hasattr(zipfile, "sizeEndCentDir") else 22
    lying = bytearray(ZIP)
    lying[-end + 12 : -end + 16] = (len(ZIP) - end).to_bytes(4, "little")
    server.files["train2014.zip"] = bytes(lying)
    assert "Bad magic number for central directory" in failure(fetch)


def test_no_room_is_told_before_pictures_come(fetch, server, monkeypatch, tmp_path):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(0, 0, 10_000))
    said = failure(fetch)
    assert (
        said.startswith("train2014.zip: ")
        and f"bytes to come, but {tmp_path / 'parts'} has only 10,000 free" in said
    )
    assert len(server.requests) == 2


def test_a_disk_that_fills_is_one_line_and_what_came_is_kept(fetch, monkeypatch, tmp_path):
    usual = Part.write

    def write(part, chunk):
        if part.size > 10_000:
            raise OSError(errno.ENOSPC, "No space left on device")
        usual(part, chunk)

    with monkeypatch.context() as patch:
        patch.setattr(Part, "write", write)
        said = failure(fetch)
    assert said == (
        f"train2014.zip: can't be written to {tmp_path}/parts: No space left on device; make room; what arrived is kept"
    )
    assert fetch().transferred < len(ZIP) / 3


def test_nothing_wanted_is_an_empty_zip(fetch):
    assert fetch(ids=[]).pictures == 0


def test_a_host_without_an_address_and_a_dead_proxy_are_one_line_each(tmp_path, monkeypatch):
    source = Source("s", "train2014.zip", ("http://not.a.real.host.invalid/train2014.zip",), bytes=len(ZIP))
    image_set = ImageSet("train2014", source, COUNT, "COCO_train2014_")

    def said() -> list[str]:
        with pytest.raises(DataError) as caught:
            fetch_members(image_set, IDS, tmp_path / "small.zip", parts=tmp_path / "parts", patience=QUICK)
        return str(caught.value).splitlines()

    assert len(said()) == 3 and "not.a.real.host.invalid" in said()[1]
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("no_proxy", "")
    assert len(said()) == 3 and "Connection refused" in said()[1]


def test_a_proxy_of_the_environment_is_used(server, tmp_path, monkeypatch):
    monkeypatch.setenv("http_proxy", server.url)
    monkeypatch.setenv("no_proxy", "")
    source = Source("s", "train2014.zip", ("http://not.a.real.host.invalid/train2014.zip",), bytes=len(ZIP))
    image_set = ImageSet("train2014", source, COUNT, "COCO_train2014_")
    fetch_members(image_set, IDS, tmp_path / "small.zip", parts=tmp_path / "parts", patience=QUICK)
    right(tmp_path / "small.zip", IDS)


def test_no_password_is_printed_or_stored(fetch, server, tmp_path):
    server.script, server.usual = [Answer()] * 5, Answer(404)
    secret = server.url.replace("http://", "http://me:s3cret@")
    assert "s3cret" not in failure(fetch, mirror=secret)
    assert all(b"s3cret" not in path.read_bytes() for path in (tmp_path / "parts").iterdir())
    server.usual = Answer()
    assert "s3cret" not in fetch(mirror=secret).url
