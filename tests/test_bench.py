"""The scripts in bench/: they measure what users get, and end in one line where an input is not there."""

from __future__ import annotations

import ast
import io
import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from bench.big_zip import BigZip
from bench.rehearsal_server import Traffic

BENCH = Path(__file__).resolve().parents[1] / "bench"
HEAVY = {"torch", "torchvision"}
NO_GPU = "device = cuda:99: torch"


class Reader(io.RawIOBase):
    """A file of what is made when asked for."""

    def __init__(self, made: BigZip) -> None:
        self.made, self.at = made, 0

    def readable(self) -> bool:
        return True

    seekable = readable

    def seek(self, offset: int, whence: int = 0) -> int:
        self.at = (0, self.at, self.made.size)[whence] + offset
        return self.at

    def readinto(self, buffer) -> int:
        piece = self.made.read(self.at, min(self.made.size, self.at + len(buffer)))
        buffer[: len(piece)] = piece
        self.at += len(piece)
        return len(piece)


def python(*words, **environment) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *map(str, words)]
    kept = {
        name: value for name, value in os.environ.items() if name not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
    }
    return subprocess.run(command, cwd=BENCH.parent, env=kept | environment, capture_output=True, text=True)


@pytest.mark.parametrize("path", sorted(BENCH.glob("*.py")), ids=lambda path: path.stem)
def test_models_comes_before_torch(path):
    """models.openmp says how long OpenMP's threads spin, which is read once, when torch is loaded."""
    seen: list[str] = []
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            seen += [alias.name.split(".")[0] for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            seen.append(node.module.split(".")[0])
    firsts = [seen.index(name) for name in HEAVY & set(seen)]
    assert not firsts or ("models" in seen and seen.index("models") < min(firsts))


@pytest.mark.slow
def test_the_spin_count_of_a_bench_is_that_of_users_and_the_row_that_spins_has_another():
    counts = {}
    for name, start in (
        ("users", "from models.openmp import spin_briefly; spin_briefly(); import torch"),
        ("bench", "import bench.extract"),
        (
            "spins",
            "import bench.variants as b, os, sys; "
            "spins = os.environ | b.WAYS['threads that spin while they wait'][2]; "
            "os.execve(sys.executable, [sys.executable, '-c', 'import bench.variants'], spins)",
        ),
    ):
        said = python("-c", start, OMP_DISPLAY_ENV="verbose").stderr
        counts[name] = [line.strip() for line in said.splitlines() if "GOMP_SPINCOUNT" in line][-1:]
    if not counts["users"]:
        pytest.skip("this torch has another OpenMP than GNU's")
    assert counts["users"] == counts["bench"] == ["GOMP_SPINCOUNT = '10000'"]
    assert counts["spins"] == ["GOMP_SPINCOUNT = '300000'"]


ABSENT = [
    (["-m", "bench.score", "--data", "{none}"], "--data names the folder"),
    (["-m", "bench.extract", "--pictures", "{none}"], "can't be read"),
    (["-m", "bench.text", "--data", "{none}"], "python -m bench.generate --out {none}"),
    (["-m", "bench.language", "--questions", "{none}", "--annotations", "{none}"], "{none}"),
    (["-m", "bench.zips", "--zip", "{none}"], "can't be read"),
    (["-m", "bench.generate", "--out", "{none}", "--glove", "nope"], "nope"),
    (["bench/train.py", "--keras-python", "{none}/python"], "--keras-python {none}/python"),
    (["bench/predict.py", "--keras-python", "{none}/python"], "--keras-python {none}/python"),
    (["-m", "bench.extract", "--device", "cuda:99"], NO_GPU),
    (["-m", "bench.extract", "--backbone", "vgg61"], "no 'vgg61'. Did you mean"),
    (["-m", "bench.variants", "--device", "cuda:99"], NO_GPU),
    (["-m", "bench.language", "--questions", "", "--annotations", "", "--device", "cuda:99"], NO_GPU),
    (["bench/train.py", "--device", "cuda:99"], NO_GPU),
    (["bench/attention.py", "--device", "cuda:99"], NO_GPU),
    (["bench/predict.py", "--device", "cuda:99"], NO_GPU),
    (["-m", "bench.gpu_check", "--device", "cuda:99"], NO_GPU),
]

# Each script as `python` runs it, one after the other in a process that has loaded torch once.
EACH = """
import contextlib, io, json, runpy, sys
import models, torch, torchvision
ends = []
for words in json.load(sys.stdin):
    run, sys.argv = (runpy.run_module, words[1:]) if words[0] == "-m" else (runpy.run_path, words)
    sys.path[0] = "." if words[0] == "-m" else "bench"
    with contextlib.redirect_stderr(io.StringIO()) as stderr:
        try:
            run(sys.argv[0], run_name="__main__")
            code = 0
        except SystemExit as end:
            code = end.code
            if isinstance(code, str):  # which Python prints
                code = print(code, file=stderr) or 1
    ends.append((code, stderr.getvalue()))
print(json.dumps(ends))
"""


def test_an_input_that_is_not_there_is_one_line(tmp_path):
    none = str(tmp_path / "not there")
    asked = [[word.format(none=none) for word in words] for words, _ in ABSENT]
    done = subprocess.run(
        [sys.executable, "-c", EACH],
        cwd=BENCH.parent,
        input=json.dumps(asked),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    ends = json.loads(done.stdout.splitlines()[-1])
    for words, (code, printed), (_, said) in zip(asked, ends, ABSENT, strict=True):
        assert code == 1 and printed.startswith("error: ") and printed.count("\n") == 1, (words, printed)
        assert said.format(none=none) in printed, (words, printed)


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_a_big_zip_takes_the_memory_that_is_stated():
    done = python("-m", "bench.zips", "--members", "100000", "--check")
    assert done.returncode == 0 and "100,000 members, opened in" in done.stdout, done.stdout + done.stderr


@pytest.mark.slow
def test_a_zip_of_cocos_size_that_is_made_when_asked_for_is_one_that_zipfile_reads():
    names = [f"COCO_val2014_{number:012}.jpg" for number in range(3_000)]
    made = BigZip("val2014", names, 5_000_000_000)
    with zipfile.ZipFile(io.BufferedReader(Reader(made))) as archive:
        folder, *pictures = archive.infolist()
        assert folder.filename == "val2014/" and len(made.read(0, 1 << 20)) == 1 << 20
        assert {picture.filename for picture in pictures} == {f"val2014/{name}" for name in names}
        assert pictures[-1].header_offset > 1 << 32
        contents = [archive.read(picture) for picture in (pictures[0], pictures[1], pictures[-1])]
        assert len(set(contents)) == 3
        for content in contents:
            image = Image.open(io.BytesIO(content))
            image.load()
            assert image.size == (640, 480)


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_the_rehearsal_of_the_mini_dataset(tmp_path):
    words = ("--scale", "0.01", "--limit-pictures", "40,20", "--epochs", "1", "--weights", "random:0")
    done = python("-m", "bench.rehearsal", "--folder", tmp_path, "--kill-at", "3", *words)
    assert done.returncode == 0 and not done.stderr.count("Traceback"), done.stdout + done.stderr
    rows = dict(re.findall(r"^\| (\S.*?) \| ([\d.,]+) \|", done.stdout, re.MULTILINE))
    assert {"DownloadPart", "ExtractPart", "TrainModel", "Report"} <= rows.keys()
    assert (
        3e6 < float(rows["train2014.zip"].replace(",", "")) < 9e6
    )  # 40 pictures of 163 kB, 103 kB of directory
    assert 1 <= float(rows["fetched / different bytes"]) < 1.2
    assert 0.3 < float(rows["memory, GB"]) < 2.5
    assert not list(tmp_path.iterdir())


def test_bytes_that_are_sent_twice_are_counted_twice_and_are_not_different_ones():
    assert Traffic([(0, 10), (20, 30), (5, 25), (20, 22)]).sent == 42
    assert Traffic([(0, 10), (20, 30), (5, 25), (20, 22)]).distinct == 30
