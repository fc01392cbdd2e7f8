"""`python -m pipeline COMMAND`: look before a run, and keep house after it. Running is Luigi's: see README."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import luigi
from luigi.cmdline_parser import CmdlineParser

from pipeline import cache, exchange, pruning
from pipeline.asking import ask
from pipeline.features_tool import features
from pipeline.runs import compare, runs
from pipeline.serving import serve
from tasks import artifacts, inventory, settings
from tasks.errors import UsageError, nearest
from tasks.logs import EXPECTED

USAGE = """python -m pipeline plan [TASK] [flags]                 what a run would do, why, and what it would cost
       python -m pipeline verify                                hash every artifact, name what differs
       python -m pipeline gc TASK [flags] [-- TASK ...] [--downloads] [--yes]
                                                                list, then remove, what these do not reach
       python -m pipeline runs [--json]                         the trained models: when, how good, what differs
       python -m pipeline compare A B [--out FILE]              two trained models side by side, as a page
       python -m pipeline score --annotations A --questions Q --results R [--json]
                                                                the official accuracy of any results file
       python -m pipeline features PICTURES --out features.h5 [--backbone vgg16] [--layer fc7] [--weights ...]
                                                                features of any folder or zip of pictures
       python -m pipeline ask PICTURE QUESTION [QUESTION ...] [--run RUN] [--json]
                                                                a trained model's answers about any picture
       python -m pipeline serve [--run RUN] [--port PORT] [--host HOST]
                                                                the same on a page in your browser
       python -m pipeline export [TASK] [flags] --to DIR        a finished run as the original project's three files
       python -m pipeline import --from ZIP [--annotations vqa-v1]
                                                                these files as the dataset seed-v1"""

TAKES_A_TASK = ("plan", "gc", "export")
"""Commands whose words are read by Luigi, which would answer --help with flags of its own."""


def main(arguments: list[str]) -> int:
    commands = {
        "ask": ask,
        "serve": serve,
        "plan": plan,
        "verify": verify,
        "gc": gc,
        "runs": runs,
        "compare": compare,
        "score": score,
        "features": features,
        "export": export,
        "import": exchange.import_files,
    }
    if not arguments or arguments[0] in ("-h", "--help"):
        print(f"usage: {USAGE}")
        return 0 if arguments else 2
    if arguments[0] not in commands:
        print(
            f"error: unknown command '{arguments[0]}'; {nearest(arguments[0], list(commands))}",
            file=sys.stderr,
        )
        return 2
    if arguments[0] in TAKES_A_TASK and {"-h", "--help"} & set(arguments):
        print(
            f"usage: {_usage(arguments[0])}\n\nluigi --module pipeline TASK --help lists the flags of a task"
        )
        return 0
    try:
        return commands[arguments[0]](arguments[1:])
    except (*EXPECTED, UsageError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def _usage(command: str) -> str:
    """The part of USAGE that is about one command."""
    start = USAGE.index(f"python -m pipeline {command}")
    return USAGE[start:].partition("\n       python")[0]


def task_from(arguments: list[str]) -> luigi.Task:
    """A task of ours from a command line as Luigi takes it; RunAll where none is named."""
    if not arguments or arguments[0].startswith("-"):
        arguments = ["RunAll", *arguments]
    try:
        with CmdlineParser.global_instance(["--module", "pipeline", *arguments]) as parser:
            return parser.get_task_obj()
    except luigi.task_register.TaskClassException as error:
        raise SystemExit(f"error: {error}") from None


def plan(arguments: list[str]) -> int:
    """Print keep or run for every stage, then what the runs would take."""
    steps = cache.plan(task_from(arguments))
    width = max((len(step.stage.stage_name()) + len(step.stage.slug) for step in steps), default=0) + 3
    for step in steps:
        name = f"{step.stage.stage_name()}  {step.stage.slug}"
        print(f"{step.action:5} {name:{width}} {_short(step.why)}".rstrip())
    running = [step for step in steps if step.action == "run"]
    if not running:
        print("nothing to do")
        return 0
    total = cache.costs(steps)
    print(f"{len(running)} to run, {len(steps) - len(running)} kept; {_cost_line(total)}")
    return 0


def _short(why: str) -> str:
    return why if len(why) < 160 else why[:157] + "..."


def _duration(seconds: float) -> str:
    """'45 s', '12 min', '6.5 h'"""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:,.1f} h"


def _cost_line(total: dict[str, float]) -> str:
    parts = [
        f"to download {human(total['download'])}",
        f"disk {human(total['disk'])} of {human(cache.free_disk())} free",
    ]
    known = f"about {_duration(total['seconds'])}" if total["seconds"] else "time not known"
    if total["unknown"] and total["seconds"]:
        known += f" and {total['unknown']:.0f} stages whose time is not known"
    return ", ".join([*parts, known])


def human(size: float) -> str:
    """Bytes for people: 13.5 GB."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            return f"{size:,.0f} {unit}" if unit == "bytes" else f"{size:,.1f} {unit}"
        size /= 1000
    raise AssertionError


def verify(arguments: list[str]) -> int:
    """Print one line an artifact; exit code 1 where anything differs."""
    argparse.ArgumentParser(prog="python -m pipeline verify").parse_args(arguments)
    bad = 0
    base = settings.artifacts_folder()
    for path, wrong in cache.verify(list(inventory.all_artifacts())).items():
        bad += bool(wrong)
        print(f"{'DIFFERS' if wrong else 'ok':8} {path.relative_to(base)} {'; '.join(wrong)}".rstrip())
    print(
        f"{bad} of the artifacts in {base} differ"
        if bad
        else f"all artifacts in {base} are as their manifests say"
    )
    return 1 if bad else 0


def gc(arguments: list[str]) -> int:
    """List what the given roots do not reach; remove it with --yes."""
    yes, downloads = "--yes" in arguments, "--downloads" in arguments
    roots: list[list[str]] = [[]]
    for word in arguments:
        if word == "--":
            roots.append([])
        elif word not in ("--yes", "--downloads"):
            roots[-1].append(word)
    if any(not root or root[0].startswith("-") for root in roots):
        print(
            "error: gc needs the task to keep, such as: python -m pipeline gc RunAll --dataset sample",
            file=sys.stderr,
        )
        return 2
    unneeded = pruning.unreached([task_from(root) for root in roots], downloads)
    models = pruning.trained_models(unneeded)
    sizes: dict[pruning.Unneeded, int] = {}
    for one in unneeded:
        if why := one.why_kept():
            print(f"keep {one.path}: {why}")
            continue
        sizes[one] = artifacts.size(one.path)
        print(f"{'remove' if yes else 'would remove'} {human(sizes[one]):>12}  {one.path}")
        if yes:
            pruning.discard(one.path)
    print(_sum(sizes, models) if sizes else "nothing to remove")
    if sizes and not yes:
        print("nothing was removed; add --yes to remove these")
    return 0


def _sum(sizes: dict[pruning.Unneeded, int], models: dict[Path, str]) -> str:
    """'23 artifacts, 221.0 MB, 1 trained model: NAME 76.05'"""
    whole = sum(one.artifact for one in sizes)
    parts = [_count(whole, "artifact")] if whole else []
    if left := len(sizes) - whole:
        parts.append(_count(left, "piece", " of unfinished work"))
    parts.append(human(sum(sizes.values())))
    if names := [models[one.path] for one in sizes if one.path in models]:
        parts.append(f"{_count(len(names), 'trained model')}: {', '.join(names)}")
    return ", ".join(parts)


def _count(number: int, noun: str, more: str = "") -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}{more}"


def score(arguments: list[str]) -> int:
    """Official figures of anyone's results file."""
    parser = argparse.ArgumentParser(prog="python -m pipeline score")
    for name in ("annotations", "questions", "results"):
        parser.add_argument(f"--{name}", type=Path, required=True, help=f"official-format {name} JSON")
    parser.add_argument("--json", action="store_true", help="print JSON")
    flags = parser.parse_args(arguments)
    import json

    from data.scoring import format_accuracy
    from data.scoring import score as official

    figures = official(flags.annotations, flags.questions, flags.results)
    print(json.dumps(figures, indent=1) if flags.json else format_accuracy(figures))
    return 0


def export(arguments: list[str]) -> int:
    """Write a finished run as the original project's files."""
    return exchange.export_files(arguments, task_from)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
