"""Questions, answers, vectors and models made to do harm: one clear error, no code run, nothing earlier touched.

Archives and pictures are in test_hostile_pictures.py; each reader by itself is in tests/data and tests/models.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
import pickle
import struct
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from commands import ROOT
from hostile import DEEP, Bomb, annotation, asked, header, huge, picture, question
from watched import MIB, contents, pipeline, watched

from pipeline.__main__ import main
from tasks.contract.manifest import MANIFEST, File, digest, parse

# What each does to the questions file, and what is said of it.
QUESTIONS = {
    "truncated": (asked(question())[:-20], "truncated"),
    "NaN": (asked(question()).replace(b": 1,", b": NaN,", 1), "not JSON"),
    "an id twice": (asked(question(), question()), "question_id of another"),
    "nested": (b'{"questions": [' + b"[" * DEEP, "not JSON"),
    "nested where nobody reads": (
        asked(question(), x=0)[:-2] + b"[" * DEEP + b"]" * DEEP + b"}",
        "nested too",
    ),
    "of other types": (asked(question(), question(2, question=["a", {}])), "Expected `str`"),
    "a huge number": (asked(question(10**400)), "9223372036854775807"),
    "a huge exponent": (asked(question()).replace(b": 1,", b": 1e999999,", 1), "1 of 1 questions"),
    "a lone surrogate": (asked(question(question="\ud800")), "malformed"),
    "not UTF-8": (b'{"questions": [\xff]}', "not JSON"),
    "nothing": (b"", "not JSON"),
    "another thing": (b'["questions"]', "no questions file"),
}


@pytest.fixture
def files(tmp_path):
    """Questions, annotations and results that belong together, and the words of `score` for them."""
    (tmp_path / "questions.json").write_bytes(asked(question()))
    (tmp_path / "annotations.json").write_text(json.dumps({"annotations": [annotation()]}))
    (tmp_path / "results.json").write_text('[{"question_id": 1, "answer": "yes"}]')
    names = ("questions", "annotations", "results")
    return ["score", *(word for name in names for word in (f"--{name}", str(tmp_path / f"{name}.json")))]


@pytest.mark.parametrize("name", QUESTIONS)
@pytest.mark.parametrize("file", ["questions", "annotations", "results"])
def test_hostile_json_is_one_line(name, file, files, tmp_path, capsys):
    content, said = QUESTIONS[name]
    if file == "annotations":
        content = content.replace(b'"questions"', b'"annotations"')
    elif file == "results" and b'"questions": ' in content:
        content = content.split(b": ", 1)[1].removesuffix(b"}")
    (tmp_path / f"{file}.json").write_bytes(content)
    assert main(files) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ") and f"{file}.json" in error
    assert len(error.splitlines()) == 1 and len(error) < 2000
    assert said in error or file != "questions"


@pytest.fixture
def mine(tiny):
    """A finished run beside which a dataset of your own is stated; its pictures and tables are in own/."""
    own = tiny.folder / "own"
    own.mkdir()
    with zipfile.ZipFile(own / "photos.zip", "w") as file:
        for number in range(1, 9):
            file.writestr(f"{number}.jpg", picture())
    (own / "mine.toml").write_text(
        '[own.mine]\npictures = "photos.zip"\nquestions = "q.json"\nannotations = "a.json"\n'
        'defaults = { weights = "random:0", glove = "vectors.4d" }\n'
        '[glove.mine]\npath = "vectors.zip"\nmembers = { "vectors.4d.txt" = 4 }\n'
    )
    with zipfile.ZipFile(own / "vectors.zip", "w") as file:
        file.writestr("vectors.4d.txt", "is 1 2 3 4\n")
    numbers = range(1, 9)
    (own / "q.json").write_bytes(asked(*(question(n, image_id=n) for n in numbers)))
    (own / "a.json").write_text(json.dumps({"annotations": [annotation(n, image_id=n) for n in numbers]}))
    tiny.configure("[sources]\ndatasets = own/mine.toml\n")
    return tiny


def refused(shell, said: str, *words: object, code: int = 30) -> str:
    """The command fails with one line that says so; every earlier artifact is as it was."""
    before = contents(shell.artifacts)
    result = watched(shell.command(*words), shell.folder, shell.environment())
    assert result.code == code and said in result.output, result.output
    assert "Traceback" not in result.output and len(result.output) < 6000
    assert result.peak < 1024 * MIB
    after = contents(shell.artifacts)
    ours = {name: content for name, content in before.items() if not name.startswith(".identities")}
    assert {name: after.get(name) for name in ours} == ours
    assert not [name for name in after if ".tmp-" in name]
    return result.output


@pytest.mark.slow
@pytest.mark.parametrize("name", QUESTIONS)
def test_hostile_questions_of_ones_own(name, mine):
    content, said = QUESTIONS[name]
    (mine.folder / "own" / "q.json").write_bytes(content)
    refused(mine, said, "luigi", "ConvertOwnData", "--dataset", "mine")


TABLES = {
    "nested": ("qa.jsonl", b'{"image": ' + b"[" * DEEP + b"\n", "not JSON"),
    "of other types": ("qa.jsonl", b'{"image": 3, "question": {}, "answer": 1}\n', "is not a text"),
    "a lone surrogate": ("qa.jsonl", b'{"image": "\\ud800", "question": "a", "answer": "b"}\n', "not JSON"),
    "an endless cell": (
        "qa.csv",
        b'image,question,answer\n1.jpg,"' + b"a" * 1_100_000 + b'",b\n',
        "1,100,000 char",
    ),
    "a path out of the folder": ("qa.csv", b"image,question,answer\n../../../etc/passwd,a,b\n", "no picture"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", TABLES)
def test_hostile_tables_of_ones_own(name, mine):
    file, content, said = TABLES[name]
    own = mine.folder / "own"
    (own / file).write_bytes(content)
    (own / "mine.toml").write_text(f'[own.mine]\npictures = "photos.zip"\nquestions = "{file}"\n')
    output = refused(mine, "ConvertOwnData failed", "luigi", "ConvertOwnData", "--dataset", "mine")
    assert said in output


@pytest.mark.slow
def test_a_table_with_a_nul_is_refused_by_its_first_bytes(mine):
    """Before anything runs: it is not text, and would be hashed for nothing."""
    (mine.folder / "own" / "qa.csv").write_bytes(b"image,question,answer\n\0.jpg,a,b\n")
    (mine.folder / "own" / "mine.toml").write_text(
        '[own.mine]\npictures = "photos.zip"\nquestions = "qa.csv"\n'
    )
    said = "qa.csv: not UTF-8 text: byte 22 is zero"
    refused(mine, said, "luigi", "ConvertOwnData", "--dataset", "mine", code=1)


VECTORS = {
    "a ragged row": (b"is 1 2 3 4\nit 1 2 3\n", "has 3 values; expected 4"),
    "NaN": (b"is 1 2 nan 4\nit 1 2 3 4\n", "not finite"),
    "infinity": (b"is 1 2 3 1e999\n", "not finite"),
    "a word twice": (b"is 1 2 3 4\nit 1 2 3 4\nis 1 2 3 4\n", "a second vector of 'is'"),
    "no end of line": (b"is 1 2 3 4\n" + b"x" * 5_000_000, "without an end"),
    "no vectors": (b"<html>404</html>\n", "expected 4 numbers"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", VECTORS)
def test_hostile_word_vectors(name, mine):
    content, said = VECTORS[name]
    with zipfile.ZipFile(mine.folder / "own" / "vectors.zip", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("vectors.4d.txt", content)
    mine("luigi", "BuildVocabulary", "--dataset", "mine")
    refused(mine, said, "luigi", "BuildEmbeddings", "--dataset", "mine")


@pytest.mark.slow
def test_json_that_inflates_without_measure_is_refused(mine, tmp_path):
    """60 MB of spaces in 60 kB are read (any small member may have any ratio); 200 MB are a bomb."""
    for size, said in ((60_000_000, "holds no questions"), (200_000_000, "zip bomb")):
        path = tmp_path / "questions.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
            file.writestr("q.json", b" " * size + b'{"questions": []}')
        code = "import sys; from data.text.official_json import read_questions; read_questions(sys.argv[1], 'q.json')"
        words = [sys.executable, "-c", code, str(path)]
        result = watched(words, ROOT, dict(os.environ))
        assert result.code == 1 and said in result.output
        assert result.peak < 250 * MIB


# --------------------------------------------------------------------------------------- models and weights


def forge(artifact: Path, name: str, content: bytes) -> None:
    """Put other bytes into an artifact with a manifest that agrees: what hashing can't tell from the real thing."""
    (artifact / name).write_bytes(content)
    manifest = parse((artifact / MANIFEST).read_bytes())
    files = manifest.files | {name: File(len(content), hashlib.sha256(content).hexdigest())}
    extras = ("history.csv", "curves.png", "events/*")
    replace(manifest, files=files, digest=digest(files, extras)).write(artifact)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "a pickle",
        "a longer header",
        "an endless header",
        "a huge tensor",
        "another shape",
        "another vocabulary",
    ],
)
def test_a_hostile_model_is_refused(name, tiny, tmp_path):
    model, mark = tiny.artifact("train-model"), tmp_path / "a-program-ran"
    weights, config = model / "model.safetensors", json.loads((model / "config.json").read_bytes())
    content, file, said = weights.read_bytes(), "model.safetensors", "cannot be read"
    if name == "a pickle":
        content = pickle.dumps(Bomb(mark))
    elif name == "a longer header":
        content = struct.pack("<Q", len(content) * 2) + content[8:]
    elif name == "an endless header":
        content = header({}, 2**63 - 1)
    elif name == "a huge tensor":
        content = header(huge([2**20, 2**20]))
    elif name == "another shape":
        content, said = header(huge([1]), body=bytes(4)), "does not fit its config"
    else:
        config["bound"]["vocabulary and answers"] = "0" * 64
        content, file, said = json.dumps(config).encode(), "config.json", "was trained with something else"
    forge(model, file, content)
    refused(tiny, said, "luigi", "PredictAnswers")
    assert not mark.exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["a pickle", "a pickle in a zip", "text", "an endless header", "a huge tensor"]
)
def test_hostile_weights_are_refused(name, tmp_path):
    mark, path = tmp_path / "a-program-ran", tmp_path / "weights.pth"
    if name == "a pickle":
        path.write_bytes(pickle.dumps(Bomb(mark)))
    elif name == "a pickle in a zip":  # as torch.save writes
        with zipfile.ZipFile(path, "w") as file:
            file.writestr("weights/data.pkl", pickle.dumps(Bomb(mark)))
            file.writestr("weights/version", "3\n")
    elif name == "text":
        path.write_text("<html>404</html>")
    else:
        path = path.with_suffix(".safetensors")
        path.write_bytes(
            header({}, 2**63 - 1) if name == "an endless header" else header(huge([2**20, 2**20]))
        )
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "1.jpg").write_bytes(picture())
    words = ("--backbone", "resnet18", "--layer", "flatten", "--weights", str(path), "--out", "f.h5")
    code, output, peak = pipeline(tmp_path, "features", "pictures", *words)
    assert code == 1 and "not a file of tensors" in output and "Traceback" not in output
    assert not mark.exists() and not (tmp_path / "f.h5").exists()
    assert peak < 1024 * MIB


# ----------------------------------------------------------------------------------------------- the sources

MODULES = {
    "pickle",
    "cPickle",
    "shelve",
    "marshal",
    "dill",
    "cloudpickle",
    "joblib",
    "yaml",
    "code",
    "codeop",
}
CALLS = {"eval", "exec", "compile", "__import__", "os.system", "os.popen", "torch.hub.load", "yaml.load"}
SOURCES = [
    path
    for room in ("pipeline", "tasks", "models", "data", "bench")
    for path in sorted((ROOT / room).rglob("*.py"))
]


def dangers(source: str) -> list[str]:
    """What in a module's text could execute data."""
    calls = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            module = getattr(node, "module", None) or ""
            names = {alias.name for alias in node.names}
            roots = {name.split(".")[0] for name in (names if isinstance(node, ast.Import) else {module})}
            calls += sorted(roots & MODULES)
            calls += [
                f"{module}.{name}" for name in sorted(names) if f"{module}.{name}" in CALLS | {"torch.load"}
            ]
        elif isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            flags = {flag.arg: ast.unparse(flag.value) for flag in node.keywords}
            calls += [name] if name in CALLS else []
            calls += ["shell=True"] if flags.get("shell", "False") != "False" else []
            calls += ["allow_pickle"] if flags.get("allow_pickle", "False") != "False" else []
            calls += ["torch.load"] if name == "torch.load" and flags.get("weights_only") != "True" else []
    return calls


def test_nothing_in_the_sources_can_execute_data():
    assert len(SOURCES) > 60
    assert not {str(path): found for path in SOURCES if (found := dangers(path.read_text(encoding="utf-8")))}


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from pickle import loads",
        "def f():\n    import yaml.reader",
        "eval('1')",
        "exec(text)",
        "import os\nos.system('ls')",
        "from os import system",
        "import subprocess\nsubprocess.run('ls', shell=True)",
        "subprocess.run('ls', shell=flag)",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "from torch import load",
        "numpy.load(path, allow_pickle=True)",
    ],
)
def test_the_test_above_can_fail(source):
    assert dangers(source)
    assert not dangers(
        "torch.load(path, weights_only=True)\nmodel.eval()\nre.compile('a')\nsubprocess.run(['ls'])"
    )
