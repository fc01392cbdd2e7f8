"""Commands whose features are too large for memory: here every file is, by a limit set in each process."""

from __future__ import annotations

import csv
import json
import signal

import pytest

SMALL = """
import data.pictures.feature_file as feature_file, models.training.blocks as blocks
feature_file.IN_MEMORY, blocks.BLOCK_BYTES = 0, 2 * 1024
"""

CUT = """
import os
preadv, count = os.preadv, 0
def cutting(handle, buffers, offset):
    global count
    count += 1
    if count == 6:
        os.truncate(f"/proc/self/fd/{handle}", 9000)
    return preadv(handle, buffers, offset)
os.preadv = cutting
"""

FLAGS = ("--seed", "5", "--batch-size", "2")

pytestmark = pytest.mark.slow


def limited(tiny, more: str = "") -> dict[str, str]:
    """The environment in which no features fit into memory."""
    folder = tiny.folder / "limited"
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(SMALL + more)
    return {"PYTHONPATH": str(folder)}


def test_a_run_says_that_it_reads_from_the_disk_and_how_long_it_waited(tiny):
    said = tiny("luigi", "RunAll", *FLAGS, **limited(tiny))
    assert "of features stay on the disk" in said
    [model] = (
        path for path in (tiny.artifacts / "train-model").iterdir() if "seconds_waited" in history(path)
    )
    facts = json.loads((model / "manifest.json").read_text())["facts"]
    assert facts["block_pictures"] == 2


def history(model) -> str:
    with (model / "history.csv").open() as file:
        return " ".join(next(csv.reader(file)))


def test_features_cut_short_while_they_are_read_end_the_run_in_one_line(tiny):
    said = tiny("luigi", "TrainModel", *FLAGS, code=30, **limited(tiny, CUT))
    last = said.strip().splitlines()[-1]
    assert "TrainModel" in last and "features.h5: ends at byte" in last and "Traceback" not in said
    assert "built" in tiny("luigi", "TrainModel", *FLAGS, **limited(tiny))  # features and all


def test_ctrl_c_while_rows_are_read_ends_in_one_line(tiny):
    process = tiny.start("luigi", "TrainModel", *FLAGS, "--epochs", "5000", **limited(tiny))
    for line in process.stdout:
        if "stay on the disk" in line:
            break
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=30)
    assert process.returncode == -signal.SIGINT  # a shell shows it as 130
    assert "Traceback" not in said and said.splitlines()[-1].startswith("interrupted; ")
