"""A trained model as one file: the same answers in an empty folder, and what is refused."""

from __future__ import annotations

import hashlib
import json
import pickle
import struct
import zipfile
from pathlib import Path

import hostile
import pytest
from bad_server import BadServer
from commands import Shell, tiny_catalog

from data.base.errors import DataError, Told
from pipeline import load_model

QUESTIONS = "What color is the star?", "Is there a zeppelin?"


@pytest.fixture(scope="module")
def exported(tiny_run, tmp_path_factory):
    """(the shell, its exported model, a picture, what `ask` answers to QUESTIONS in the shell's own folder)."""
    shell, folder = tiny_run[0], tmp_path_factory.mktemp("exported")
    with zipfile.ZipFile(shell.artifact("make-sample") / "sample-val.zip") as archive:
        name = min(name for name in archive.namelist() if name.endswith(".jpg"))
        (folder / "photo.jpg").write_bytes(archive.read(name))
    shell("pipeline", "export-model", "--to", folder / "model.zip")
    answers = shell("pipeline", "ask", folder / "photo.jpg", *QUESTIONS)
    return shell, folder / "model.zip", folder / "photo.jpg", answers


def members(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write(path: Path, contents: dict[str, bytes], kind: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", kind) as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return path


def sealed(contents: dict[str, bytes]) -> dict[str, bytes]:
    """With the members' true hashes: by somebody who means harm, or has another version."""
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    try:
        return changed(contents, "model.json", "sha256", to=digests)
    except (KeyError, ValueError, RecursionError):  # it has no such description
        return contents


def changed(contents: dict[str, bytes], member: str, *keys: str, to: object) -> dict[str, bytes]:
    """With another value at a place of a JSON member."""
    value = json.loads(contents[member])
    place = value
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = to
    return contents | {member: json.dumps(value).encode()}


def test_an_empty_folder_gives_the_same_answers(exported, tmp_path):
    _, path, picture, answers = exported
    shell = Shell(tmp_path)
    assert shell("pipeline", "ask", "--run", path, picture, *QUESTIONS) == answers
    assert "% right of " in answers and "knows nothing else" in answers
    assert not shell.artifacts.exists()


def test_its_members_say_all_and_are_the_same_bytes_each_time(exported, tmp_path):
    shell, path, _, _ = exported
    assert shell("pipeline", "export-model", "--to", tmp_path / "again.zip").startswith(f"{tmp_path}")
    assert (tmp_path / "again.zip").read_bytes() == path.read_bytes()
    about = json.loads(members(path)["model.json"])
    assert set(members(path)) == {"model.json", "config.json", "vocabulary.json", "model.safetensors"}
    accuracy = json.loads((shell.artifact("evaluate-model") / "accuracy.json").read_text())
    assert about["accuracies"][0]["overall"] == accuracy["overall"]
    assert about["backbone"]["weights"] == "random:0" and "sample-train.zip" in about["licences"]


def test_what_is_not_written_leaves_what_was_there(exported, tmp_path):
    shell = exported[0]
    (tmp_path / "folder.zip").mkdir()
    for to, message in (
        (tmp_path / "model.bin", "is called something.zip"),
        (tmp_path / "folder.zip", "is a folder"),
    ):
        assert message in shell("pipeline", "export-model", "--to", to, code=1)
    kept = tmp_path / "kept.zip"
    kept.write_bytes(b"before")
    assert "no such run" in shell("pipeline", "export-model", "nope", "--to", kept, code=1)
    assert kept.read_bytes() == b"before" and len(list(tmp_path.iterdir())) == 2


@pytest.mark.slow
def test_a_model_that_sees_no_picture_names_no_backbone(tiny, exported, tmp_path):
    tiny("luigi", "TrainModel", "--model", "language-only")
    run = tiny.artifact("train-model", "language-only").name
    path = tmp_path / "blind.zip"
    tiny("pipeline", "export-model", run, "--to", path)
    about = json.loads(members(path)["model.json"])
    assert about["backbone"] is None and about["accuracies"] == []
    asked = shares(tiny("pipeline", "ask", "--run", run, exported[2], *QUESTIONS))
    assert len(asked) == 10 and asked == shares(
        tiny("pipeline", "ask", "--run", path, exported[2], *QUESTIONS)
    )


def same_as_drawn(folder: Path) -> Path:
    """The weights of random:0 as a file, named as torch names those that it publishes."""
    import torch
    import torchvision

    torch.manual_seed(0)
    torch.save(torchvision.models.resnet18(weights=None).state_dict(), folder / "w.pth")
    digest = hashlib.sha256((folder / "w.pth").read_bytes()).hexdigest()
    return (folder / "w.pth").rename(folder / f"resnet18-{digest[:8]}.pth")


@pytest.fixture
def with_weights(exported, tmp_path):
    """(a model file whose weights are in a file, that file, which lies elsewhere)."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "here").mkdir()
    weights = same_as_drawn(tmp_path / "elsewhere")
    backbone = json.loads(members(exported[1])["model.json"])["backbone"]
    backbone |= {
        "weights": "file",
        "file": weights.name,
        "sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
    }
    contents = changed(members(exported[1]), "model.json", "backbone", to=backbone)
    return write(tmp_path / "here" / "model.zip", contents), weights


def shares(output: str) -> list[str]:
    return [line for line in output.splitlines() if "%  " in line]


def printed(replies) -> list[str]:
    return [f"  {share:6.1%}  {answer}" for reply in replies for answer, share in reply.answers]


def refused(path: Path, picture: Path) -> str:
    """The one line that says why a model of this file can't look at a picture."""
    with pytest.raises(Told) as caught:
        load_model(path).ask(picture, *QUESTIONS)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_file_of_weights_is_asked_for_by_its_hash(exported, with_weights):
    path, weights = with_weights
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    assert f"put {weights.name}, with sha256 {digest}, beside it" in refused(path, exported[2])
    beside = path.parent / weights.name
    beside.write_bytes(weights.read_bytes() + b"more")
    line = refused(path, exported[2])
    assert f"{beside}: found sha256 " in line and digest in line
    weights.rename(beside)
    assert printed(load_model(path).ask(exported[2], *QUESTIONS)) == shares(exported[3])


def test_published_weights_are_fetched_and_verified(exported, with_weights, artifacts, tmp_path, monkeypatch):
    path, weights = with_weights
    contents = changed(members(path), "model.json", "backbone", "weights", to="pretrained")
    write(path, contents)
    with BadServer(**{weights.name: weights.read_bytes()}) as server:
        catalog = tiny_catalog(tmp_path)
        entry = f'[weights.resnet18]\nurls = ["{server.url}{weights.name}"]\nfile = "{weights.name}"\n'
        with catalog.open("a", encoding="utf-8") as file:
            file.write(f'\n{entry}sha256_prefix = "{weights.stem[-8:]}"\n')
        monkeypatch.setenv("VQA_CATALOG", str(catalog))
        assert printed(load_model(path).ask(exported[2], *QUESTIONS)) == shares(exported[3])
        assert len(server.requests) == 1
        other = weights.stem[-8:] + 56 * "0"
        write(path, changed(contents, "model.json", "backbone", "sha256", to=other))
        assert f"was trained with {other}" in refused(path, exported[2])
        write(path, changed(contents, "model.json", "backbone", "sha256", to=64 * "0"))
        assert "and the catalog here has others" in refused(path, exported[2])
        assert len(server.requests) == 1
    assert len(list(artifacts.glob("download-weights/*"))) == 1


def test_weights_that_can_not_be_fetched_end_in_one_error(exported, with_weights, tmp_path):
    contents = changed(members(with_weights[0]), "model.json", "backbone", "weights", to="pretrained")
    path = write(tmp_path / "pretrained.zip", contents)
    shell = Shell(tmp_path)
    catalog, server = tiny_catalog(tmp_path), BadServer()
    with catalog.open("a", encoding="utf-8") as file:
        entry = f'urls = ["{server.url}w.pth"]\nfile = "{with_weights[1].name}"\n'
        file.write(f'\n[weights.resnet18]\n{entry}sha256_prefix = "{with_weights[1].stem[-8:]}"\n')
    with server:
        said = shell("pipeline", "ask", "--run", path, exported[2], "What?", code=1, VQA_CATALOG=str(catalog))
    errors = [line for line in said.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and "the weights of resnet18 could not be downloaded; run again when" in errors[0]
    assert f"{server.url}w.pth: HTTP 404" in said


def huge_header() -> bytes:
    return struct.pack("<Q", 90 << 20) + b"{" + bytes(100)


def bomb(mark: Path) -> bytes:
    return pickle.dumps(hostile.Bomb(mark))


HOSTILE = {
    "no member": lambda c, mark: {k: v for k, v in c.items() if k != "vocabulary.json"},
    "empty": lambda c, mark: {},
    "a pickle more": lambda c, mark: c | {"data.pkl": bomb(mark)},
    "a pickle for weights": lambda c, mark: c | {"model.safetensors": bomb(mark)},
    "a pickle for words": lambda c, mark: c | {"vocabulary.json": bomb(mark)},
    "a pickle for a description": lambda c, mark: c | {"model.json": bomb(mark)},
    "an absolute name": lambda c, mark: c | {"/etc/model.json": b"{}"},
    "a name that leads out": lambda c, mark: c | {"../model.json": b"{}"},
    "a huge header": lambda c, mark: c | {"model.safetensors": huge_header()},
    "a huge description": lambda c, mark: c | {"model.json": b" " * (2 << 20)},
    "deep JSON": lambda c, mark: c | {"config.json": b"[" * 100_000},
    "deep description": lambda c, mark: c | {"model.json": b'{"format": 1, "a": ' + b"[" * 100_000},
    "another version": lambda c, mark: changed(c, "model.json", "format", to=2),
    "a version that is none": lambda c, mark: changed(c, "model.json", "format", to="1"),
    "no data set": lambda c, mark: changed(c, "model.json", "parameters", to={}),
    "no backbone": lambda c, mark: changed(c, "model.json", "backbone", to=None),
    "a backbone of a server": lambda c, mark: changed(
        c, "model.json", "backbone", "name", to="timm:hf-hub:evil/network"
    ),
    "an absurd picture": lambda c, mark: changed(c, "model.json", "backbone", "image_size", to=10**7),
    "absurd sizes": lambda c, mark: changed(c, "config.json", "architecture", "hidden", to=10**18),
    "other sizes": lambda c, mark: changed(c, "config.json", "architecture", "vocabulary", to=7),
    "an unknown target": lambda c, mark: changed(c, "config.json", "options", "target", to="evil"),
    "a target that is none": lambda c, mark: changed(c, "config.json", "options", "target", to=[]),
    "other words": lambda c, mark: (
        c
        | {
            "vocabulary.json": json.dumps(
                {
                    "words": [],
                    "unknown_id": 1,
                    "answers": [{"answer": "a", "count": 1}],
                    "questions": 1,
                    "kept_questions": 1,
                }
            ).encode()
        }
    ),
}


@pytest.mark.parametrize("harm", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_file_is_one_line_and_runs_nothing(exported, tmp_path, harm):
    mark = tmp_path / "harmed"
    path = write(tmp_path / "model.zip", sealed(harm(members(exported[1]), mark)))
    with pytest.raises(Told) as caught:
        load_model(path)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)
    assert not mark.exists() and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("member", ["model.json", "config.json", "vocabulary.json", "model.safetensors"])
def test_members_of_two_models_are_not_mixed(exported, tmp_path, member):
    """Of models of the same sizes, such as those of two seeds, where each fits each."""
    from safetensors.numpy import load, save

    ours = members(exported[1])
    tensors = load(ours["model.safetensors"])
    tensors["answers.bias"] = -tensors["answers.bias"]
    other = changed(ours, "config.json", "options", "seed", to=1)
    other = changed(other, "vocabulary.json", "kept_questions", to=7)
    other = sealed(other | {"model.safetensors": save(tensors)})
    load_model(write(tmp_path / "other.zip", other))
    path = write(tmp_path / "mixed.zip", ours | {member: other[member]})
    with pytest.raises(DataError, match=r"mixed\.zip: \S+ has sha256 .*; export it again"):
        load_model(path)


def test_packed_members_are_refused_before_they_are_unpacked(exported, tmp_path):
    contents = sealed(members(exported[1]) | {"model.safetensors": bytes(60 << 20)})
    path = write(tmp_path / "model.zip", contents, zipfile.ZIP_DEFLATED)
    with pytest.raises(DataError, match="its members are packed"):
        load_model(path)


@pytest.mark.parametrize(
    ("keys", "value", "message"),
    [
        (("name",), "no-network", "no 'no-network'"),
        (("name",), "resnet50", "resnet50 gives (2048,)"),
        (("layer",), "no-layer", "no-layer"),
        (("weights",), "random:evil", "random:evil"),
        (("weights",), "random:1", "here, with weights=random:1, "),
        (("image_size",), 64, "resized to 64x64"),
    ],
)
def test_another_network_is_refused_with_the_first_picture(exported, tmp_path, keys, value, message):
    contents = changed(members(exported[1]), "model.json", "backbone", *keys, to=value)
    model = load_model(write(tmp_path / "model.zip", contents))
    with pytest.raises(Told) as caught:
        model.ask(exported[2], "What?")
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_a_file_that_is_cut_or_has_a_flipped_byte_is_never_taken_for_whole(exported, tmp_path):
    """Each place of the descriptions and of the directory, and some among the weights."""
    content, answers = exported[1].read_bytes(), load_model(exported[1]).config
    path = tmp_path / "model.zip"
    ends = range(0, len(content), len(content) // 20)
    for end in ends:
        path.write_bytes(content[:end])
        with pytest.raises(Told) as caught:
            load_model(path)
        assert "\n" not in str(caught.value)
    for place in [
        *range(0, 4000, 37),
        *range(4000, len(content), 9973),
        *range(len(content) - 400, len(content), 7),
    ]:
        path.write_bytes(content[:place] + bytes([content[place] ^ 0x10]) + content[place + 1 :])
        try:
            assert load_model(path).config == answers  # a byte that says nothing, such as one of a date
        except Told as error:
            assert "\n" not in str(error)
