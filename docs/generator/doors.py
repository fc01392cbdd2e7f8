"""The reference's part on luigi.cfg, the command line and the catalog."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from data.base.words import human_size
from data.catalog import entries, sources
from data.catalog.read_catalog import load
from pipeline.__main__ import COMMANDS, PROGRAM, build_parser
from tasks.setup.settings import PROJECT, SETTINGS


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [list(head), *map(list, rows)]
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def settings() -> list[str]:
    lines = [
        "## luigi.cfg",
        "The only configuration file. The nearest wins: the file that `LUIGI_CONFIG_PATH` names, `./luigi.cfg`, the "
        "project's own. A relative path starts at the file that states it. Nothing but `[experiment]` moves an "
        "artifact's path. `VQA_CATALOG` may name a file that takes the place of data/catalog/catalog.toml.",
        "In the sections that are ours, and in `[experiment]`, a value may stand in quotation marks, with a comment "
        "behind it (` # ...` or ` ; ...`; inside quotation marks it is part of the value), and name variables of the "
        "environment (`$HOME/x`, `${HOME}/x`, `~/x`). Luigi's own sections have their values as they stand.",
    ]
    for section, rows in _cfg().items():
        ours = SETTINGS.get(section, {})
        lines.append(f"### [{section}]" + ("" if ours or section == "experiment" else " (Luigi's own)"))
        if missing := ours.keys() - {row.name for row in rows}:
            raise SystemExit(f"luigi.cfg does not show {', '.join(sorted(missing))} in [{section}]")
        if section == "experiment":
            lines.append("Defaults for the flags of all stages: every [flag](#flags), with underscores.")
        elif ours:
            cells = [(f"`{row.name}`", row.shown, ours[row.name].expected, row.comment) for row in rows]
            lines.append(table(("setting", "default", "value", "meaning"), cells))
        else:
            cells_here = [(f"`{row.name}`", "not set" if row.off else row.shown, row.comment) for row in rows]
            lines.append(table(("setting", "here", "meaning"), cells_here))
    return lines


class _Row(NamedTuple):
    """A setting in luigi.cfg; `off`: it stands there as a comment."""

    name: str
    shown: str
    comment: str
    off: bool


def _cfg() -> dict[str, list[_Row]]:
    """The project's luigi.cfg by section, each setting with the comment above it."""
    found: dict[str, list[_Row]] = {}
    rows: list[_Row] = []
    comment: list[str] = []
    for line in (PROJECT / "luigi.cfg").read_text(encoding="utf-8").splitlines():
        if section := re.fullmatch(r"\[(\w+)\]", line):
            rows = found.setdefault(section[1], [])
        elif setting := re.fullmatch(r"(#?)([\w-]+) = ?(.*)", line):
            shown = f"`{setting[3]}`" if setting[3] else "empty"
            rows.append(_Row(setting[2], shown, " ".join(comment), bool(setting[1])))
        elif line.startswith("# ") and not line.startswith("# --"):
            comment.append(line[2:])
            continue
        comment = []
    return found


def commands() -> list[str]:
    _, parsers = build_parser()
    rows = [
        (f"`{_usage(name)}`", command.sentence, f"`{PROGRAM} {command.example}`")
        for name, command in COMMANDS.items()
    ]
    lines = [
        "## Command line",
        "`luigi --module pipeline STAGE --help` lists a stage's flags with the defaults in force. Exit codes of "
        f"`luigi` are those of `[retcode]` above; `{PROGRAM}`, also installed as `vqa`, ends with 0, with 1 after "
        "an error or where `verify` finds a difference. Both end with 2 for flags that they can't read; none may be "
        "abbreviated. SIGTERM ends them within ten seconds with 75: the same command goes on from there.",
        table(("command", "does", "example"), rows),
        "TASK is a stage as `luigi` takes it, RunAll where none is named.",
        "What happens before `luigi` imports this project is Luigi's to report, in its own words: a mistyped "
        "`--module`, an ambiguous beginning of one of its own flags, and a luigi.cfg that it can't parse: "
        "without a section, with one or an option in it twice, with a byte order mark, in UTF-16 or another encoding "
        "than UTF-8; a client.cfg likewise; a `LUIGI_CONFIG_PARSER` or a `LUIGI_CONFIG_PATH` that asks for TOML. "
        f"`{PROGRAM} plan STAGE [flags]` says in one line what is wrong with such a flag or file.",
    ]
    for name, parser in parsers.items():
        if rows := [_argument(one) for one in parser._actions if one.dest != "help"]:
            lines += [f"### {PROGRAM} {name}", table(("argument", "value", "meaning"), rows)]
    targets = re.findall(r"^([a-z-]+):.*## (.*)$", (PROJECT / "Makefile").read_text(encoding="utf-8"), re.M)
    return [
        *lines,
        "### make",
        table(("target", "does"), ((f"`make {name}`", text) for name, text in targets)),
    ]


def _usage(name: str) -> str:
    """`gc TASK [flags] ...`: a command's usage without the program."""
    usage = " ".join(build_parser()[1][name].format_usage().split())
    return usage.removeprefix(f"usage: {PROGRAM} ").replace("[-h] ", "").removesuffix(" [-h]").strip()


def _argument(action: argparse.Action) -> tuple[str, str, str]:
    kinds = {int: "a whole number", float: "a number", Path: "a path", None: "text"}
    kind = (
        "none"
        if action.nargs == 0
        else ", ".join(map(str, action.choices or [])) or kinds.get(action.type, "text")
    )  # type: ignore[call-overload]
    names = (
        ", ".join(f"`{name}`" for name in action.option_strings)
        or f"`{action.metavar or action.dest.upper()}`"
    )
    return names + (" (needed)" if action.required else ""), kind, (action.help or "").replace("%%", "%")


# ----------------------------------------------------------------------------------------------------- catalog


def own_catalog() -> entries.Catalog:
    """The project's catalog alone, whatever is put beside it here."""
    return load(sources.CATALOG)


def catalog_tables() -> list[str]:
    catalog = own_catalog()
    datasets = [
        (
            name,
            split,
            part.image_set,
            _count(part.question_count),
            ", ".join(part.members),
            ", ".join(one.tasks()),
        )
        for name, one in catalog.datasets.items()
        for split, part in one.splits.items()
    ]
    image_sets = [
        (name, _count(one.images), one.source.file, _size(one.source), one.source.licence)
        for name, one in catalog.image_sets.items()
    ]
    vectors = [
        (name, str(one.dimensions), one.source.file, _size(one.source), one.source.licence)
        for name, one in catalog.gloves.items()
    ]
    weights = [(name, one.file, _size(one), one.licence) for name, one in catalog.weights.items()]
    return [
        "## Catalog",
        "What data/catalog/catalog.toml knows, with the addresses, sizes and hashes of every file. A size that nobody "
        "publishes is shown as -. [Licences](licences.md) says more.",
        "### Datasets",
        table(("dataset", "split", "image set", "questions", "subsets", "tasks"), datasets),
        "### Image sets",
        table(("image set", "pictures", "file", "size", "licence"), image_sets),
        "### Word vectors",
        table(("--glove", "dimensions", "file", "size", "licence"), vectors),
        "### Pretrained weights",
        table(("backbone", "file", "size", "licence"), weights),
        "Questions and annotations of VQA: " + _licence_of(catalog) + ".",
    ]


def _licence_of(catalog: entries.Catalog) -> str:
    return catalog.datasets["vqa-v1"].splits["train"].questions.licence


def _count(number: int | None) -> str:
    return "-" if number is None else f"{number:,}"


def _size(source: entries.Source) -> str:
    return "-" if source.bytes is None else human_size(source.bytes)
