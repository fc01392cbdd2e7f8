"""A disk or a network that fails while pictures are read: waited for, then one line; no picture is blamed for it."""

from __future__ import annotations

import shutil
import sys
import zipfile
from pathlib import Path

import pytest
from commands import ROOT
from faults.harness import HOOKS
from hostile import picture
from watched import pipeline

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
SMALL_NETWORK = ("--backbone", "resnet18", "--layer", "flatten", "--weights", "random:0")


@pytest.fixture(params=["folder", "zip"])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, str]:
    """Pictures, and the name of the file whose reads are to fail."""
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for number in range(6):
        (pictures / f"{number}.jpg").write_bytes(picture())
    if request.param == "folder":
        return pictures, "3.jpg"
    with zipfile.ZipFile(tmp_path / "pictures.zip", "w") as archive:
        for path in sorted(pictures.iterdir()):
            archive.write(path, path.name)
    shutil.rmtree(pictures)
    return tmp_path / "pictures.zip", "pictures.zip"


@pytest.mark.slow
def test_reads_that_fail_are_waited_for_and_then_end_the_run_which_goes_on_later(
    source: tuple[Path, str], tmp_path: Path
) -> None:
    pictures, file = source
    words = ("features", str(pictures), "--out", "f.h5", "--max-bad-images", "1", *SMALL_NETWORK)
    hooks = {"PYTHONPATH": f"{HOOKS}:{ROOT}"}
    code, output, _ = pipeline(tmp_path, *words, **hooks, VQA_READ=f"EIO 1000000 {file}")
    assert code == 1 and not (tmp_path / "f.h5").exists()
    (line,) = [line for line in output.splitlines() if line.startswith("error: ")]
    assert f"{file}: can't be read: Input/output error" in line and "run the same again" in line
    assert "damaged" not in output and "Traceback" not in output
    code, output, _ = pipeline(tmp_path, *words, **hooks, VQA_READ=f"EIO 2 {file}")
    assert code == 0 and "6 pictures, 512 float16 each, 0 left out" in output
