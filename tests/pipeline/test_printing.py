"""What commands print: no word from outside forges a line, and no terminal, pipe or disk ends it in a traceback."""

from __future__ import annotations

import json
import os
import subprocess

import pytest
from PIL import Image

HOSTILE = "\x1b[31mred\x07\x9b2J\u202egpj.\r\nERROR: fake\u2028\x7f"
SHOWN = r"\u001b[31mred\u0007\u009b2J\u202egpj.\r\nERROR: fake\u2028\u007f"
RANDOM = ("--backbone", "resnet18", "--layer", "flatten", "--weights", "random:0", "--out", "o.h5")


def run(shell, *words, **how):
    how = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | how
    environment = shell.environment(**how.pop("env", {}))
    return subprocess.run(shell.command(*words), cwd=shell.folder, env=environment, **how, timeout=100)


def controls(output: bytes) -> set[str]:
    return {c for c in output.decode() if not c.isprintable()} - {"\n"}


# ------------------------------------------------------------------------------------------ words from outside


@pytest.fixture
def photos(shell):
    """A good picture, one that is none and one that is skipped, both with hostile names."""
    (shell.folder / "photos").mkdir()
    Image.new("RGB", (40, 30), "red").save(shell.folder / "photos" / "good.png")
    (shell.folder / "photos" / f"{HOSTILE}.jpg").write_bytes(b"no picture")
    (shell.folder / "photos" / f"{HOSTILE}.txt").write_bytes(b"text")
    return shell


@pytest.mark.slow
def test_names_of_files_forge_no_line(photos):
    done = run(photos, "pipeline", "features", "photos", *RANDOM)
    assert done.returncode == 1 and controls(done.stdout + done.stderr) == set()
    assert f"  {SHOWN}.jpg (id " in done.stderr.decode()
    assert not any(line.startswith("ERROR") for line in done.stderr.decode().splitlines())
    done = run(photos, "pipeline", "features", "photos", *RANDOM, "--max-bad-images", "1")
    assert done.returncode == 0 and controls(done.stdout + done.stderr) == set()
    assert f"left out {SHOWN}.jpg: " in done.stderr.decode() and f"{SHOWN}.txt" in done.stderr.decode()


@pytest.mark.parametrize(
    "words",
    [
        ("pipeline", "ask", HOSTILE, "Is it?"),
        ("pipeline", HOSTILE),
        ("pipeline", "plan", "RunAll", "--dataset", HOSTILE),
        ("pipeline", "score", "--annotations", HOSTILE, "--questions", "q", "--results", "r"),
        ("luigi", "RunAll", "--dataset", HOSTILE),
        ("luigi", "TrainModel", "--weights", f"{HOSTILE}.pth"),
    ],
)
def test_neither_do_words_of_the_command_line(shell, words):
    done = run(shell, *words)
    assert done.returncode and controls(done.stdout + done.stderr) == set()
    assert done.stderr.count(b"\n") == 1


def test_settings_and_tables_are_printed_the_same_way(shell):
    shell.configure(f"[sources]\ndatasets = \x1b[31m{chr(0x202E)}\n")
    done = run(shell, "pipeline", "runs")
    assert done.returncode == 1 and controls(done.stderr) == set() and rb"\u001b[31m\u202e" in done.stderr


def test_a_model_s_flags_and_answers_are_shown_and_json_stays_json(tiny):
    folder = tiny.artifact("train-model")
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest.setdefault("flags", {})["model"] = HOSTILE
    (folder / "manifest.json").write_text(json.dumps(manifest))
    done = run(tiny, "pipeline", "runs")
    assert controls(done.stdout) == set() and SHOWN in done.stdout.decode()
    done = run(tiny, "pipeline", "runs", "--json")
    assert controls(done.stdout) == set()
    assert HOSTILE in [entry["parameters"]["model"] for entry in json.loads(done.stdout)]


# --------------------------------------------------------------------------------------------- the other end


@pytest.mark.parametrize(
    "encoding, shown",
    [
        ("ascii", rb"/o\xf9 \u2192 \udce9/x;"),
        ("ascii:strict", rb"/o\xf9 \u2192 \udce9/x;"),
        ("cp1252", b"/o\xf9 \\u2192 \\udce9/x;"),
        ("utf-8", "/où → \\udce9/x;".encode()),
    ],
)
def test_any_encoding_of_the_terminal(shell, encoding, shown):
    """The last character of the folder's name is not text in any encoding."""
    shell.folder = shell.folder / "où → \udce9"
    shell.folder.mkdir()
    (shell.folder / "luigi.cfg").write_text("[paths]\nartifacts = x\n")
    done = run(shell, "pipeline", "runs", env={"PYTHONIOENCODING": encoding})
    assert done.returncode == 0 and shown in done.stdout and done.stderr == b""


@pytest.mark.slow
def test_answers_in_an_encoding_without_them(tiny):
    bus = tiny.folder / "bus.png"
    Image.new("RGB", (40, 30), "red").save(bus)
    done = run(tiny, "pipeline", "ask", bus, "Où →?", env={"PYTHONIOENCODING": "ascii"})
    assert done.returncode == 0 and rb"O\xf9 \u2192?" in done.stdout and done.stderr == b""


COMMANDS = [
    ("pipeline", "plan", "RunAll", "--dataset", "vqa-v1"),
    ("vqa", "--help"),
    ("luigi", "--help"),
    ("luigi", "TrainModel", "--help"),
]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_reader_who_has_seen_enough(shell, words):
    """As `| head -1`, which may be gone before anything is printed."""
    reading, writing = os.pipe()
    os.close(reading)
    done = run(shell, *words, stdout=writing)
    os.close(writing)
    assert done.returncode == 0 and done.stderr == b""


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_streams_that_are_closed(shell, closed):
    """No file takes the number of a closed stream, and with it what is printed."""
    command = " ".join(shell.command("luigi", "MakeSample", "--size", "tiny"))
    done = subprocess.run(
        ["bash", "-c", f"{command} {closed}"], cwd=shell.folder, env=shell.environment(), capture_output=True
    )
    assert done.returncode == 0 and b"Traceback" not in done.stderr
    assert "all artifacts" in shell("pipeline", "verify")


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_full_disk_behind_the_output_is_one_line(shell, words):
    with open("/dev/full", "wb") as full:
        done = run(shell, *words, stdout=full)
    assert done.returncode == 1
    assert done.stderr == b"error: what is printed can't be written: No space left on device\n"


def test_a_run_outlives_the_reader_of_its_log(shell):
    """What a stage has made is worth more than the line that says so."""
    reading, writing = os.pipe()
    os.close(reading)
    done = run(shell, "luigi", "MakeSample", "--size", "tiny", stdout=writing, stderr=writing)
    os.close(writing)
    assert done.returncode == 0 and "all artifacts" in shell("pipeline", "verify")
