"""The whole pipeline on a few pictures, as commands: built once, kept, repaired, resumed, refused."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from urllib.request import urlopen

import pytest
from commands import BIN

ALL = (
    *("make-sample", "download-images", "download-questions", "download-annotations", "download-glove"),
    *("extract-features", "build-vocabulary", "encode-questions", "encode-answers", "build-embeddings"),
    *("train-model", "predict-answers", "evaluate-model", "report"),
)


def test_a_run_makes_every_artifact_and_ends_with_the_accuracy(tiny_run):
    shell, output = tiny_run
    assert sorted(path.name for path in shell.artifacts.iterdir() if path.name[0] != ".") == sorted(ALL)
    accuracy = json.loads((shell.artifact("evaluate-model") / "accuracy.json").read_text())
    assert {"overall", "perAnswerType", "perQuestionType", "baselines", "seed", "metric"} <= accuracy.keys()
    assert {"commonest_answer", "commonest_per_question_type"} <= accuracy["baselines"].keys()
    assert {"loss", "exact_match", "any_of_ten"} <= accuracy["seed"].keys()
    assert f"{accuracy['overall']:.2f}" in output
    page = (shell.artifact("report") / "report.html").read_text(encoding="utf-8")
    assert "<html" in page and "http://" not in page.replace("http://www.w3.org", "")


def test_a_second_run_from_another_folder_does_nothing(tiny, tmp_path_factory):
    before = {path: path.stat().st_mtime_ns for path in tiny.artifacts.rglob("*")}
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    config, tiny.folder = str(tiny.config), elsewhere
    output = tiny("luigi", "RunAll", LUIGI_CONFIG_PATH=config)
    assert tiny.built(output) == [] and "nothing to do" in output
    assert {path: path.stat().st_mtime_ns for path in tiny.artifacts.rglob("*")} == before
    assert not list(elsewhere.iterdir())


def test_more_epochs_train_again_and_redo_what_follows(tiny):
    assert "changed: epochs 2 → 3" in tiny("pipeline", "plan", "RunAll", "--epochs", 3)
    output = tiny("luigi", "RunAll", "--epochs", 3)
    assert tiny.built(output) == ["TrainModel", "PredictAnswers", "EvaluateModel", "Report"]
    assert tiny.built(tiny("luigi", "RunAll", "--epochs", 2)) == []  # the old results are still there


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
    [line] = [line for line in output.splitlines() if line.startswith("DIFFERS")]
    assert "extract-features" in line and "features.h5 has sha256" in line
    assert "features.h5 has sha256" in tiny("pipeline", "plan")
    assert tiny.built(tiny("luigi", "RunAll")) == ["ExtractFeatures"]
    tiny("pipeline", "verify")


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
            assert (
                json.loads(ours.read_text())["digest"] == json.loads(theirs.read_text())["digest"]
                or stage == "report"
            )


def test_rerun_makes_one_stage_again(tiny):
    before = json.loads((tiny.artifact("build-vocabulary") / "manifest.json").read_text())
    assert "forced" in tiny("pipeline", "plan", "BuildVocabulary", "--rerun")
    assert tiny.built(tiny("luigi", "BuildVocabulary", "--rerun")) == ["BuildVocabulary"]
    after = json.loads((tiny.artifact("build-vocabulary") / "manifest.json").read_text())
    assert after["finished"] > before["finished"] and after["digest"] == before["digest"]
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
            assert output.startswith("error: [compute]") and said in output and "Traceback" not in output


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
