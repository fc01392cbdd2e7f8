"""`STAGE --help`: its sentence, each flag once with the default in force for the dataset, and an example."""

from __future__ import annotations

import argparse
import inspect
from typing import Any

import luigi

from data.base.words import Lines
from tasks.contract.flagged import Flagged, check_settings, subclasses
from tasks.setup.experiment import FIRST
from tasks.setup.flag_kinds import Flag

EXAMPLES = {"tasks.stages.own_data": "mine", "tasks.stages.imported": "seed-v1"}
"""Datasets of their own, by the file of the stages that only these have."""


def stages() -> dict[str, type[Flagged]]:
    """Every stage that can be typed on a command line."""
    leaves = (cls for cls in subclasses(Flagged) if not cls.__subclasses__() and cls.__name__[0] != "_")
    return {cls.__name__: cls for cls in sorted(leaves, key=lambda cls: cls.__name__)}


def sentence(stage: type) -> str:
    return " ".join((inspect.getdoc(stage) or "").split())


def option(name: str) -> str:
    """learning_rate → --learning-rate"""
    return "--" + name.replace("_", "-")


def list_stages() -> str:
    """The stages, a line each, and what to type."""
    lines = [f"  {name:20} {sentence(cls).partition('. ')[0]}" for name, cls in stages().items()]
    usage = "usage: luigi --module pipeline STAGE [flags]"
    return Lines(usage, "", *lines, "", "STAGE --help lists a stage's flags")


def print_help(stage: type[Flagged], given: dict[str, Any]) -> None:
    """Print the help of a stage; `given`: texts of flags on the command line, as some set defaults."""
    typed = f"luigi --module pipeline {stage.__name__}"
    parser = argparse.ArgumentParser(
        usage=f"{typed} [flags]",
        description=sentence(stage),
        epilog=f"example: {typed} {_example(stage)}",
        add_help=False,
    )
    flags = parser.add_argument_group("flags, with the defaults in force" + _of_data(stage, given))
    for name, shown in defaults(stage, given).items():
        _add(flags, name, dict(stage.get_params())[name], shown)
    more = parser.add_argument_group("flags of Luigi, of which --help-all lists the rest")
    more.add_argument("--workers", metavar="N", help="how many stages may run at the same time (default: 1)")
    more.add_argument(
        "--scheduler-host", metavar="HOST", help="host of a luigid that schedules (default: this process)"
    )
    parser.print_help()


def defaults(stage: type[Flagged], given: dict[str, Any]) -> dict[str, str]:
    """Each flag of a stage with its value where it is not on the command line, as text.

    `given`: the flags on it, of which only those count that set others. UsageError where there is no such value.
    """
    check_settings()
    declared = stage.declared_flags()
    setting = {
        name: declared[name].parse(given[name]) for name in FIRST if name in declared and given.get(name)
    }
    values: dict[str, Any] = {**stage.resolved(setting)}
    return {name: _shown(values.get(name, False)) for name, _ in stage.get_params()}


def _shown(value: Any) -> str:
    if value is None:
        return "each model's own"
    if isinstance(value, bool):
        return "true" if value else "off"
    return str(value).replace("%", "%%") if value != "" else "the backbone's own"


def _of_data(stage: type[Flagged], given: dict[str, Any]) -> str:
    for name in ("dataset", "image_set"):
        if name in dict(stage.get_params()):
            return f" for {option(name)} {defaults(stage, given)[name]}"
    return ""


def _add(group: Any, name: str, flag: luigi.Parameter, shown: str) -> None:
    about = flag.about.replace("%", "%%") if isinstance(flag, Flag) else flag.description
    if not isinstance(flag, Flag):
        how: dict[str, Any] = {"action": "store_true"}
    elif flag.default is False:
        how = {"nargs": "?", "metavar": "true|false"}
    else:
        how = {"metavar": name.rpartition("_")[2].upper()}
    group.add_argument(option(name), help=f"{about} (default: {shown})", **how)


def _example(stage: type[Flagged]) -> str:
    """A few of its flags as typed on a command line."""
    examples = {"dataset": EXAMPLES.get(stage.__module__, "vqa-v1"), "image_set": "train2014", "epochs": "20"}
    params = dict(stage.get_params())
    words = [f"{option(name)} {value}" for name, value in examples.items() if name in params]
    first = next(iter(params))
    return " ".join(words) or f"{option(first)} {params[first].default}"
