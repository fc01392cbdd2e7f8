"""The command lines: what they say of mistakes, their help, the last line after a failure; and a mere import."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib

import pytest
from commands import BIN, ROOT

from models.gpu_presence import why_none
from pipeline import startup
from pipeline.__main__ import COMMANDS, build_parser, main
from pipeline.stage_help import defaults, stages
from tasks.setup.user_errors import UsageError


def one_line(output):
    assert output.count("\n") == 1 and output.startswith("error: "), output
    return output


def refused(words, capsys):
    """(exit code, the one line) of a command line that can't be read."""
    try:
        code = main(words)
    except SystemExit as error:
        code = error.code
        if isinstance(code, str):
            print(code, file=sys.stderr)
            code = 1
    printed = capsys.readouterr()
    assert printed.out == ""
    return code, one_line(printed.err)


# --------------------------------------------------------------------------------------- mistakes, at both doors

MISTAKES = [
    (("TrainModel", "--epocs", "20"), 2, "unknown flag --epocs; did you mean --epochs?"),
    (("RunAll", "--learning-rat=1"), 2, "--learning-rat is abbreviated; write --learning-rate"),
    (("TrainModel", "--epoch", "10"), 2, "--epoch is abbreviated; write --epochs"),
    (("RunAll", "--ta", "1"), 2, "write --take-lock or --target or --task"),
    (("TrainModel", "--local-sch"), 2, "write --local-scheduler"),
    (("BuildVocabulary", "--epochs", "3"), 2, "--epochs is not a flag of this stage; it is one of "),
    (("TrainModel", "--zzz"), 2, "unknown flag --zzz; --help lists the flags"),
    (("TrainModel", "--epochs"), 2, "--epochs: expected one argument"),
    (("TrainModel", "--workers", "x"), 2, "--workers x: expected a whole number"),
    (("TrainModel", "--workers", "0"), 2, "--workers 0: expected at least 1"),
    (("TrainModel", "--workers=-2"), 2, "--workers -2: expected at least 1"),
    (("TrainModel", "--scheduler-port", "1e3"), 2, "--scheduler-port 1e3: expected a whole number"),
    (
        ("TrainModel", "--seed", str(2**64)),
        1,
        f"--seed {2**64}: expected a whole number from 0 to {2**64 - 1}",
    ),
    (("TrainModel", "--seed", "9" * 5000), 1, "expected a whole number from 0"),
    (("TrainModel", "--hidden", "1000000"), 1, "--hidden 1000000: expected a whole number from 1 to 65536"),
    (("TrainModel", "--limit-questions", str(10**30)), 1, "expected a whole number from 0 to 1000000000"),
    (("TrainModel", "--weights", f"random:{2**64}"), 1, f"random:SEED (a whole number up to {2**64 - 1})"),
    (("TrainModel", "--weights", f"/{'a' * 5000}.pth"), 1, "can't be read: File name too long"),
    (("TrainModel", "--dataset", "a" * 5000), 1, "no dataset is called 'aaaa"),
    (("TrainModel", "--log-level", "WARN"), 2, "--log-level WARN: expected one of CRITICAL, DEBUG"),
    (("TrainModel", "twice"), 2, "unexpected 'twice'"),
    (("TrainModl",), 1, "no stage is called 'TrainModl'; did you mean 'TrainModel'?"),
    (("TrainModel", "--TrainModel-epochs", "3"), 1, "write --epochs"),
]


@pytest.mark.parametrize("words, code, said", MISTAKES, ids=lambda value: str(value)[:40])
def test_a_mistake_in_a_task_is_one_line(words, code, said, capsys, artifacts):
    for command in ("plan", "gc", "export"):
        more = ["--to", "x"] if command == "export" else []
        got, line = refused([command, *words, *more], capsys)
        assert got == code and said in line


@pytest.mark.parametrize(
    "words, code, said",
    [
        (["runs", "--jsn"], 2, "unknown flag --jsn; did you mean --json?"),
        (["ask", "a.jpg", "Is it?", "--ru", "3"], 2, "--ru is abbreviated; write --run"),
        (["gc", "RunAll", "--ye"], 2, "--ye is abbreviated; write --yes"),
        (["gc", "RunAll", "--", "RunAll", "--download"], 2, "write --downloads"),
        (["--jsn", "runs"], 2, "unknown flag --jsn; did you mean --json?"),
        (["--json", "runs"], 2, "--json is in the wrong place"),
        (["--versio"], 2, "write --version"),
        (["verify", "now"], 2, "unexpected 'now'"),
        (["export"], 2, "--to"),
        (["serve", "--port", "x"], 2, "--port: invalid int value: 'x'"),
        (["plam"], 2, "did you mean 'plan'"),
        (["TrainModel", "--epochs", "2"], 2, "type: luigi --module pipeline TrainModel --epochs 2"),
        (["TrainModl"], 1, "did you mean 'TrainModel'?"),
        (["plan", "--module", "pipelin", "RunAll"], 2, "--module is for luigi"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_mistake_in_a_command_is_one_line(words, code, said, capsys, artifacts):
    got, line = refused(words, capsys)
    assert got == code and said in line


@pytest.mark.parametrize(
    "door, words, code, said",
    [
        ("luigi", ("TrainModel", "--epocs", "20"), 2, "did you mean --epochs?"),
        ("luigi", ("TrainModel", "--epoch=10"), 2, "--epoch is abbreviated; write --epochs"),
        ("luigi", ("RunAl",), 1, "did you mean 'RunAll'?"),
        ("luigi", (), 1, "luigi --module pipeline RunAll"),
        ("luigi", ("RunAll", "--dataset", "nowhere"), 1, "no dataset is called 'nowhere'"),
        ("luigi-deps-tree", ("TrainModel", "--epoch", "10"), 2, "write --epochs"),
        ("luigi-deps-tree", (), 1, "luigi --module pipeline RunAll"),
        ("vqa", ("plan", "--epocs", "20"), 2, "did you mean --epochs?"),
    ],
)
def test_so_it_is_in_the_process(shell, door, words, code, said):
    assert said in one_line(shell(door, *words, code=code))


def test_luigi_started_as_a_module_is_a_door_too(shell):
    for module in ("luigi", "luigi.tools.deps_tree"):
        command = [sys.executable, "-m", module, "--module", "pipeline", "TrainModel", "--epocs", "2"]
        done = subprocess.run(
            command, cwd=shell.folder, env=shell.environment(), capture_output=True, text=True
        )
        assert done.returncode == 2 and "did you mean --epochs?" in one_line(done.stderr)


# ---------------------------------------------------------------------------------------------------------- help


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name, capsys, artifacts):
    try:
        assert main([name, "--help"]) == 0
    except SystemExit as error:
        assert error.code == 0
    said = capsys.readouterr().out
    assert said.startswith(f"usage: python -m pipeline {name}") and said.count("usage: ") == 1
    assert COMMANDS[name].sentence[1:] in said
    assert f"example: python -m pipeline {COMMANDS[name].example}\n" in said


@pytest.mark.parametrize("name", [name for name in COMMANDS if not COMMANDS[name].task])
def test_the_examples_can_be_typed(name):
    words = re.findall(r'"[^"]*"|\S+', COMMANDS[name].example)
    assert build_parser()[0].parse_args(words).command == name


def test_the_list_of_commands_and_the_version(shell, capsys):
    assert main([]) == 2
    said = capsys.readouterr().out
    assert "example: python -m pipeline plan" in said
    assert all(f" {name} " in said and command.sentence in said for name, command in COMMANDS.items())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for words in (("vqa", "--version"), ("pipeline", "--version")):
        assert shell(*words) == f"vqa-pipeline {project['version']}\n"
    assert shell("vqa", "--help") == shell("pipeline", "--help") == said


def help_of(output):
    """{flag: (how often it is listed, its default)}"""
    entries = re.split(r"^  (?=--)", output, flags=re.MULTILINE)[1:]
    names = [entry.split()[0] for entry in entries]
    shown = [re.search(r"\(default: ([^()]*)\)", " ".join(entry.split())) for entry in entries]
    return {name: (names.count(name), match[1]) for name, match in zip(names, shown, strict=True)}


@pytest.mark.parametrize(
    "name",
    sorted(name for name, cls in stages().items() if cls.__module__.startswith(("tasks.", "pipeline."))),
)
def test_a_stages_help_has_each_flag_once(name, capsys, artifacts):
    assert main(["plan", name, "--help"]) == 0
    said = capsys.readouterr().out
    stage = stages()[name]
    assert said.startswith(f"usage: luigi --module pipeline {name} [flags]\n")
    assert " ".join(stage.__doc__.split()) in " ".join(said.split())
    assert f"example: luigi --module pipeline {name} --" in said
    shown = help_of(said)
    for flag in dict(stage.get_params()):
        option = "--" + flag.replace("_", "-")
        assert shown[option][0] == 1, said
    assert not re.search(r"--[A-Z]", said)


@pytest.mark.parametrize(
    "data, epochs, weights", [((), "6", "random:0"), (("--dataset", "vqa-v1"), "10", "pretrained")]
)
def test_help_shows_the_defaults_in_force(data, epochs, weights, capsys, artifacts):
    assert main(["plan", "TrainModel", *data, "--help"]) == 0
    said = capsys.readouterr().out
    shown = {flag: value for flag, (_, value) in help_of(said).items()}
    assert shown["--epochs"] == epochs and shown["--weights"] == weights
    assert f"in force for --dataset {data[1] if data else 'sample'}" in said


def test_help_at_luigi(shell):
    shell.configure("[experiment]\nepochs = 17\n")
    said = shell("luigi", "TrainModel", "--dataset", "vqa-v2", "--help")
    assert help_of(said)["--epochs"] == (1, "17") and help_of(said)["--dataset"] == (1, "vqa-v2")
    assert "did not" not in said and "Traceback" not in said
    assert "TrainModel" in shell("luigi", "--help")
    assert "no dataset is called" in one_line(
        shell("luigi", "TrainModel", "--dataset", "no", "--help", code=1)
    )


def test_defaults_of_a_dataset_that_there_is_not(artifacts):
    with pytest.raises(UsageError, match="no dataset is called 'no'"):
        defaults(stages()["TrainModel"], {"dataset": "no"})


# -------------------------------------------------------------------------------------- the last line of a failure

FAILING = '''
import os

import luigi

import pipeline
from tasks.contract.stage import Stage
from tasks.setup.user_errors import StageError


class Fails(Stage):
    """Fails in a way that is named."""

    way = luigi.Parameter()
    named_by = ("way",)

    def fail(self, way):
        if way != self.way:
            return
        if self.way.startswith("exit"):
            os._exit(7)
        raise {"bug": ZeroDivisionError("by zero")}.get(self.way, StageError("no good:", f"{way}; mend it"))

    def build(self, folder):
        for way in ("build", "bug", "exit"):
            self.fail(way)

    def inputs(self):
        self.fail("inputs")
        return {}

    def complete(self):
        self.fail("complete")
        return super().complete()
'''


@pytest.mark.parametrize(
    "way, more, code, said",
    [
        ("build", (), 30, "Fails failed: no good: build; mend it"),
        ("build", ("--workers", "2"), 30, "Fails failed: no good: build; mend it"),
        ("build", ("--log-level", "CRITICAL"), 30, "Fails failed: no good: build; mend it"),
        ("bug", (), 30, "Fails failed: ZeroDivisionError: by zero"),
        ("exit", ("--workers", "2"), 30, "Fails failed: .* died unexpectedly with exit code 7"),
        ("inputs", (), 35, "Fails failed: no good: inputs; mend it"),
        ("complete", (), 35, "Fails failed: .*complete; mend it"),
    ],
)
def test_the_last_line_says_what_failed_and_why(shell, way, more, code, said):
    (shell.folder / "failing.py").write_text(FAILING)
    command = [str(BIN / "luigi"), "--module", "failing", "Fails", "--way", way, *more]
    done = subprocess.run(
        command,
        cwd=shell.folder,
        env=shell.environment(PYTHONPATH=str(shell.folder)),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
    )
    assert done.returncode == code, done.stdout
    assert re.fullmatch(f"error: {said}", done.stdout.splitlines()[-1]), done.stdout
    assert ("Traceback" in done.stdout) == (way == "bug")


def test_a_good_run_ends_as_before(shell):
    assert shell("luigi", "MakeSample", "--size", "tiny").splitlines()[-1] == "INFO: done: 1 stage ran"


# ------------------------------------------------------------------------------------------------- the environment


def test_the_libraries_are_those_of_pyproject():
    names = {"pillow": "PIL"}
    stated = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    required = [re.match(r"[\w-]+", line)[0] for line in stated]
    assert sorted(startup.LIBRARIES) == sorted(names.get(name, name) for name in required)


def test_outside_of_the_environment_one_line_says_what_to_type(tmp_path):
    """With -S there are none of .venv's libraries, as in any other Python."""
    done = subprocess.run(
        [sys.executable, "-S", "-m", "pipeline", "plan"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 1 and done.stdout == ""
    assert "make run" in one_line(done.stderr) and ".venv/bin/activate" in done.stderr
    for name in ("pipeline", "data", "tasks", "models"):
        (tmp_path / name).symlink_to(ROOT / name)
    shutil.copy(BIN / "vqa", tmp_path / "vqa")
    script = subprocess.run(
        [sys.executable, "-S", "vqa", "runs"], cwd=tmp_path, capture_output=True, text=True
    )
    assert script.returncode == 1 and "make run" in one_line(script.stderr)


@pytest.mark.parametrize(
    "content, said",
    [
        (b"[paths]\nartifacts = x\n[paths]\nartifacts = y\n", "line 3: [paths] is there twice"),
        (b"[paths]\nartifacts = x\nartifacts = y\n", "line 3: artifacts is in [paths] twice"),
        (b"artifacts = x\n", "line 1: is before the first [section]"),
        (b"[paths]\nartifacts\n", "line 2: expected `name = value`"),
        (b"[paths]\n# caf\xe9\n", "line 2: `# caf\\xe9` is not UTF-8 text; save the file as UTF-8"),
        ("[paths]\n".encode("utf-16-le"), "line 1: has a zero byte"),
        (b"[paths]\nartifacts = a\n  mirror = b\n", "line 3: `mirror = b` is indented"),
        (b'[paths]\nartifacts = "a\n', "line 2: [paths] artifacts = '\"a': expected a folder"),
        (
            b"[paths]\n\nartifacts = $NOWHERE/a\n",
            "line 3: [paths] artifacts = '$NOWHERE/a': the environment has",
        ),
        (b"[sources]\nmirror = ${NOWHERE}\n", "line 2: [sources] mirror = '${NOWHERE}': the environment has"),
        (
            b"[paths]\nartifacts = %(home)s\n",
            "line 2: [paths] artifacts = '%(home)s': no setting is called home",
        ),
        (
            b"[core]\nlog_level = INFO # less\n",
            "line 2: [core] log_level = INFO # less: Luigi takes this literally",
        ),
        (b"[worker]\ntimeout = '5'\n", "line 2: [worker] timeout = '5': Luigi takes this literally"),
        (b"[core]\n\nx = 5%\n", "line 3: [core] x = 5%: write %% for a %"),
        (
            b"[experiment]\nweights = $NOWHERE/x.pth\n",
            "line 2: [experiment] weights = $NOWHERE/x.pth: the environment",
        ),
        (b"[paths]\nartifact = x\n", "did you mean 'artifacts'?"),
        (b"[compute]\nthreads = many\n", "a whole number"),
        (
            b"[compute]\nthreads = 1000000\n",
            "line 2: [compute] threads = '1000000': expected a whole number up to",
        ),
        (b"[core]\nworkers = 0\n", "line 2: [core] workers = 0: expected at least 1"),
        (b"[core]\nlog_level = WARN\n", "line 2: [core] log_level = WARN: expected one of CRITICAL, DEBUG"),
        (b"[worker]\n\nwait_interval = 1s\n", "line 3: [worker] wait_interval = 1s: expected a number"),
        (b"[core]\nworker-timeout = 1h\n", "line 2: [core] worker-timeout = 1h: expected a whole number"),
        (b"[resources]\ndevice = 0\n", "line 2: [resources] device = 0: expected at least 1"),
        (b"[core]\nno_lock = perhaps\n", "line 2: [core] no_lock = perhaps: expected true or false"),
        (b"[paths]\nartifacts = /" + b"a" * 5000 + b"\n", "too long for the names of files in it"),
        (b"[paths]\nartifacts = /" + b"a/" * 2000 + b"\n", "too long for the names of files in it"),
    ],
)
def test_a_configuration_that_luigi_can_not_parse_is_one_line_here(shell, content, said):
    shell.config.write_bytes(content)
    line = one_line(shell("vqa", "plan", "MakeSample", code=1))
    assert said in line and "luigi.cfg" in line


def test_a_configuration_is_one_line_with_python_m_too(shell):
    """Also where the command reads none of the settings."""
    for content in (
        "artifacts = x\n",
        "[paths]artifacts\n",
        "[path]\nartifacts = x\n",
        "[paths]\nArtifacts = x\n",
    ):
        shell.config.write_text(content)
        assert re.search(r"luigi.cfg, line [12]", one_line(shell("pipeline", "runs", code=1)))


@pytest.mark.skipif(why_none("cuda") == "", reason="there may be a GPU here")
def test_a_gpu_that_can_not_be_had_is_told_before_anything_runs(shell):
    """But not to those who need none."""
    shell.configure("[compute]\ndevice = cuda\n")
    assert "error: [compute] device = cuda, for extract-features: " in shell("vqa", "plan", code=1)
    assert "for extract-features: " in one_line(shell("luigi", "RunAll", "--dataset", "vqa-v1", code=1))
    (shell.folder / "a").mkdir()
    assert "device = cuda: " in one_line(shell("vqa", "features", "a", "--out", "o.h5", code=1))
    shell("luigi", "MakeSample", "--size", "tiny")
    shell("vqa", "runs")
    shell.configure("[compute]\ndevice = cuda\nengine = ray\n")
    shell("vqa", "plan", "ExtractFeatures")
    assert "device = cuda, for train-model: " in shell("vqa", "plan", code=1)


HOW_PEOPLE_WRITE = [
    ("[paths]\r\nartifacts = FOLDER\r\n", "utf-8-sig"),
    ("[paths]\nartifacts = FOLDER\n", "utf-16"),
    ('[paths]\nartifacts = "FOLDER"  # the big disk\n', "utf-8"),
    ("[paths]\nartifacts = 'FOLDER'\n[compute]\nthreads = 2 ; cores\n", "utf-8"),
    ("[paths]\n  artifacts = $HERE/où 100% # x\n", "utf-8"),
    ("[paths]\nartifacts: ${HERE}/où 100%\n[sources]\nmirror = # none\n", "utf-8"),
]


@pytest.mark.parametrize("content, encoding", HOW_PEOPLE_WRITE)
def test_settings_as_people_write_them(shell, content, encoding):
    folder = shell.folder / "où 100%"
    shell.config.write_bytes(content.replace("FOLDER", str(folder)).encode(encoding))
    said = shell("vqa", "runs", HERE=str(shell.folder))
    assert said.startswith(f"no trained model in {folder};")
    if encoding == "utf-8":  # what Luigi can read by itself
        shell("luigi", "MakeSample", "--size", "tiny", HERE=str(shell.folder))
        assert (folder / "make-sample").is_dir()


def test_what_else_luigi_reads_is_looked_at_too(shell):
    (shell.folder / "client.cfg").write_text("x\n")
    assert "client.cfg, line 1: is before" in one_line(shell("vqa", "runs", code=1))
    (shell.folder / "client.cfg").unlink()
    for name, value in {"LUIGI_CONFIG_PARSER": "toml", "LUIGI_CONFIG_PATH": "x.toml"}.items():
        assert name in one_line(shell("vqa", "runs", code=1, **{name: value}))
    (shell.folder / "other.cfg").write_bytes(b"[core]\nx = \xff\n")
    for path, said in {
        ".": "is a folder",
        "no.cfg": "can't be read: No such file",
        "other.cfg": ", line 2",
    }.items():
        line = one_line(shell("vqa", "runs", code=1, LUIGI_CONFIG_PATH=path))
        assert line.startswith(f"error: LUIGI_CONFIG_PATH: {path}") and said in line


IMPORT = """
import logging, os, signal, sys, threading, warnings

import luigi
from luigi.cmdline_parser import CmdlineParser

class Unread(list):
    def __getitem__(self, place): raise AssertionError("sys.argv was read")
    __iter__ = __len__ = __getitem__

sys.argv = Unread()
config = luigi.configuration.get_config()
config.set("core", "log_level", "ERROR")

def process():
    loggers = [logging.root, *map(logging.getLogger, ("luigi", "luigi-interface", "luigi.scheduler"))]
    return [
        sys.excepthook, threading.excepthook, sys.unraisablehook, sys.stdout, sys.stderr,
        [signal.getsignal(number) for number in signal.valid_signals()],
        [(one.level, one.handlers[:], one.filters[:], one.disabled) for one in loggers],
        warnings.filters[:], dict(os.environ), os.getcwd(), sys.path[:], threading.enumerate(),
        dict(vars(CmdlineParser)), luigi.Task._event_callbacks.get(luigi.Task),
        config.get("core", "log_level"), config.has_option("core", "local_scheduler"),
    ]

before = process()
IMPORT
changed = [(a, b) for a, b in zip(before, process()) if a != b]
assert not changed, changed
import pipeline
assert pipeline.MakeSample().path.parent.parent.name == "elsewhere"
assert config.getboolean("worker", "check_complete_on_run")  # the project's luigi.cfg
"""


@pytest.mark.parametrize("line", ["import pipeline", "from pipeline import load_model"])
def test_an_import_changes_nothing_in_the_process(shell, line):
    shell.config.write_text("[paths]\nartifacts = elsewhere\n")
    (shell.folder / "vqa_tool.py").write_text(IMPORT.replace("IMPORT", line))
    for how in (["vqa_tool.py"], ["-m", "vqa_tool"]):
        done = subprocess.run(
            [sys.executable, *how], cwd=shell.folder, env=shell.environment(), capture_output=True, text=True
        )
        assert done.returncode == 0 and done.stdout == done.stderr == "", done.stderr
