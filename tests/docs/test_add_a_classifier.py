"""docs/how-to.md: a classifier is a file and a line. The page's own, added to a copy of the project, and trained."""

from __future__ import annotations

import shutil
import zipfile

import pytest
from commands import ROOT, TinyShell
from documents import blocks

PAGE = ROOT / "docs" / "how-to.md"
LINE = "CLASSIFIERS: dict[str, Entry] = {\n"


@pytest.fixture
def copy(tmp_path, tiny):
    """A copy of the project with the page's classifier, and a shell whose commands are the copy's."""
    project = tmp_path / "project"
    for room in ("pipeline", "tasks", "models", "data"):
        ignored = shutil.ignore_patterns("__pycache__", "artifacts")
        shutil.copytree(ROOT / room, project / room, ignore=ignored)
    shutil.copy(ROOT / "luigi.cfg", project)
    texts = [block.content for block in blocks(PAGE)]
    [source], [entry] = (
        [text for text in texts if part in text] for part in ("class MeanOf", '"mean-of-places": ')
    )
    (project / "models/classifiers/mean_of_places.py").write_text(source)
    names = project / "models/classifiers/names.py"
    text = names.read_text()
    assert text.count(LINE) == 1
    names.write_text(text.replace(LINE, LINE + entry))
    return project


def run(shell: TinyShell, project, *words, **more):
    return shell(*words, PYTHONPATH=str(project), **more)


@pytest.mark.slow
def test_the_pages_classifier_is_trained_and_judged_and_moves_nothing(copy, tiny):
    flags = ("--model", "mean-of-places", "--layer", "layer4", "--weights", "random:0")
    before = run(tiny, copy, "pipeline", "plan")
    assert "nothing to do" in before and "source differs" not in before
    planned = run(tiny, copy, "pipeline", "plan", "RunAll", *flags, "--optimiser", "rmsprop")
    assert (
        "--optimiser rmsprop" in planned and "--epochs 2 " in planned
    )  # as luigi.cfg has it, not the recipe
    assert "--optimiser adamw" in run(tiny, copy, "pipeline", "plan", "RunAll", *flags)
    run(tiny, copy, "luigi", "RunAll", *flags)
    assert tiny.artifact("evaluate-model", "mean-of-places")
    said = run(tiny, copy, "pipeline", "plan", "RunAll", *flags, "--hidden", "99")
    assert "nothing to do" in said
    assert "--model mean-of-places reads a grid" in run(
        tiny, copy, "pipeline", "plan", "--model", "mean-of-places", code=1
    )
    with zipfile.ZipFile(next(tiny.artifact("download-images", "val").glob("*.zip"))) as pictures:
        name = next(name for name in pictures.namelist() if name.endswith(".jpg"))
        (tiny.folder / "photo.jpg").write_bytes(pictures.read(name))
    answers = run(
        tiny, copy, "pipeline", "ask", "photo.jpg", "What colour is the circle?", "--run", "mean-of-places"
    )
    assert "What colour is the circle?" in answers and "%" in answers
