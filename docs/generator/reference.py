"""Prints docs/reference.md, read from the code: `make docs` writes the file, and a test compares it.

Stages, flags, settings and tools are asked for what they are, so nothing here repeats a default.
"""

from __future__ import annotations

import inspect
import re
import tempfile
from collections.abc import Iterable
from pathlib import Path

import luigi
from artifact_files import FILES, MANIFEST, Part
from doors import catalog_tables, commands, own_catalog, settings, table

import pipeline
from data.catalog import sources
from models.classifiers.names import CLASSIFIERS
from tasks.contract.flagged import Flagged
from tasks.contract.stage import Stage
from tasks.setup.flag_kinds import Flag

EXAMPLE = """[own.an-example]
pictures = "."
questions = "qa.csv"
[ready_made.an-import]
path = "."
annotated_by = "vqa-v1"
answers = 1000
"""


def document() -> str:
    """All of reference.md."""
    parts = [
        "# Reference",
        "Every stage, flag, artifact, setting and command, written from the code by `make docs`: a test fails where "
        "the two differ.",
        "[Stages](#stages) · [flags](#flags) · [manifest.json](#manifestjson) · [luigi.cfg](#luigicfg) · "
        "[command line](#command-line) · [catalog](#catalog)",
        *_stages(),
        *_flags(),
        "## manifest.json",
        "Lies in every artifact's folder, is written last, and says what the artifact is.",
        table(("key", "content"), ((f"`{key}`", text) for key, text in MANIFEST.items())),
        *settings(),
        *commands(),
        *catalog_tables(),
    ]
    return "\n\n".join(parts) + "\n"


# ------------------------------------------------------------------------------------------------------ stages


def stages() -> list[type[Flagged]]:
    """Every stage that can be named on a command line: the order of artifact_files, and what that forgot."""
    found: set[type[Flagged]] = set()
    pending: list[type[Flagged]] = [Flagged]
    while pending:
        children = pending.pop().__subclasses__()
        pending += children
        ours = (child for child in children if child.__module__.split(".")[0] in ("pipeline", "tasks"))
        found |= {child for child in ours if not child.__subclasses__() and child.__name__[0] != "_"}
    order = list(FILES)
    known = sorted(found, key=lambda stage: (*_place(order, stage.__name__), stage.__name__))
    return known


def _place(order: list[str], name: str) -> tuple[bool, int]:
    return name not in order, order.index(name) if name in order else 0


def _stages() -> list[str]:
    with tempfile.TemporaryDirectory() as room:
        example = Path(room) / "example.toml"
        example.write_text(EXAMPLE, encoding="utf-8")
        sources.add(example)
        described = [part for stage in stages() for part in _stage(stage)]
    return [
        "## Stages",
        "`luigi --module pipeline STAGE [flags]` makes a stage's artifact, and first what it needs. "
        "An artifact is a folder below `[paths] artifacts` that holds these files and [manifest.json](#manifestjson); "
        "its name ends in the fingerprint of all that decides its content ([how the cache decides](cache.md)). "
        "What a stage needs is shown for vqa-v1, flags for all data.",
        *described,
    ]


def _stage(stage: type[Flagged]) -> list[str]:
    facts = []
    if issubclass(stage, Stage):
        named = "-".join(f"<{flag}>" for flag in stage.named_by)
        facts.append(f"folder: `{stage.stage_name()}/{named}-<fingerprint>/`")
    facts += [f"needs: {_needs(stage)}", f"flags: {_flags_of(stage)}"]
    files, rows = FILES[stage.__name__], []
    first = next(name for name in FILES if FILES[name] == files)
    if list(files) == ["*"]:
        facts.append(f"file: {files['*']}")
    elif first != stage.__name__:
        facts.append(f"files: as of [{first}](#{first.lower()})")
    else:
        rows = list(_file_rows(files))
    listed = "\n".join(f"- {fact}" for fact in facts)
    return [
        f"### {stage.__name__}",
        _sentence(stage),
        listed,
        *([table(("file", "content"), rows)] if rows else []),
    ]


def _flags_of(stage: type[Flagged]) -> str:
    """Their names; what the stages behind TrainModel share with it is not repeated."""
    names = [name for name, _ in stage.get_params() if name != "rerun"]
    trained = [name for name, _ in pipeline.TrainModel.get_params() if name != "rerun"]
    more = [name for name in names if name not in trained]
    if more and set(trained) <= set(names):
        return "those of [TrainModel](#trainmodel), and " + ", ".join(f"`{_option(name)}`" for name in more)
    return ", ".join(f"`{_option(name)}`" for name in names)


def _sentence(stage: type) -> str:
    return re.sub(r"\s+", " ", inspect.getdoc(stage) or "").strip()


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


def _needs(stage: type[Flagged]) -> str:
    """The stages that one of this kind requires, for a dataset that has it."""
    names = dict(stage.get_params())
    dataset = {"tasks.stages.own_data": "an-example", "tasks.stages.imported": "an-import"}.get(
        stage.__module__, "vqa-v1"
    )
    flags = {"dataset": dataset} if "dataset" in names else {}
    flags |= {"image_set": "train2014"} if "image_set" in names else {}
    found = luigi.task.flatten(stage(**flags).requires())
    return ", ".join(dict.fromkeys(f"`{need.task_family}`" for need in found)) or "nothing"


def _file_rows(files: dict[str, dict[str, Part] | str]) -> Iterable[tuple[str, str]]:
    for name, content in files.items():
        if isinstance(content, str):
            yield f"`{name}`", content
            continue
        for part, (kind, shape, meaning) in content.items():
            typed = f"{kind} {shape}: " if kind else ""
            yield f"`{name}` `{part}`", f"{typed}{meaning}"


# ------------------------------------------------------------------------------------------------------- flags


def _flags() -> list[str]:
    users: dict[str, list[str]] = {}
    known: dict[str, luigi.Parameter] = {}
    for stage in stages():
        for name, flag in stage.get_params():
            users.setdefault(name, []).append(stage.__name__)
            if known.setdefault(name, flag).significant != flag.significant:
                raise SystemExit(f"--{name} is part of the fingerprint of some stages only: say so here")
    order = sorted(known, key=lambda name: (not isinstance(known[name], Flag), name))
    return [
        "## Flags",
        "A flag means the same wherever it appears and is handed to all stages that a run needs. One that is not "
        "given has the value of luigi.cfg's `[experiment]`, then that of the dataset's entry in the catalog "
        "(below), then that of the model's recipe, then the default of this table; with data of your own some "
        "[follow the number of questions](own-data.md#what-follows-the-number-of-questions) instead of the last two. "
        '"In the fingerprint": another value is another artifact.',
        table(
            ("flag", "value", "default", "in the fingerprint", "meaning"),
            (
                (
                    f"`{_option(name)}`",
                    _values(known[name]),
                    _default(known[name]),
                    "yes" if known[name].significant else "no",
                    _meaning(known[name]),
                )
                for name in order
            ),
        ),
        "Defaults that a dataset brings with it, for every model (`[datasets.NAME.defaults]`) and for one and those "
        "like it (`[datasets.NAME.models.MODEL]`):",
        table(
            ("dataset", "model", "defaults"),
            (
                (
                    name,
                    model or "every",
                    ", ".join(f"`{_option(flag)} {value}`" for flag, value in flags.items()),
                )
                for name, dataset in own_catalog().datasets.items()
                for model, flags in {"": dataset.defaults, **dataset.models}.items()
                if flags
            ),
        ),
        "What a model is trained by where nobody says otherwise, its recipe (models/classifiers/names.py):",
        table(
            ("model", "reads", "recipe"),
            (
                (
                    name,
                    entry.reads,
                    ", ".join(f"`{_option(flag)} {value}`" for flag, value in entry.recipe.items()),
                )
                for name, entry in CLASSIFIERS.items()
            ),
        ),
    ]


def _values(flag: luigi.Parameter) -> str:
    """What may stand behind a flag, read from the function that parses it."""
    if not isinstance(flag, Flag) or isinstance(flag.default, bool):
        return "none, true or false"
    if flag.expected:
        return flag.expected.removeprefix("expected ")
    inside = inspect.getclosurevars(flag.kind).nonlocals if inspect.isfunction(flag.kind) else {}
    if "names" in inside:
        return ", ".join(inside["names"])
    return "a name of the catalog" if "find" in inside else "text"


def _default(flag: luigi.Parameter) -> str:
    if not isinstance(flag, Flag) or flag.default is False:
        return "off"
    return f"`{flag.default}`" if flag.default != "" else "empty"


def _meaning(flag: luigi.Parameter) -> str:
    return re.sub(r" \(default: [^()]*\)$", "", (flag.description or "").replace("%%", "%"))


if __name__ == "__main__":
    assert pipeline  # every stage is registered by this import
    print(document(), end="")
