"""The whole pipeline on a few pictures, as commands: built once, kept, repaired, resumed, refused."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.request import urlopen

import pytest
from commands import BIN
from PIL import Image

from tasks.contract.manifest import parse

ALL = (
    *("make-sample", "download-images", "download-questions", "download-annotations", "download-glove"),
    *("extract-features", "build-vocabulary", "encode-questions", "encode-answers", "build-embeddings"),
    *("check-leaks", "train-model", "predict-answers", "exchange-pictures", "evaluate-model", "report"),
)


def test_a_run_makes_every_artifact_and_ends_with_the_accuracy(tiny_run):
    shell, output = tiny_run
    assert sorted(path.name for path in shell.artifacts.iterdir() if path.name[0] != ".") == sorted(ALL)
    accuracy = json.loads((shell.artifact("evaluate-model") / "accuracy.json").read_text())
    assert {"overall", "perAnswerType", "perQuestionType", "baselines", "seed", "metric"} <= accuracy.keys()
    assert {"commonest_answer", "commonest_per_question_type"} <= accuracy["baselines"].keys()
    assert {"loss", "exact_match", "any_of_ten"} <= accuracy["seed"].keys()
    assert f"{accuracy['overall']:.2f}" in output
    assert any(line.startswith("commonest answer ") for line in output.splitlines())  # a table, line by line
    low, high = accuracy["intervals"]["overall"]
    assert low < accuracy["overall"] < high
    assert re.search(rf"95 % from +{low:.2f} .*\n +to +{high:.2f} ", output)
    gained = accuracy["overall"] - accuracy["baselines"]["commonest_answer"]["overall"]
    low, high = accuracy["intervals"]["gains"]["commonest_answer"]["overall"]
    assert low <= round(gained, 2) <= high and accuracy["consistency"]["pairs"] > 0
    page = (shell.artifact("report") / "report.html").read_text(encoding="utf-8")
    assert "<html" in page and "http://" not in page.replace("http://www.w3.org", "")


def test_a_run_ends_with_what_it_leaves_and_what_to_type_next(tiny_run, tiny):
    """The lines are typed as they stand, where no environment is activated."""
    output = tiny_run[1]
    done, accuracy, report, ask, page = output.splitlines()[-5:]
    assert done == f"INFO: done: {len(tiny_run[0].built(output))} stages ran"
    figures = json.loads((tiny.artifact("evaluate-model") / "accuracy.json").read_text())
    assert accuracy.startswith(f"accuracy  {figures['overall']:.2f} % (95 %: ")
    best = max(prior["overall"] for prior in figures["baselines"].values())
    assert accuracy.endswith(f"48 questions of sample val; the best that never sees the picture {best:.2f} %")
    assert Path(report.removeprefix("report    ")).is_file() and report.endswith("/report.html")
    assert page.startswith(f"page      {BIN}/vqa serve")

    Image.new("RGB", (64, 64), "red").save(tiny.folder / "photo.jpg")
    words = ["bash", "-c", ask.removeprefix("ask       ")]
    environment = tiny.environment(PATH="/usr/bin:/bin")
    said = subprocess.run(words, cwd=tiny.folder, env=environment, capture_output=True, text=True)
    assert said.returncode == 0 and "What is this?" in said.stdout, said.stderr


@pytest.mark.slow
def test_stages_that_are_kept_do_not_count_as_run(tiny):
    shutil.rmtree(tiny.artifact("report"))
    shutil.rmtree(tiny.artifact("extract-features", "val"))  # comes out as it was: predictions are kept
    output = tiny("luigi", "RunAll", "--workers", 2)
    made = tiny.built(output)
    assert "Report" in made and f"INFO: done: {len(made)} stage" in output


def test_a_second_run_from_another_folder_does_nothing(tiny, tmp_path_factory):
    before = {path: path.stat().st_mtime_ns for path in tiny.artifacts.rglob("*")}
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    config, tiny.folder = str(tiny.config), elsewhere
    output = tiny("luigi", "RunAll", LUIGI_CONFIG_PATH=config)
    assert tiny.built(output) == [] and "nothing to do" in output
    assert [line.split()[0] for line in output.splitlines()[-4:]] == ["accuracy", "report", "ask", "page"]
    assert {path: path.stat().st_mtime_ns for path in tiny.artifacts.rglob("*")} == before
    assert not list(elsewhere.iterdir())


@pytest.mark.slow
def test_more_epochs_train_again_and_redo_what_follows(tiny):
    assert "changed: epochs 2 → 3" in tiny("pipeline", "plan", "RunAll", "--epochs", 3)
    output = tiny("luigi", "RunAll", "--epochs", 3)
    assert tiny.built(output) == [
        "TrainModel",
        "PredictAnswers",
        "ExchangePictures",
        "EvaluateModel",
        "Report",
    ]
    output = tiny("luigi", "RunAll", "--epochs", 2)
    assert tiny.built(output) == []  # the old results are still there
    assert len(re.findall(r"vqa (?:ask|serve) --run [0-9a-f]{16}", output)) == 2  # another is the newest


@pytest.mark.slow
def test_a_truncated_file_is_repaired_alone(tiny):
    features = tiny.artifact("extract-features", "val") / "features.h5"
    size = features.stat().st_size
    features.write_bytes(features.read_bytes()[:12])
    plan = tiny("pipeline", "plan")
    assert f"damaged: features.h5 has 12 bytes, manifest says {size:,}" in plan
    assert tiny.built(tiny("luigi", "RunAll")) == ["ExtractFeatures"]
    assert "nothing to do" in tiny("pipeline", "plan")


def test_a_flipped_byte_is_named_by_verify_and_repaired(tiny):
    features = tiny.artifact("extract-features", "train") / "features.h5"
    content = bytearray(features.read_bytes())
    content[-5] ^= 1
    features.write_bytes(content)
    output = tiny("pipeline", "verify", code=1)
    *well, line, last = output.splitlines()
    assert "DIFFERS  extract-features" in line and "features.h5 has sha256" in line
    assert well and all(line.startswith("ok ") for line in well)
    assert f"1 of {len(well) + 1} artifacts" in last and "the commands that made them make them again" in last
    assert "features.h5 has sha256" in tiny("pipeline", "plan")
    assert tiny.built(tiny("luigi", "RunAll")) == ["ExtractFeatures"]
    tiny("pipeline", "verify")


def test_verify_says_where_there_is_nothing(shell):
    for said in ("does not exist", "is empty", "holds no artifacts"):
        assert f"{shell.artifacts} {said}: nothing to verify; [paths] artifacts" in shell(
            "pipeline", "verify"
        )
        (shell.artifacts / "notes.txt").touch() if shell.artifacts.exists() else shell.artifacts.mkdir()


@pytest.mark.slow
def test_a_kill_in_the_middle_of_training_leaves_nothing_half(tiny):
    before = sorted(path.name for path in (tiny.artifacts / "train-model").iterdir())
    process = tiny.start("luigi", "TrainModel", "--epochs", 500)
    deadline = time.time() + 120
    while not list((tiny.artifacts / "train-model").glob(".tmp-*")) and time.time() < deadline:
        time.sleep(0.05)
    time.sleep(3)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    complete = [path.name for path in (tiny.artifacts / "train-model").iterdir() if path.name[0] != "."]
    assert complete == before
    tiny("luigi", "TrainModel", "--epochs", 3)
    tiny("pipeline", "verify")
    tiny("pipeline", "gc", "TrainModel", "--epochs", 3, "--yes")
    assert not list(tiny.artifacts.glob("*/.tmp-*"))


@pytest.mark.slow
def test_four_workers_make_the_same_artifacts(tiny_run, tmp_path):
    shell = type(tiny_run[0])(tmp_path)
    shell("luigi", "RunAll", "--workers", 4)
    for stage in ALL:
        for folder in (tiny_run[0].artifacts / stage).iterdir():
            ours, theirs = (
                (root / stage / folder.name / "manifest.json")
                for root in (tiny_run[0].artifacts, shell.artifacts)
            )
            assert parse(ours.read_bytes()).digest == parse(theirs.read_bytes()).digest or stage == "report"


def test_rerun_makes_one_stage_again(tiny):
    before = parse((tiny.artifact("build-vocabulary") / "manifest.json").read_bytes())
    assert "forced" in tiny("pipeline", "plan", "BuildVocabulary", "--rerun")
    assert tiny.built(tiny("luigi", "BuildVocabulary", "--rerun")) == ["BuildVocabulary"]
    after = parse((tiny.artifact("build-vocabulary") / "manifest.json").read_bytes())
    assert after.finished > before.finished and after.digest == before.digest
    assert tiny.built(tiny("luigi", "RunAll")) == []
    assert "give --rerun to a stage" in tiny("luigi", "RunAll", "--rerun", code=1)


@pytest.mark.parametrize(
    "words, code, said",
    [
        (("RunAll", "--dataset", "vqa-v3"), 1, "vqa-v1"),
        (("ExtractFeatures", "--backbone", "vgg61"), 1, "vgg16"),
        (("RunAll", "--epochs", "many"), 1, "--epochs many: expected a whole number of at least 1"),
        (("RunAll", "--learning-rate", "nan"), 1, "--learning-rate nan"),
        (("RunAll", "--no-such-flag"), 2, "unknown flag --no-such-flag"),
        (("RunAll", "--backbone", "vgg16", "--layer", "fc8"), 1, "vgg16 has no 'fc8'. Did you mean 'fc7'?"),
        (("DownloadAnnotations", "--dataset", "vqa-v1", "--split", "test"), 1, "secret"),
    ],
)
def test_a_users_mistake_ends_in_one_line(tiny, words, code, said):
    output = tiny("luigi", *words, code=code)
    assert said in output and "Traceback" not in output


def test_unknown_settings_are_refused_with_the_nearest_name(tiny):
    tiny.configure("[features]\nmax_bad_image = 3\n")
    output = tiny("luigi", "RunAll", code=1)
    assert "unknown setting 'max_bad_image'" in output and "'max_bad_images'" in output
    tiny.configure("[TrainModel]\nepochs = 3\n")
    assert "[experiment]" in tiny("luigi", "RunAll", code=1)


def test_settings_that_can_not_be_used_are_refused_before_anything_runs(tiny):
    for line, said in (("threads = many", "a whole number"), ("device = gpu", "auto, cpu or cuda")):
        tiny.configure("")
        tiny.config.write_text(tiny.config.read_text().replace("threads = 2", line))
        for words in (("luigi", "RunAll"), ("pipeline", "plan")):
            output = tiny(*words, code=1)
            assert output.startswith(f"error: {tiny.config}, line ") and f"[compute] {line[:5]}" in output
            assert said in output and "Traceback" not in output


@pytest.mark.parametrize(
    "flags",
    [
        ("--scheduler-host", "127.0.0.1", "--scheduler-port", "9"),
        ("--scheduler-url=http://me:secret@127.0.0.1:9",),
    ],
)
def test_a_named_scheduler_that_is_absent_is_one_line(tiny, flags):
    output = tiny("luigi", "RunAll", *flags, code=1)
    assert output.startswith("error: no luigid answers at 127.0.0.1:9") and output.count("\n") == 1
    tiny.configure("[core]\ndefault-scheduler-host = 127.0.0.1\ndefault-scheduler-port = 9\n")
    assert "no luigid answers at 127.0.0.1:9" in tiny("luigi", "RunAll", code=1)


def test_a_luigid_schedules_when_it_is_named(tiny):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (tiny.artifact("report") / "report.html").unlink()
    luigid = [str(BIN / "luigid"), "--address", "127.0.0.1", "--port", str(port)]
    with subprocess.Popen(
        luigid, cwd=tiny.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as daemon:
        try:
            wait_for(port)
            output = tiny("luigi", "RunAll", "--scheduler-host", "127.0.0.1", "--scheduler-port", port)
            known = urlopen(f"http://127.0.0.1:{port}/api/graph", timeout=10).read().decode()
        finally:
            daemon.kill()
    assert tiny.built(output) == ["Report"]
    assert "Report" in known and "DONE" in known


def wait_for(port):
    deadline = time.time() + 30
    while time.time() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)


def test_the_tree_is_printed(tiny):
    output = tiny("luigi-deps-tree", "RunAll")
    assert "TrainModel" in output and "COMPLETE" in output and "PENDING" not in output


def test_plan_is_quick_and_needs_no_torch(tiny):
    code = "import sys; from pipeline.__main__ import main; main(['plan']); print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tiny.folder, env=tiny.environment(), capture_output=True, text=True
    )
    assert done.stdout.splitlines()[-2:] == ["nothing to do", "False"], done
