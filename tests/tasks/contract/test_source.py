"""The digest of a stage's source: it follows all that the stage reaches, and nothing else."""

from __future__ import annotations

import ast
import subprocess
import sys
from dataclasses import replace

import luigi
import pytest
from commands import ROOT, TinyShell

import pipeline
from data.catalog import entries, sources
from tasks.contract import growing_tables, source
from tasks.contract.flagged import subclasses
from tasks.contract.graph import walk
from tasks.contract.stage import Stage

ASIDE = ("tasks/contract/", "tasks/setup/")
FILES = sorted(source._project_files())
GROWING = sorted(growing_tables.TABLES)


@pytest.fixture(scope="module")
def stages(tmp_path_factory):
    """One stage of each class: of a whole run, of a dataset of your own, of one that is ready-made."""
    folder, before = tmp_path_factory.mktemp("sources"), list(sources._added)
    (folder / "mine.csv").write_text("image,question,answer\na.jpg,What?,cat\n")
    (folder / "x.zip").write_bytes(b"PK\5\6" + bytes(18))
    (folder / "more.toml").write_text(
        '[own.mine]\npictures = "."\nquestions = "mine.csv"\n'
        '[ready_made.theirs]\npath = "x.zip"\nannotated_by = "vqa-v1"\nanswers = 9\n'
    )
    sources.add(folder / "more.toml")
    roots = [pipeline.RunAll(), pipeline.RunAll(dataset="vqa-v1"), pipeline.RunAll(dataset="mine")]
    roots += [
        pipeline.EvaluateModel(dataset="theirs"),
        pipeline.RunAll(dataset="vqa-v2-mini"),
        pipeline.CompareModels(models="deeper-lstm", seeds=1),
    ]
    yield {type(stage).__name__: stage for root in roots for stage in walk(root)}
    sources._added[:] = before
    luigi.Task.clear_instance_cache()


def test_every_stage_is_looked_at(stages):
    ours = {cls.__name__ for cls in subclasses(Stage) if cls.__module__.startswith("tasks.stages.")}
    abstract = {
        "Download",
        "DownloadText",
        "Encoding",
        "Extracting",
        "Judging",
        "OfPart",
        "Scoring",
        "_Imported",
    }
    assert stages.keys() == ours - abstract


def with_change(monkeypatch, path, change):
    """As if that file of the project had another content."""
    look, read = source._look.__wrapped__, source._read
    cached = source._look
    monkeypatch.setattr(source, "_read", lambda name: change(read(name)) if name == path else read(name))
    monkeypatch.setattr(source, "_look", lambda name, *more: (look if name == path else cached)(name, *more))


def imports(path):
    """(files that a module imports, files from which it imports stages alone), as Python's parser sees them."""
    needed, ends = set(), set()
    for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            modules, only_stages = {alias.name for alias in node.names}, False
        elif isinstance(node, ast.ImportFrom):
            modules = {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
            values = [getattr(sys.modules.get(node.module), alias.name, None) for alias in node.names]
            only_stages = all(isinstance(value, type) and issubclass(value, luigi.Task) for value in values)
        else:
            continue
        files = {file for module in modules for file in files_of(module)}
        (ends if only_stages else needed).update(files)
    return needed, ends


def files_of(module):
    """A module's file and the __init__ of every package around it."""
    parts = module.split(".")
    places = ["/".join(parts[:end]) for end in range(1, len(parts) + 1)]
    names = {f"{place}/__init__.py" for place in places} | {f"{places[-1]}.py"}
    return {name for name in names if name in FILES and not name.startswith(ASIDE)}


CLASSES = "models/classifiers/names.py"
NAMED = {
    CLASSES: ["models/classifiers/deeper_lstm.py"],
    "data/scoring/normalisation.py": ["data/scoring/vqa_answer_normalisation.json"],
    "data/report/templates.py": ["data/report/report.css", "data/report/report.js"],
    "data/report/report_page.py": ["data/report/report.html.j2", "data/report/page.html.j2"],
    "data/report/models_page.py": ["data/report/models.html.j2", "data/report/page.html.j2"],
    "data/report/comparison_page.py": ["data/report/comparison.html.j2", "data/report/page.html.j2"],
}
"""Files that modules read (the class of the model that the stages have), and templates that those extend."""


def reached(stage):
    """What a stage reaches, found without the code that is tested."""
    seen, ends = set(), set()
    pending = {file for cls in type(stage).__mro__ for file in files_of(cls.__module__)}
    while pending:
        path = pending.pop()
        seen.add(path)
        needed, stages_of = imports(path) if path.endswith(".py") else (set(), set())
        named = set(NAMED.get(path, [])) if path != CLASSES or "model" in stage.flags_read else set()
        pending |= (needed | named) - seen
        ends |= stages_of
    return seen | ends


def test_a_changed_line_in_each_file_that_a_stage_reaches_moves_its_digest_and_any_other_does_not(
    stages, monkeypatch
):
    before = {name: source.source_digest(stage) for name, stage in stages.items()}
    expected = {name: reached(stage) for name, stage in stages.items()}
    used = set().union(*expected.values())
    assert len(used) > 100 and not {path for path in GROWING if path not in used}
    for path in FILES:
        with monkeypatch.context() as patch:
            with_change(patch, path, lambda text: f"{text}\n# another line\n")
            moved = {name for name, stage in stages.items() if source.source_digest(stage) != before[name]}
        assert moved == {name for name in expected if path in expected[name]}, path


@pytest.mark.parametrize(
    "path, moved, still",
    [
        (
            "data/pictures/feature_file.py",
            {"ExtractFeatures", "TrainModel", "ImportFeatures"},
            {"MakeSample"},
        ),
        ("tasks/extraction/shard_files.py", {"ExtractFeatures"}, {"TrainModel", "DownloadImages"}),
        ("models/training/loop.py", {"TrainModel"}, {"ExtractFeatures", "PredictAnswers"}),
        ("data/report/report.html.j2", {"Report"}, {"EvaluateModel", "PredictAnswers"}),
        ("data/report/page.html.j2", {"Report"}, {"EvaluateModel"}),
        ("data/report/comparison.html.j2", set(), {"Report"}),
        (
            "data/scoring/vqa_answer_normalisation.json",
            {"EvaluateModel", "EncodeAnswers"},
            {"ExtractFeatures"},
        ),
        ("data/text/__init__.py", {"EncodeQuestions", "TrainModel"}, {"ExtractFeatures", "MakeSample"}),
        (
            "data/download/fetch.py",
            {"DownloadImages", "DownloadQuestions"},
            {"ExtractFeatures", "TrainModel"},
        ),
        ("tasks/stages/download.py", {"DownloadImages", "DownloadAnnotations"}, set()),
        ("tasks/library/judged_questions.py", {"Report"}, {"EvaluateModel"}),
    ],
)
def test_what_is_known_to_be_reached(stages, path, moved, still):
    assert path in FILES
    reaching = {name for name, stage in stages.items() if path in source.reached_files(stage)}
    assert moved <= reaching and not still & reaching


# A script, as extraction starts processes that import the main module again.
TRACED = """
import sys, threading
import luigi
import pipeline
from tasks.contract import source
from tasks.contract.stage import Stage
from tasks.contract.flagged import subclasses

def traced(cls):
    build = cls.build
    def run(self, folder):
        files, root = set(), f"{source.ROOT}/"
        def note(frame, event, argument):
            if event == "call":
                files.add(frame.f_code.co_filename)
        threading.setprofile(note)
        sys.setprofile(note)
        try:
            return build(self, folder)
        finally:
            sys.setprofile(None)
            threading.setprofile(None)
            ours = {file.removeprefix(root) for file in files if file.startswith(root)} & source._project_files()
            print(type(self).__name__, len(ours), *sorted(ours - source.reached_files(self).keys()))
    cls.build = run

if __name__ == "__main__":
    for cls in subclasses(Stage):
        if "build" in vars(cls):
            traced(cls)
    sys.exit(not luigi.build([pipeline.RunAll()], local_scheduler=True, log_level="WARNING"))
"""


@pytest.mark.slow
def test_no_stage_runs_a_line_of_a_file_that_its_digest_does_not_follow(tmp_path):
    shell, script = TinyShell(tmp_path), tmp_path / "traced.py"
    script.write_text(TRACED)
    command = [sys.executable, str(script)]
    done = subprocess.run(
        command, cwd=tmp_path, env=shell.environment(), capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines() if line.split()[0] in vars(pipeline)]
    assert {line[0] for line in lines} >= {"ExtractFeatures", "TrainModel", "Report"}
    for stage, count, *missed in lines:
        # The backbone's layer is looked up where flags are read: their values stand in the key.
        assert int(count) > 2 and not set(missed) - {"models/backbones/names.py"}, (stage, missed)


# ------------------------------------------------------------------------------------------- tables that grow


def digests(dataset="vqa-v1", **flags):
    luigi.Task.clear_instance_cache()
    return {
        stage.task_id: source.source_digest(stage)
        for stage in walk(pipeline.RunAll(dataset=dataset, **flags))
    }


def test_another_dataset_of_the_catalog_moves_nothing_and_a_changed_one_its_own_stages(monkeypatch):
    before, catalog = digests(), sources.shared_catalog()
    known = catalog.datasets["vqa-v1"]
    monkeypatch.setitem(catalog.datasets, "vqa-v3", replace(known, name="vqa-v3"))
    monkeypatch.setitem(catalog.weights, "resnet18", entries.Source("new", "new.pth"))
    monkeypatch.setitem(catalog.image_sets, "val2024", catalog.image_sets["val2014"])
    monkeypatch.setitem(catalog.gloves, "glove.7B", catalog.gloves["glove.6B.300d"])
    assert digests() == before
    monkeypatch.setitem(catalog.datasets, "vqa-v1", replace(known, humans=9))
    moved = {task.split("_")[0] for task, digest in digests().items() if digest != before[task]}
    others = {"ExtractFeatures", "DownloadImages", "DownloadGlove", "DownloadWeights"}
    assert moved == {task.split("_")[0] for task in before} - others


@pytest.mark.parametrize(
    "kind, name", [("image_sets", "train2014"), ("gloves", "glove.6B.300d"), ("weights", "vgg16")]
)
def test_a_changed_entry_moves_the_stages_that_read_it(monkeypatch, kind, name):
    before, table = digests(), getattr(sources.shared_catalog(), kind)
    monkeypatch.setitem(
        table, name, replace(table[name], **({"file": "x"} if kind == "weights" else {"name": "x"}))
    )
    moved = {task.split("_")[0] for task, digest in digests().items() if digest != before[task]}
    reading = {"image_sets": "ExtractFeatures", "gloves": "BuildEmbeddings", "weights": "DownloadWeights"}
    assert reading[kind] in moved and (kind == "image_sets" or "EncodeQuestions" not in moved)


BACKBONES, CLASSIFIERS = GROWING
NEW_BACKBONE = """
    # A newer one.
    "resnet34": Entry("IMAGENET1K_V1", {"pooled": Layer("flatten", (512,), 1)}),
    "vgg16": Entry("""


@pytest.mark.parametrize(
    "path, old, new, moved",
    [
        (BACKBONES, '\n    "vgg16": Entry(', NEW_BACKBONE, ()),
        (BACKBONES, "\n    alexnet ", "\n    a_new_one alexnet ", ()),
        (BACKBONES, "(4096,), 139_570_240", "(4096,), 139_570_241", ()),  # vgg19's
        (BACKBONES, "(4096,), 134_260_544", "(4096,), 134_260_545", ("ExtractFeatures",)),
        (CLASSIFIERS, '\n    "lang', '\n    "new": Entry("lstm.py", "LSTM", "none"),\n    "lang', ()),
        (CLASSIFIERS, '"BagOfWords", "vector"', '"BagOfWords", "grid"', ()),
        (CLASSIFIERS, '"DeeperLstm", "vector"', '"DeeperLstm", "grid"', ("TrainModel", "PredictAnswers")),
    ],
)
def test_of_a_table_only_the_entry_that_is_read_counts(monkeypatch, path, old, new, moved):
    before = digests()
    assert source._read(path).count(old) == 1
    with_change(monkeypatch, path, lambda text: text.replace(old, new))
    changed = {task.split("_")[0] for task, digest in digests().items() if digest != before[task]}
    assert changed >= set(moved) and bool(changed) == bool(moved)


def test_the_tables_that_grow_are_where_they_are_said_to_be():
    for path, (flag, tables) in growing_tables.TABLES.items():
        text = source._read(path)
        assert all(f"\n{table}" in text for table in tables) and flag in dict(
            pipeline.TrainModel.get_params()
        )


def test_a_model_in_a_file_of_its_own_is_reached_by_that_model_alone(monkeypatch):
    line = '    "deeper-lstm": Entry("deeper_lstm.py"'
    with_change(
        monkeypatch,
        CLASSIFIERS,
        lambda text: text.replace(line, f'    "new": Entry("initial_weights.py", "x", "none"),\n{line}'),
    )
    stage = pipeline.TrainModel()
    for model, file in (("new", "initial_weights.py"), ("deeper-lstm", "deeper_lstm.py")):
        stage.flags_read = stage.flags_read | {"model": model}
        reached = source.reached_files(stage)
        assert f"models/classifiers/{file}" in reached
        assert ("models/classifiers/deeper_lstm.py" in reached) == (model == "deeper-lstm")


# ----------------------------------------------------------------------------------------------------- in plan


def test_plan_says_so_of_the_stages_that_reach_the_change_and_of_no_other(tiny, tmp_path):
    def differing(**environment):
        text = tiny("pipeline", "plan", **environment)
        assert "nothing to do" in text
        return {line.split()[1] for line in text.splitlines() if "source differs, version not bumped" in line}

    assert differing() == set()
    with tiny.catalog.open("a") as catalog:
        catalog.write("\n[datasets.another]\nhumans = 3\n")
        catalog.write('[weights.resnet34]\norigin = "torchvision"\nfile = "r.pth"\n')
    assert differing() == set()
    manifest = tiny.artifact("report") / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"source": "', '"source": "0'))
    assert differing() == {"report"}
