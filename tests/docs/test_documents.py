"""README and docs do what they say: their code blocks are run, or planned where this machine can't run them."""

from __future__ import annotations

import ast
import configparser
import csv
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import tomllib
from itertools import pairwise
from pathlib import Path

import pytest
from commands import BIN, ROOT, SMALL, tiny_catalog
from documents import FILES, PAGES, blocks, fault, first_missing, outputs, script, tokens

FROM_NOTHING = ("README.md", "docs/tutorial.md")
"""Pages that begin with no artifacts; the others find a finished run of the sample, as their readers do."""

COMMAND = re.compile(r"^\s*(\$ )?(luigi|python|make|pip|ray|git|cd|cp|mkdir) ", re.M)
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_block_is_looked_at(page):
    of_page = blocks(page)
    assert not [why for block in of_page if (why := fault(block))]
    for before, block in zip([None, *of_page], of_page, strict=False):
        if block.words == ("text",):
            ran = before is not None and before.kind == "sh" and not before.marked
            assert ran, (
                f"{block.place}: no command that is run stands before it (`text shown`: for the eye only)"
            )
    for token in tokens(page):
        if token.type == "code_block":
            assert not COMMAND.search(token.content), (
                f"{page}: fence this, so that it is run: {token.content}"
            )


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_what_is_not_run_is_parsed(page):
    for block in blocks(page):
        if block.kind == "sh":
            done = subprocess.run(["bash", "-n"], input=block.content, capture_output=True, text=True)
            assert done.returncode == 0, f"{block.place}: {done.stderr}"
        elif block.words == ("python", "excerpt"):
            ast.parse(f"{{\n{block.content}\n}}" if block.content.lstrip()[0] == '"' else block.content)
        elif block.kind in FILES:
            parse(block.kind, block.content)


def parse(kind, content):
    """Read a file's text; a luigi.cfg must hold settings that there are."""
    if kind == "ini":
        from tasks.setup import flags, settings

        names = {name.lower() for name, value in vars(flags).items() if isinstance(value, flags.Flag)}
        known = {section: set(options) for section, options in settings.SETTINGS.items()} | {
            "experiment": names
        }
        stated = configparser.RawConfigParser()
        stated.read_string(content)
        for section in stated.sections():
            assert section in (*known, *settings.LUIGIS), section
            assert set(stated[section]) <= known.get(section, set(stated[section])), section
    elif kind == "csv":
        assert len({len(row) for row in csv.reader(content.splitlines())}) == 1
    else:
        (tomllib.loads if kind == "toml" else json.loads)(content)


# ---------------------------------------------------------------------------------------------------- running pages


@pytest.fixture
def walk(tmp_path, tiny_run):
    """Runs the blocks of a page as one reader would, in one shell, in a folder of its own: walk(page) → outputs."""
    started: list[subprocess.Popen[bytes]] = []
    room = tmp_path / "room"
    here = room / "vqa"  # as if the project were cloned here
    here.mkdir(parents=True)
    (here / ".venv").symlink_to(sys.prefix)
    port = free_port()
    (room / "test.cfg").write_text(
        f"{SMALL}[paths]\nartifacts = {here}/data/artifacts\n[sources]\nmirror =\n"
        f"[core]\ndefault-scheduler-port = {port}\n"
    )
    draw_pictures(room / "home" / "Pictures")

    def run(page):
        name = str(page.relative_to(ROOT))
        text = script(page, room)
        if name not in FROM_NOTHING:
            shutil.copytree(tiny_run[0].artifacts, here / "data" / "artifacts", symlinks=True)
        if any(
            "--scheduler-host localhost" in b.content for b in blocks(page) if b.kind == "sh" and not b.marked
        ):
            started.append(luigid(port, room))
        PREPARE.get(name, lambda folder: None)(here)
        done = subprocess.run(
            ["bash", "-c", text],
            cwd=here,
            env=environment(room),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=900,
        )
        assert done.returncode == 0, f"exit code {done.returncode}:\n{done.stdout}"
        return outputs(done.stdout)

    yield run
    for process in started:
        process.terminate()
        process.wait()


def environment(room):
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LUIGI_", "VQA_"))}
    kept.pop("VIRTUAL_ENV", None)
    return kept | {
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "HOME": str(room / "home"),
        "XDG_CACHE_HOME": os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache")),  # matplotlib's fonts
        "OMP_NUM_THREADS": "2",
        "LUIGI_CONFIG_PATH": str(room / "test.cfg"),
        "VQA_CATALOG": str(catalog(room)),
    }


def catalog(room):
    """The tiny sample's, with published weights of the small backbone, so that runs of real data can be planned."""
    path = tiny_catalog(room)
    with path.open("a", encoding="utf-8") as file:
        file.write('[weights.resnet18]\norigin = "torchvision"\nfile = "resnet18-f37072fd.pth"\n')
    return path


def draw_pictures(folder):
    """Pictures that a reader has: a few of one colour."""
    from PIL import Image

    folder.mkdir(parents=True)
    for name, colour in {"cat": "gray", "dog": "brown", "table": "green", "bus": "red"}.items():
        Image.new("RGB", (320, 240), colour).save(folder / f"{name}.jpg")


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def luigid(port, room):
    """Luigi's central scheduler, for the commands that name one."""
    process = subprocess.Popen(
        [
            BIN / "luigid",
            "--port",
            str(port),
            "--address",
            "127.0.0.1",
            "--state-path",
            room / "luigid.state",
        ],
        cwd=room,
        env=environment(room),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return process
        time.sleep(0.1)
    process.kill()
    raise AssertionError("luigid did not start")


def a_feature_file(folder):
    """The features.h5 that docs/features.md reads from."""
    import numpy as np

    from data.pictures.feature_file import write_features

    ids = [9, 25, 30]
    rows = np.ones((3, 8), np.float16)
    write_features(
        folder / "features.h5", [rows], ids, [f"{number}.jpg" for number in ids], (8,), {"layer": "fc7"}
    )


def own_pictures(folder):
    """The photos/ that docs/own-data.md speaks of."""
    from PIL import Image

    for name in ("cat.jpg", "dog.jpg", "kitchen/table.png"):
        (folder / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (64, 48), "gray").save(folder / "photos" / name)


PREPARE = {"docs/features.md": a_feature_file, "docs/own-data.md": own_pictures}

LONG = ("README.md", "docs/tutorial.md", "docs/how-to.md", "docs/features.md")
RUN = [
    pytest.param(page, id=name, marks=[pytest.mark.slow] if name in LONG else [])
    for page, name in zip(PAGES, NAMES, strict=True)
    if any(one.kind == "sh" or one.words == ("python",) for one in blocks(page))
]


@pytest.mark.timeout(1000)
@pytest.mark.parametrize("page", RUN)
def test_a_page_does_what_it_says(page, walk):
    printed = walk(page)
    of_page = blocks(page)
    for before, block in pairwise(of_page):
        if block.words == ("text",):
            missing = first_missing(block.content, printed[before.place])
            assert not missing, f"{block.place}: not printed: {missing}\n{printed[before.place]}"


def test_a_text_that_is_not_printed_is_found():
    """The comparison itself: numbers and `...` are free, words and their order are not."""
    said = (
        "INFO: built EncodeAnswers in 0.1 s: /x/encode-answers/sample-0123456789abcdef\ndone: 3 stages ran\n"
    )
    assert not first_missing(
        "built EncodeAnswers in 17.3 s: .../encode-answers/sample-fedcba9876543210", said
    )
    assert not first_missing("INFO: built ...\ndone: 21 stages ran", said)
    assert first_missing("done: 3 stages failed", said) == "done: 3 stages failed"
    assert first_missing("done: 3 stages ran\nINFO: built ...", said) == "INFO: built ..."


def test_the_recipe_for_a_row_gives_no_other_picture_s(tmp_path):
    a_feature_file(tmp_path)
    [recipe] = [
        block.content for block in blocks(ROOT / "docs" / "features.md") if "by_name" in block.content
    ]

    def said(code):
        return subprocess.run(
            [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True
        ).stderr

    assert said(recipe) == ""
    for known, absent in (("by_id[25]", "by_id[26]"), ("25.jpg", "26.jpg")):
        assert known in recipe and "KeyError: " in said(recipe.replace(known, absent))
