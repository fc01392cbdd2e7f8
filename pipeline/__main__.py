"""`python -m pipeline COMMAND`, also as `vqa COMMAND`: look ahead of a run, and clean up after it.

Running is Luigi's: `luigi --module pipeline STAGE`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass

from data.base.errors import Told
from data.base.words import show
from pipeline import startup
from pipeline.commands import (
    ask,
    backbones,
    compare,
    export,
    export_model,
    features,
    gc,
    import_files,
    init,
    list_sources,
    plan,
    runs,
    score,
    verify,
)
from pipeline.commands.root_task import BETWEEN_ROOTS
from pipeline.commands.serve import server
from pipeline.luigi_flags import check_stage
from pipeline.one_line_parser import WRONG, OneLineParser
from pipeline.stage_help import print_help, stages
from tasks.setup.user_errors import EXPECTED, UsageError, nearest

PROGRAM = "python -m pipeline"
HELP = {"-h", "--help"}


@dataclass(frozen=True)
class Command:
    """A command: a sentence on what it does, an example, its flags, and the function that takes them."""

    sentence: str
    example: str
    run: Callable[[argparse.Namespace], int]
    add_flags: Callable[[argparse.ArgumentParser], None] = lambda parser: None
    task: str = ""
    """How the usage shows the task and its flags, which Luigi reads, of a command that takes one."""


COMMANDS = {
    "init": Command(
        "your own pictures and questions as a dataset",
        "init my-vqa --pictures photos/ --questions qa.csv",
        init.init,
        init.add_flags,
    ),
    "plan": Command(
        "what a run would do, why, and what it would cost",
        "plan RunAll --dataset vqa-v1 --epochs 20",
        plan.plan,
        task="[TASK] [flags]",
    ),
    "verify": Command("hash every artifact, name what differs", "verify", verify.verify),
    "gc": Command(
        "list, then remove, what these tasks do not reach",
        "gc RunAll -- RunAll --dataset vqa-v1 --yes",
        gc.gc,
        gc.add_flags,
        task="TASK [flags] [-- TASK ...]",
    ),
    "runs": Command(
        "the trained models: when, how good, what differs", "runs --json", runs.runs, runs.add_flags
    ),
    "compare": Command(
        "two trained models or more side by side, as a page",
        "compare 3f9c 81d0 --out both.html",
        compare.compare,
        compare.add_flags,
    ),
    "score": Command(
        "the official accuracy of any results file",
        "score --annotations A.json --questions Q.json --results R.json",
        score.score,
        score.add_flags,
    ),
    "features": Command(
        "features of any folder or zip of pictures",
        "features photos/ --backbone resnet50 --out features.h5",
        features.features,
        features.add_flags,
    ),
    "backbones": Command(
        "the networks that features can come from, and their layers",
        "backbones 'resnet*'",
        backbones.backbones,
        backbones.add_flags,
    ),
    "ask": Command(
        "a trained model's answers about any picture",
        'ask photos/cat.jpg "What animal is it?" "Is it asleep?"',
        ask.ask,
        ask.add_flags,
    ),
    "serve": Command(
        "the same on a page in your browser, until Ctrl-C",
        "serve --port 7860",
        server.serve,
        server.add_flags,
    ),
    "export-model": Command(
        "a trained model as one file, to ask elsewhere",
        "export-model 3f9c --to model.zip",
        export_model.export_model_file,
        export_model.add_flags,
    ),
    "export": Command(
        "a finished run as the original project's three files",
        "export RunAll --dataset vqa-v1 --to original/",
        export.export_files,
        export.add_flags,
        task="[TASK] [flags]",
    ),
    "import": Command(
        "these three files as the dataset seed-v1",
        "import --from data_train_val.zip",
        import_files.import_files,
        import_files.add_flags,
    ),
    "sources": Command(
        "what is downloaded, from where, and is it still there",
        "sources --check",
        list_sources.sources,
        list_sources.add_flags,
    ),
}


class _Columns(argparse.HelpFormatter):
    """Every command's sentence beside its name: argparse leaves no room for the longest of indented names."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog)
        self._action_max_length = max(map(len, COMMANDS)) + self._indent_increment * 2


def build_parser() -> tuple[OneLineParser, dict[str, OneLineParser]]:
    """The parser, and those of its commands."""
    parser = OneLineParser(
        prog=PROGRAM,
        usage=f"{PROGRAM} COMMAND ...",
        description="Look before a run, and keep house after it. Stages are run by luigi --module pipeline STAGE.",
        epilog=f"example: {PROGRAM} plan --dataset vqa-v1",
        formatter_class=_Columns,
    )
    parser.add_argument("--version", action="store_true", help="print the version")
    added = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command", prog=PROGRAM)
    return parser, {name: _add(added, name, command) for name, command in COMMANDS.items()}


def _add(added: argparse._SubParsersAction[OneLineParser], name: str, command: Command) -> OneLineParser:
    example = f"example: {PROGRAM} {command.example}"
    if command.task:
        example += "\n\nTASK is a stage, RunAll where none is named; TASK --help lists its flags."
    parser = added.add_parser(
        name,
        help=command.sentence,
        description=f"{command.sentence[0].upper()}{command.sentence[1:]}.",
        epilog=example,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_flags(parser)
    parser.set_defaults(parser=parser)
    if command.task:
        usage = parser.format_usage().removeprefix(f"usage: {PROGRAM} {name}").split()[1:]
        parser.usage = " ".join([PROGRAM, name, command.task, *usage])
    return parser


def main(arguments: list[str]) -> int:
    """Run a command line; return the exit code. A mistake is one line on stderr."""
    try:
        return _answer(arguments)
    except (*EXPECTED, UsageError, OSError) as error:
        first, *more = error.args if isinstance(error, Told) else [error]
        show(f"error: {first}", *more, file=sys.stderr)
        return 1


def _answer(arguments: list[str]) -> int:
    parser, parsers = build_parser()
    if not arguments:
        parser.print_help()
        return WRONG
    name = arguments[0]
    takes_task = COMMANDS[name].task if name in COMMANDS else ""
    if takes_task and HELP & set(arguments):
        return _explain(parsers[name], arguments[1:])
    if not name.startswith("-") and name not in COMMANDS:
        return _unknown(name, arguments[1:])
    if "--" in takes_task:
        arguments = [BETWEEN_ROOTS if word == "--" else word for word in arguments]
    flags = _parse(parser, arguments)
    return _print_version() if flags.version else COMMANDS[flags.command].run(flags)


def _parse(parser: OneLineParser, arguments: list[str]) -> argparse.Namespace:
    """The flags of a command; `words`: the rest, for Luigi, where it takes a task."""
    flags, rest = parser.parse_known_args(arguments)
    if flags.command is None and not flags.version:
        parser.refuse_unknown(rest or ["--"])
    if flags.command and not COMMANDS[flags.command].task:
        flags.parser.refuse_unknown(rest)
    flags.words = rest
    return flags


def _explain(parser: OneLineParser, words: list[str]) -> int:
    """The help of a command that takes a task, or of the task where one is named."""
    if named := [word for word in words if word in stages()]:
        data = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
        data.add_argument("--dataset")
        data.add_argument("--image-set")
        print_help(stages()[named[0]], vars(data.parse_known_args(words)[0]))
    else:
        parser.print_help()
    return 0


def _unknown(name: str, words: list[str]) -> int:
    """Report a word that is not a command, or how to run it where it is a stage."""
    if name in stages() and HELP & set(words):
        return _explain(OneLineParser(prog=PROGRAM), [name, *words])
    if name[0].isupper():
        check_stage(name)
        said = f"{name} is a stage; type: luigi --module pipeline {' '.join([name, *words])}"
    else:
        said = f"unknown command '{name}'; {nearest(name, list(COMMANDS))}"
    show(f"error: {said}", file=sys.stderr)
    return WRONG


def _print_version() -> int:
    from importlib.metadata import version

    show(f"vqa-pipeline {version('vqa-pipeline')}")
    return 0


def run() -> int:
    """The whole process of `python -m pipeline` and `vqa`."""
    startup.start()
    return main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(run())
