"""docs/reference.md is what the code says, and what a finished run holds; links and flags in all pages exist."""

from __future__ import annotations

import fnmatch
import json
import re
import runpy
import subprocess
import sys
from itertools import pairwise

import h5py
import pytest
from commands import BIN, ROOT
from documents import PAGES, tokens

from tasks.library import inventory

SAID = runpy.run_path(str(ROOT / "docs" / "generator" / "artifact_files.py"))
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]


@pytest.fixture(scope="module")
def generated(tmp_path_factory):
    """What the generator prints, from another folder and with no configuration but the project's."""
    return subprocess.run(
        [sys.executable, ROOT / "docs" / "generator" / "reference.py"],
        cwd=tmp_path_factory.mktemp("reference"),
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def test_the_reference_is_what_the_code_says(generated):
    written = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
    assert generated == written, "docs/reference.md and the code differ: make docs"


def test_every_stage_flag_and_setting_has_its_line(generated):
    import pipeline
    from tasks.setup import settings

    stages = [name for name in pipeline.__all__ if isinstance(getattr(pipeline, name), type)]
    for name in (*stages, "ConvertOwnData"):
        assert f"\n### {name}\n" in generated
        for flag, _ in getattr(pipeline, name).get_params():
            assert f"| `--{flag.replace('_', '-')}` |" in generated
    for section, options in settings.SETTINGS.items():
        assert f"\n### [{section}]\n" in generated
        for option in options:
            assert f"| `{option}` |" in generated


def test_artifacts_hold_what_the_reference_says(tiny_run):
    folders = [path.parent for path in tiny_run[0].artifacts.glob("*/*/manifest.json")]
    stages = set()
    for folder in folders:
        manifest = json.loads((folder / "manifest.json").read_text())
        assert manifest.keys() == SAID["MANIFEST"].keys()
        stage = manifest["key"]["stage"]
        stages.add(stage)
        said = SAID["FILES"][stage]
        for pattern in said:
            assert fnmatch.filter(manifest["files"], pattern), f"{stage} has no {pattern}"
        for file in manifest["files"]:
            patterns = [pattern for pattern in said if fnmatch.fnmatch(file, pattern)]
            assert patterns, f"{stage}: the reference does not know {file}"
            if isinstance(content := said[patterns[0]], dict):
                compare(folder / file, content)
    assert {"MakeSample", "ExtractFeatures", "TrainModel", "PredictAnswers", "Report"} <= stages


def test_stages_and_the_reference_name_the_same_files():
    """By `contents` gc knows an artifact that has lost its manifest. Names of downloads are the catalog's."""
    for name, stage in inventory.stages().items():
        if stage.__module__.startswith("tasks."):
            said = tuple(SAID["FILES"][stage.__name__])
            assert stage.contents and said in (stage.contents, ("*",)), name


OF_SOME = {"attention", "part"}
"""What not every run's files have."""


def compare(path, said):
    """The parts of one file: names, and for HDF5 also types and ranks."""
    if path.suffix == ".json":
        assert said.keys() - OF_SOME <= json.loads(path.read_text()).keys() <= said.keys(), path
        return
    with h5py.File(path) as file:
        assert said.keys() - OF_SOME <= set(file) <= said.keys(), path
        for name, (kind, shape, _) in ((name, said[name]) for name in file):
            assert ("text" if file[name].dtype.kind == "S" else str(file[name].dtype)) == kind, (
                f"{path} {name}"
            )
            rank = len(shape.strip("()").rstrip(",").split(","))
            assert file[name].ndim == rank, f"{path} {name}: {file[name].shape}, not {shape}"


# ------------------------------------------------------------------------------------------------- links and flags


def slug(heading):
    """The anchor that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def anchors(page):
    parsed = tokens(page)
    pairs = pairwise(parsed)
    return {slug(inner.content.replace("`", "")) for outer, inner in pairs if outer.type == "heading_open"}


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_links_and_pictures_are_there(page):
    for token in tokens(page):
        for child in token.children or ():
            target = child.attrGet("href") or child.attrGet("src")
            if not target or re.match(r"[a-z]+:", str(target)):
                continue
            path, _, anchor = str(target).partition("#")
            there = (page.parent / path).resolve() if path else page
            assert there.exists(), f"{page.name}: {target}"
            if anchor:
                assert anchor in anchors(there), f"{page.name}: {target}"


def test_every_page_is_in_the_list():
    listed = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    for page in (ROOT / "docs").glob("*.md"):
        assert page.name == "index.md" or f"({page.name})" in listed, page.name


FOREIGN = {
    "the original's train.py": "--epoch --type --batch_size --data_limit --learning_rate",
    "ray": "--head --address --port --dashboard-host --node-manager-port --object-manager-port --min-worker-port "
    "--max-worker-port --metrics-export-port --ray-client-server-port",
    "pip and pip-audit": "--no-deps --disable-pip",
    "rsync": "--copy-links --exclude",
    "luigid": "--background --pidfile --logdir --state-path --address --port",
    "tensorboard": "--logdir",
    "docker, slurm and the like": "--gpus --gres --cpus-per-task --time --wrap --shm-size --requeue --open-mode "
    "--signal",
}


def test_every_flag_can_be_typed(generated):
    """Before it knows our stages, luigi takes a flag that is the beginning of one of its own for that one."""
    ours = re.findall(r"^\| `(--[\w-]+)` \|", generated.partition("## Flags")[2].partition("\n## ")[0], re.M)
    assert {"--dataset", "--lr-schedule", "--rerun"} <= set(ours)
    values = {"--rerun": (), "--dataset": ("sample",), "--model": ("deeper-lstm",), "--backbone": ("vgg16",)}
    words = [word for flag in ours for word in (flag, *values.get(flag, ("1",)))]
    done = subprocess.run(
        [BIN / "luigi", "--module", "pipeline", "RunAll", *words, "--help"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_every_flag_that_is_named_exists(generated):
    known = set(re.findall(r"--[\w-]+", " ".join(FOREIGN.values()) + generated))
    luigis = subprocess.run(
        [BIN / "luigi", "--module", "pipeline", "RunAll", "--help-all"], capture_output=True, text=True
    )
    known |= set(re.findall(r"--[\w-]+", luigis.stdout))
    for path in (ROOT / "bench").glob("*.py"):
        known |= set(re.findall(r'"(--[\w-]+)"', path.read_text(encoding="utf-8")))
    assert "--workers" in known and "--scheduler-host" in known
    for page in PAGES:
        named = set(re.findall(r"(?<![\w-])--[a-zA-Z][\w-]*", page.read_text(encoding="utf-8")))
        assert not named - known, f"{page.name} names flags that there are not"
